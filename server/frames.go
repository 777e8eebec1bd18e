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
func (s *Service) Methods() map[string]rpc.Handler {
	buffers := sync.Pool{New: func() any { return new([]byte) }}
	return map[string]rpc.Handler{
		extprocv3.ExternalProcessor_Process_FullMethodName: func(st *rpc.Stream) error {
			f := &frames{Stream: st, buffer: buffers.Get().(*[]byte)}
			defer func() {
				if cap(*f.buffer) <= 2*maxPiece {
					buffers.Put(f.buffer)
				}
			}()
			return s.Process(f)
		},
	}
}

// frames is a stream of package rpc with the messages of the protocol.
type frames struct {
	*rpc.Stream
	buffer *[]byte // of the answer that is being sent
}

var _ extprocv3.ExternalProcessor_ProcessServer = (*frames)(nil)

// Recv implements extprocv3.ExternalProcessor_ProcessServer.
func (f *frames) Recv() (*extprocv3.ProcessingRequest, error) {
	b, err := f.Stream.Recv()
	if err != nil {
		return nil, err
	}
	return codec.Unmarshal(b)
}

// Send implements extprocv3.ExternalProcessor_ProcessServer.
func (f *frames) Send(resp *extprocv3.ProcessingResponse) error {
	b, err := codec.Append((*f.buffer)[:0], resp)
	*f.buffer = b
	if err != nil {
		return err
	}
	return f.Stream.Send(b)
}

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
