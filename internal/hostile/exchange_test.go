package hostile

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// exchange is one that goes through a server.
type exchange struct {
	path string
	body bool // both messages have one
	// patience is how long the proxy waits for an answer, if not for long.
	patience time.Duration
}

// result is what became of an exchange.
type result struct {
	immediate int // the status of a local response, else 0
	body      string
	fields    []string // that were set, as "name: value"
	problem   string   // what the proxy could not have worked with
}

const duplex = modev3.ProcessingMode_FULL_DUPLEX_STREAMED

// run plays the proxy of an exchange as Envoy does in full duplex.
func (p proxy) run(tb testing.TB, x exchange) result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(x.patience, 40*time.Second))
	defer cancel()
	stream, err := p.Process(ctx)
	if err != nil {
		return result{problem: err.Error()}
	}
	c := &conversation{stream: stream}
	method := "GET"
	if x.body {
		method = "POST"
	}
	c.message(true, x.body, ":method", method, ":scheme", "http", ":authority", "example.com", ":path", x.path)
	if c.immediate == 0 && c.problem == "" {
		c.message(false, x.body, ":status", "200", "server", "envoy")
	}
	_ = stream.CloseSend()
	return c.result
}

type conversation struct {
	stream extprocv3.ExternalProcessor_ProcessClient
	result
}

// message sends a message with all it has and waits until it is answered.
func (c *conversation) message(request, body bool, fields ...string) {
	headers := &extprocv3.HttpHeaders{Headers: &corev3.HeaderMap{}, EndOfStream: !body}
	for i := 0; i < len(fields); i += 2 {
		headers.Headers.Headers = append(headers.Headers.Headers, &corev3.HeaderValue{Key: fields[i], RawValue: []byte(fields[i+1])})
	}
	first, second := &extprocv3.ProcessingRequest{}, &extprocv3.ProcessingRequest{}
	content := &extprocv3.HttpBody{Body: []byte("hello"), EndOfStream: true}
	if request {
		first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: duplex, ResponseBodyMode: duplex}
		first.Request = &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: headers}
		second.Request = &extprocv3.ProcessingRequest_RequestBody{RequestBody: content}
	} else {
		first.Request = &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: headers}
		second.Request = &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: content}
	}
	_ = c.stream.Send(first) // an error comes with the answer too
	if body {
		_ = c.stream.Send(second)
	}
	headersDone, bodyDone := false, !body
	for !headersDone || !bodyDone {
		resp, err := c.stream.Recv()
		if err != nil {
			c.problem = fmt.Sprintf("the stream ended: %v", err)
			return
		}
		if i := resp.GetImmediateResponse(); i != nil {
			c.immediate, c.body = int(i.GetStatus().GetCode()), string(i.GetBody())
			c.mutated(i.GetHeaders())
			c.local(i)
			return
		}
		h, b := resp.GetRequestHeaders(), resp.GetRequestBody()
		if !request {
			h, b = resp.GetResponseHeaders(), resp.GetResponseBody()
		}
		switch {
		case h != nil && !headersDone:
			headersDone = true
			c.mutated(h.GetResponse().GetHeaderMutation())
		case b != nil && !bodyDone:
			bodyDone = b.GetResponse().GetBodyMutation().GetStreamedResponse().GetEndOfStream()
		default:
			c.problem = fmt.Sprintf("an answer that nobody waits for: %v", resp)
			return
		}
	}
}

// mutated checks that a proxy can apply a mutation: nothing in it may break a
// header block or be refused.
func (c *conversation) mutated(m *extprocv3.HeaderMutation) {
	for _, o := range m.GetSetHeaders() {
		name, value := o.GetHeader().GetKey(), string(o.GetHeader().GetRawValue())
		c.fields = append(c.fields, name+": "+value)
		if name == "" || strings.ToLower(name) != name || strings.ContainsAny(name, "\x00\r\n\t \x7f") || strings.ContainsAny(value, "\x00\r\n") {
			c.problem = fmt.Sprintf("a field that a proxy chokes on: %q: %q", name, value)
		}
		switch name {
		case ":status":
			if len(value) != 3 || value < "200" {
				c.problem = fmt.Sprintf("a status that no proxy takes: %q", value)
			}
		case "content-length", "transfer-encoding", "host":
			c.problem = fmt.Sprintf("a field that is the proxy's: %q", name)
		}
		if strings.HasPrefix(name, ":") && name != ":path" && name != ":authority" && name != ":method" && name != ":scheme" && name != ":status" {
			c.problem = fmt.Sprintf("a pseudo header that there isn't: %q", name)
		}
	}
	if n := len(m.GetSetHeaders()); n > 100 {
		c.problem = fmt.Sprintf("%d fields to set", n)
	}
}

// local checks a local response.
func (c *conversation) local(i *extprocv3.ImmediateResponse) {
	if c.immediate < 200 || c.immediate > 599 {
		c.problem = fmt.Sprintf("a status that no proxy takes: %d", c.immediate)
	}
	if (c.immediate == 204 || c.immediate == 304) && len(i.GetBody()) > 0 {
		c.problem = fmt.Sprintf("a body with %d", c.immediate)
	}
}

// witness goes on with its own exchanges, which must all be as ever.
type witness struct {
	end      chan struct{}
	ended    chan struct{}
	count    int
	problems []string
}

// witnesses are exchanges with plugins of both kinds that go on meanwhile.
func witnesses(tb testing.TB, k *kinds) *witness {
	tb.Helper()
	p := serve(tb, &logs{}, k.good(tb)...)
	w := &witness{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for {
			select {
			case <-w.end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			got := p.run(tb, exchange{path: "/", body: w.count%2 == 0})
			if w.count++; got.problem != "" || got.immediate != 0 || !strings.Contains(strings.Join(got.fields, "\n"), "x-plugin: header-rules") {
				w.problems = append(w.problems, fmt.Sprintf("%+v", got))
			}
		}
	}()
	return w
}

func (w *witness) stop(t *testing.T) {
	t.Helper()
	close(w.end)
	<-w.ended
	t.Logf("%d exchanges of others meanwhile", w.count)
	for _, problem := range w.problems[:min(len(w.problems), 10)] {
		t.Error("an exchange of another plugin: ", problem)
	}
}
