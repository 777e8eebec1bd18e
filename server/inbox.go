package server

import (
	"context"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// inbox receives the messages of a stream, if need be while something else is
// waited for too. As long as nothing else is, it needs no goroutine.
type inbox struct {
	stream extprocv3.ExternalProcessor_ProcessServer
	turned turned // the stream, if it is one, else nil
	reader reader // the same
	// pending holds the outcome of a Recv that runs on a goroutine of its own. It
	// ends with the stream at the latest, and the channel has room for it.
	pending chan received
	timer   *time.Timer
	// over is closed when no exchange is to be waited for any more; nil once that
	// is known.
	over <-chan struct{}
}

// turned is a stream whose exchange goes on in turns, when something has come: while it
// waits for nothing else, it holds no goroutine.
type turned interface {
	// Poll is Recv that doesn't wait: ok is false if nothing has come. The message is
	// the stream's, until the next.
	Poll() (m *codec.Message, ok bool, err error)
	// Ready is readable when there may be something to Poll.
	Ready() <-chan struct{}
	// Detach says that the turn is going to wait.
	Detach()
	// Wake has the exchange take a turn.
	Wake()
}

// reader is a stream that reads messages without package proto.
type reader interface {
	Read(*codec.Message) error
}

func newInbox(stream extprocv3.ExternalProcessor_ProcessServer, over <-chan struct{}) inbox {
	turned, _ := stream.(turned)
	reader, _ := stream.(reader)
	return inbox{stream: stream, turned: turned, reader: reader, over: over}
}

type received struct {
	message codec.Message
	err     error
}

// nextOr is the next message, or nil if wake or due was first. Wake may be nil.
func (in *inbox) nextOr(wake <-chan struct{}, due plugin.Instant) (*codec.Message, error) {
	if in.turned != nil {
		return in.pollOr(wake, due)
	}
	if in.pending == nil {
		pending := make(chan received, 1)
		in.pending = pending
		go func() {
			pending <- in.receive()
		}()
	}
	alarm := in.alarm(due)
	select {
	case <-in.over:
		return nil, nil
	case <-wake:
		return nil, nil
	case <-alarm:
		return nil, nil
	case r := <-in.pending:
		in.pending = nil
		return &r.message, r.err
	}
}

// receive waits for the next message.
func (in *inbox) receive() (r received) {
	if in.reader != nil {
		r.err = in.reader.Read(&r.message)
		return r
	}
	req, err := in.stream.Recv()
	if err != nil {
		return received{err: err}
	}
	return received{message: codec.From(req)}
}

// pollOr is nextOr of a stream that goes on in turns.
func (in *inbox) pollOr(wake <-chan struct{}, due plugin.Instant) (*codec.Message, error) {
	for {
		if m, ok, err := in.turned.Poll(); ok {
			return m, err
		}
		select {
		case <-wake:
			return nil, nil
		default:
		}
		in.turned.Detach()
		select {
		case <-in.over:
			return nil, nil
		case <-wake:
			return nil, nil
		case <-in.alarm(due):
			return nil, nil
		case <-in.turned.Ready():
		}
	}
}

// only waits for wake or room and takes no message, so that the proxy has to wait
// too.
func (in *inbox) only(ctx context.Context, wake, room <-chan struct{}, due plugin.Instant) error {
	if in.turned != nil {
		in.turned.Detach()
	}
	select {
	case <-in.over:
		return nil
	case <-wake:
		return nil
	case <-room:
		return nil
	case <-in.alarm(due):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// alarm is readable when due has come.
func (in *inbox) alarm(due plugin.Instant) <-chan time.Time {
	if due == 0 {
		return nil
	}
	if in.timer == nil {
		in.timer = time.NewTimer(due.Left())
	} else {
		in.timer.Reset(due.Left())
	}
	return in.timer.C
}
