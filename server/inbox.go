package server

import (
	"context"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// inbox receives the messages of a stream, if need be while something else is
// waited for too. As long as nothing else is, it needs no goroutine.
type inbox struct {
	stream extprocv3.ExternalProcessor_ProcessServer
	// pending holds the outcome of a Recv that runs on a goroutine of its own. It
	// ends with the stream at the latest, and the channel has room for it.
	pending chan received
}

type received struct {
	req *extprocv3.ProcessingRequest
	err error
}

// next is the next message.
func (in *inbox) next() (*extprocv3.ProcessingRequest, error) {
	if in.pending == nil {
		return in.stream.Recv()
	}
	r := <-in.pending
	in.pending = nil
	return r.req, r.err
}

// nextOr is the next message, or nil if wake was first.
func (in *inbox) nextOr(wake <-chan struct{}) (*extprocv3.ProcessingRequest, error) {
	if in.pending == nil {
		pending := make(chan received, 1)
		in.pending = pending
		go func() {
			req, err := in.stream.Recv()
			pending <- received{req, err}
		}()
	}
	select {
	case <-wake:
		return nil, nil
	case r := <-in.pending:
		in.pending = nil
		return r.req, r.err
	}
}

// only waits for wake and takes no message, so that the proxy has to wait too.
func (in *inbox) only(ctx context.Context, wake <-chan struct{}) error {
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
