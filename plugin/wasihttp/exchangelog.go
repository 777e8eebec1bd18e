package wasihttp

import (
	"context"
	"strconv"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// maxUnlogged is how many bytes the exchanges may have that wait to be logged.
// Beyond that they are not.
const maxUnlogged = 16 << 20

// Logs implements plugin.Logger.
func (m *Module) Logs() bool { return m.exports[onLog] }

// Log implements plugin.Logger.
func (m *Module) Log(r *plugin.Record) {
	size := int64(r.Size())
	if m.unlogged.Add(size) > maxUnlogged {
		m.unlogged.Add(-size)
		m.dropLog()
		return
	}
	posted := m.lanes[onLog].post(job{
		task: task{handler: onLog, told: &r.Exchange, call: func(f *abi.Func) error {
			return f.Call(context.Background(), []abi.Value{recordValue(r)}, nil)
		}},
		done: func() { m.unlogged.Add(-size) },
	})
	if !posted {
		m.unlogged.Add(-size)
		m.dropLog()
	}
}

// dropLog takes note that an exchange is not logged. The log of the server has a
// word of every so many.
func (m *Module) dropLog() {
	const seldom = 1000
	m.services.Tasks.Count(m.spec.Name, handlers[onLog].name, host.TaskDropped)
	if n := m.dropped.Add(1); n%seldom == 1 {
		m.logWarn("exchanges are not logged: too many wait for on-log to return", "so far", n)
	}
}

func list(values ...abi.Value) abi.Value { return abi.Value{List: values} }

func optionOf(v abi.Value, ok bool) abi.Value {
	if !ok {
		return abi.Value{}
	}
	return abi.Value{Num: 1, List: []abi.Value{v}}
}

// recordValue is a record as on-log gets it. The order is that of the type, which
// was compared when the plugin was loaded.
func recordValue(r *plugin.Record) abi.Value {
	request := r.Messages[plugin.Request]
	response := r.Messages[plugin.Response]
	answer := abi.Value{}
	if response != nil {
		status, _ := response.Headers.Get(":status")
		code, _ := strconv.ParseUint(string(status), 10, 16)
		answer = list(abi.U64(code), fieldList(response.Headers), bytesOf(response), fieldList(response.Trailers))
	}
	return list(
		abi.U64(r.Exchange.ID), abi.U64(uint64(r.Began.UnixNano())), abi.U64(uint64(r.Took)), abi.U64(uint64(r.Outcome)),
		list(
			pseudo(request.Headers, ":method").Payload(), pseudo(request.Headers, ":scheme"), pseudo(request.Headers, ":authority"),
			pseudo(request.Headers, ":path"), fieldList(request.Headers), bytesOf(request), fieldList(request.Trailers),
		),
		optionOf(answer, response != nil),
	)
}

func pseudo(h plugin.Headers, name string) abi.Value {
	value, ok := h.Get(name)
	return optionOf(abi.String(shown(value)), ok)
}

func bytesOf(s *plugin.Sent) abi.Value { return optionOf(abi.U64(s.Bytes), s.BytesSeen) }

// fieldList is the fields without the pseudo headers.
func fieldList(h plugin.Headers) abi.Value {
	values := make([]abi.Value, 0, len(h))
	for i := range h {
		if name := h[i].Name; !isPseudo(name) {
			values = append(values, list(abi.String(shown(raw(name))), abi.Bytes(h[i].Value)))
		}
	}
	return abi.Value{List: values}
}
