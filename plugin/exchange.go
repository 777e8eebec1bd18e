package plugin

import (
	"context"
	"strconv"
)

// Exchange is one HTTP request and its response as a plugin sees them. It is
// plain data: the server writes what arrives, the guest writes what is to
// become of it, and the server renders the difference. Exactly one goroutine
// touches it at a time, so it has no lock.
type Exchange struct {
	// ID names the exchange in logs.
	ID       uint64
	Request  Message
	Response Message
	// Attributes are what the proxy tells beside the messages; nil is nothing.
	Attributes Attributes
	// Began is when the step began, 0 if that is not known: the clock is not cheap.
	Began Instant
	// Due is when the plugin must have acted at the latest.
	Due Instant

	shared *shared // what plugins have left; the plugins of a chain share it
}

// Message returns the message of a direction.
func (e *Exchange) Message(d Direction) *Message {
	if d == Request {
		return &e.Request
	}
	return &e.Response
}

// Message is one direction of an exchange.
//
// A response that is Released before it Arrived is a local response: the guest
// answers in the upstream's place.
type Message struct {
	// Written by the server.

	// Arrived is set when the proxy has delivered the headers.
	Arrived bool
	// Original is the headers as the proxy delivered them, pseudo headers
	// included. Nobody changes it.
	Original Headers
	// Unseen is set when the headers have gone on without being shown: Original is
	// what else is known of them, which may be nothing, and what is made of them
	// comes too late.
	Unseen bool
	// NoBody is set when the headers came with the end of the stream.
	NoBody bool
	// In is the body as it arrives. It fills only once the proxy sends it, see
	// WantBody.
	In Body
	// Taken is set when the headers have gone on: what was released can't be
	// taken back.
	Taken bool

	// Written by the guest.

	// WantBody asks for the body (and trailers) to be sent: the guest waits for
	// it, be it before or after the headers are released.
	WantBody bool
	// Released is set when the headers may go on, as Headers says and with the
	// body that Plan says. It is never set before the plan is known.
	Released bool
	// Headers is what goes on in place of Original, pseudo headers included. It
	// may be Original itself: then nothing changed.
	Headers Headers
	// Plan says what becomes of the body and the trailers.
	Plan BodyPlan
	// Reroute asks the proxy to choose the route anew when the request's headers go
	// on, although none has changed: when one has, it does anyway.
	Reroute bool
	// Local describes a local response.
	Local LocalResponse
	// Out is the body the guest hands on when Plan is Replaced. Out.Trailers are
	// the trailers that go on.
	Out Body
}

// LocalResponse is what there is to a local response that HTTP has no word for.
type LocalResponse struct {
	// Details are for the proxy's log: why there is such a response.
	Details string
	// GRPCStatus is for a request of gRPC, HasGRPCStatus that there is one. The
	// proxy then makes a response of gRPC of it, with the body as the message.
	GRPCStatus    uint32
	HasGRPCStatus bool
}

// Complete says whether the guest has done all it had to for this message.
func (m *Message) Complete() bool {
	return m.Released && (m.Plan == Untouched || m.Out.Ended)
}

// announced is the length of the body that the headers tell, if they do.
func (m *Message) announced() (uint64, bool) {
	text, ok := m.Original.Get("content-length")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	return n, err == nil
}

// intact says whether the guest can be left out with nothing lost.
func (m *Message) intact() bool {
	if m.Taken {
		return m.Complete()
	}
	return m.In.Intact()
}

// revert takes back what has not gone on.
func (m *Message) revert() {
	if !m.Taken {
		m.Released, m.Headers, m.Plan, m.Out = false, nil, Untouched, Body{}
	}
}

// pass lets the message go on as it came, once it is there.
func (m *Message) pass() {
	if m.Arrived && !m.Released {
		m.Headers, m.Plan, m.Released = m.Original, Untouched, true
	}
}

// BodyPlan says what becomes of a message's body and trailers.
type BodyPlan uint8

const (
	// Untouched: what arrives goes on, and the guest does not look at it.
	Untouched BodyPlan = iota
	// Replaced: Out goes on, be it empty, and what arrives does not.
	Replaced
)

// Status is why a step of a guest came to its end.
type Status struct {
	// Done: the guest has finished and will not touch the exchange again. What
	// its plans say still holds.
	Done bool
	// Wake, if not nil, is rung when something outside the exchange (a callout, a
	// timer) lets the guest go on; the guest then wants a step although nothing
	// arrived.
	Wake *Bell
	// Idle: nothing that is under way is to ring it. The guest waits for more of the
	// exchange, but others may wake it.
	Idle bool
}

// Guest is a plugin at work on one exchange.
type Guest interface {
	// Step lets the guest act on what has arrived in the exchange, until it waits
	// for more or is done. An error is final: the guest is finished, what it had
	// not released stays unreleased, and Close is still to be called.
	Step(ctx context.Context) (Status, error)
	// Close ends the guest's work, wherever it stands, and gives back what it
	// held. The exchange is not touched after Close has returned.
	Close()
}

// Module is a loaded plugin: compiled, linked and proved to start.
type Module interface {
	// Start leases an instance for an exchange. It does not run the guest yet.
	Start(ex *Exchange) (Guest, error)
	// Needs says what the guest must be sent.
	Needs() Needs
	Close(ctx context.Context) error
}

// Needs says which phases a plugin must see. Bodies are asked for when a guest
// first wants one, unless they are Always needed.
type Needs struct {
	Headers [2]bool // by Direction
	Body    [2]BodyNeed
	// Attributes are the names of those that the guest reads, by the direction
	// they come with.
	Attributes [2][]string
	// Reads and Writes are namespaces of dynamic metadata.
	Reads, Writes []string
}

// BodyNeed says when a plugin must be sent a body.
type BodyNeed uint8

// When a body is needed.
const (
	Never BodyNeed = iota
	OnDemand
	Always
)

// ABI is a kind of guest.
type ABI interface {
	// Name is the ABI in messages: "wasi:http component".
	Name() string
	// Detect tells from its first bytes and exports whether wasm is of this kind.
	Detect(wasm []byte) bool
	// Load compiles and links wasm for a plugin and starts one instance, so that a
	// bad plugin fails now.
	Load(ctx context.Context, wasm []byte, cfg *Spec) (Module, error)
}

// Compiler is an ABI that can do the part of Load that runs no guest by itself, for
// several plugins at once.
type Compiler interface {
	ABI
	Compile(ctx context.Context, wasm []byte, cfg *Spec) (Compiled, error)
}

// Compiled is a plugin that has been compiled, to be either started or closed.
type Compiled interface {
	// Start is the rest of Load.
	Start(ctx context.Context) (Module, error)
	Close(ctx context.Context) error
}

// Counted is a module that can say how many of its instances are at work and how
// many wait for an exchange, and how many bytes of memory all have.
type Counted interface {
	Instances() (busy, idle int)
	Memory() uint64
}
