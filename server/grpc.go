package server

import (
	"math"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	"github.com/extproc/extproc/server/codec"
)

// What one connection may ask for. Envoy sends a buffered body as one message. Of
// headers a stream has a few, those of the configuration among them.
const (
	maxMessage = 64 << 20
	maxHeaders = 64 << 10
	// streamWindow is what grpc-go takes of a stream that is not read: the windows
	// that it would find itself may grow to 16 MiB for each.
	streamWindow     = 256 << 10
	connectionWindow = 4 << 20
	// A proxy that has gone without a word is noticed by a ping that it leaves
	// unanswered, and its exchanges end.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// workers are goroutines with stacks that have grown to what exchanges need: to
	// grow a new one costs a sixth of what an exchange does. More exchanges than these
	// are served, too.
	workers = 256
	// handshake is how long a connection may take to become one of HTTP/2.
	handshake = 15 * time.Second
)

// GRPCOptions are what a gRPC server needs for this service: without them it can't read
// a message. A stream is an exchange, and all of a proxy's share one connection: a low
// limit of streams would fail requests.
func GRPCOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ConnectionTimeout(handshake),
		grpc.NumStreamWorkers(workers),
		grpc.ForceServerCodecV2(fastCodec{encoding.GetCodecV2(proto.Name)}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

// Register adds the service to a gRPC server that has the GRPCOptions.
func (s *Service) Register(g grpc.ServiceRegistrar) {
	desc := extprocv3.ExternalProcessor_ServiceDesc
	desc.Streams = []grpc.StreamDesc{desc.Streams[0]}
	desc.Streams[0].Handler = func(_ any, st grpc.ServerStream) error { return s.Process(grpcStream{st}) }
	g.RegisterService(&desc, s)
}

// grpcStream is a stream of grpc-go with the messages of the protocol.
type grpcStream struct{ grpc.ServerStream }

var (
	_ extprocv3.ExternalProcessor_ProcessServer = grpcStream{}
	_ reader                                    = grpcStream{}
	_ encoder                                   = grpcStream{}
)

// Read implements reader.
func (s grpcStream) Read(m *codec.Message) error { return s.RecvMsg(m) }

// Send implements extprocv3.ExternalProcessor_ProcessServer.
func (s grpcStream) Send(resp *extprocv3.ProcessingResponse) error { return s.SendMsg(resp) }

func (grpcStream) encodes() {}

// Recv implements extprocv3.ExternalProcessor_ProcessServer.
func (grpcStream) Recv() (*extprocv3.ProcessingRequest, error) { return nil, errUnused }

// fastCodec is the codec of what this package reads and writes. The messages of other
// services of the same server are left to the codec of all.
type fastCodec struct{ encoding.CodecV2 }

// usual is the size of most answers.
const usual = 256

// Marshal implements encoding.CodecV2. What it returns is written later, so that a body
// is copied.
func (c fastCodec) Marshal(v any) (mem.BufferSlice, error) {
	resp, ok := v.(*extprocv3.ProcessingResponse)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	b, at, body, err := codec.AppendAround(make([]byte, 0, usual), resp)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(b[:at]), mem.Copy(body, mem.DefaultBufferPool()), mem.SliceBuffer(b[at:])}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c fastCodec) Unmarshal(data mem.BufferSlice, v any) (err error) {
	m, ok := v.(*codec.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	*m, err = codec.Read(data.Materialize())
	return err
}
