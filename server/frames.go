package server

import (
	"context"
	"errors"
	"sync"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"

	"github.com/extproc/extproc/server/codec"
	"github.com/extproc/extproc/server/rpc"
)

// Methods are the service's for package rpc, which serves them without grpc-go.
func (s *Service) Methods() map[string]rpc.Method {
	buffers := &sync.Pool{New: func() any { return new([]byte) }}
	return map[string]rpc.Method{
		extprocv3.ExternalProcessor_Process_FullMethodName: func(st *rpc.Stream) rpc.Call {
			return &frames{Stream: st, service: s, buffers: buffers}
		},
	}
}

// frames is a stream of package rpc with the messages of the protocol.
type frames struct {
	*rpc.Stream
	service *Service
	process process       // of the exchange
	begun   bool          // it has
	message codec.Message // the last
	buffers *sync.Pool
}

var (
	_ extprocv3.ExternalProcessor_ProcessServer = (*frames)(nil)
	_ turned                                    = (*frames)(nil)
	_ encoder                                   = (*frames)(nil)
)

// Turn implements rpc.Call.
func (f *frames) Turn() (over bool, err error) {
	if !f.begun {
		set, err := f.service.begin(f)
		if set == nil {
			return true, err
		}
		f.process.init(f.service, set, f)
		f.begun = true
	}
	if err = f.process.serve(); errors.Is(err, errLater) {
		return false, nil
	}
	return true, err
}

// Poll implements turned.
func (f *frames) Poll() (*codec.Message, bool, error) {
	b, ok, err := f.Stream.Poll()
	if !ok || err != nil {
		return nil, ok, err
	}
	f.message, err = codec.Read(b.Bytes)
	if len(f.message.Body) > 0 { // whoever is done with that is done with all
		b.From.Lend(len(f.message.Body))
		f.message.In = b.From
	}
	return &f.message, true, err
}

// Recv implements extprocv3.ExternalProcessor_ProcessServer.
func (*frames) Recv() (*extprocv3.ProcessingRequest, error) { return nil, errUnused }

// maxKept is the size of a buffer that is kept for other answers.
const maxKept = 64 << 10

// Send implements extprocv3.ExternalProcessor_ProcessServer.
func (f *frames) Send(resp *extprocv3.ProcessingResponse) error {
	buffer := f.buffers.Get().(*[]byte)
	defer func() {
		if cap(*buffer) <= maxKept {
			f.buffers.Put(buffer)
		}
	}()
	b, at, body, err := codec.AppendAround((*buffer)[:0], resp)
	*buffer = b
	if err != nil {
		return err
	}
	return f.Stream.Send(b[:at], body, b[at:])
}

func (*frames) encodes() {}

// Context implements grpc.ServerStream.
func (f *frames) Context() context.Context { return f.Stream }

// errUnused is of what grpc.ServerStream has and the service doesn't use.
var errUnused = errors.New("not served here")

// SetHeader implements grpc.ServerStream.
func (*frames) SetHeader(metadata.MD) error { return errUnused }

// SendHeader implements grpc.ServerStream.
func (*frames) SendHeader(metadata.MD) error { return errUnused }

// SetTrailer implements grpc.ServerStream.
func (*frames) SetTrailer(metadata.MD) {}

// SendMsg implements grpc.ServerStream.
func (*frames) SendMsg(any) error { return errUnused }

// RecvMsg implements grpc.ServerStream.
func (*frames) RecvMsg(any) error { return errUnused }
