package upstream

import (
	"context"
	"errors"
	"io"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The methods of the gRPC service. Their messages are google.protobuf.StringValue.
const (
	// UnaryMethod answers with the message it was sent; "fail" is answered with
	// the status INVALID_ARGUMENT.
	UnaryMethod = "/echo.Echo/Unary"
	// StreamMethod sends every message back as it comes, and a trailer "x-count"
	// in the end.
	StreamMethod = "/echo.Echo/Stream"
)

// StreamDesc describes StreamMethod to a client.
var StreamDesc = grpc.StreamDesc{StreamName: "Stream", ClientStreams: true, ServerStreams: true, Handler: stream}

func newEchoServer() *grpc.Server {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "echo.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams:     []grpc.StreamDesc{StreamDesc},
	}, struct{}{})
	return server
}

//nolint:revive // grpc.MethodDesc wants the context second
func unary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in wrapperspb.StringValue
	if err := decode(&in); err != nil {
		return nil, err
	}
	if in.GetValue() == "fail" {
		return nil, status.Error(codes.InvalidArgument, "asked to fail")
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		// What a plugin added to the request is shown as it came.
		if err := grpc.SetHeader(ctx, metadata.Pairs("x-seen", first(md, "x-plugin"))); err != nil {
			return nil, err
		}
	}
	return &in, nil
}

func first(md metadata.MD, name string) string {
	if values := md.Get(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

func stream(_ any, s grpc.ServerStream) error {
	count := 0
	for {
		var in wrapperspb.StringValue
		err := s.RecvMsg(&in)
		if errors.Is(err, io.EOF) {
			s.SetTrailer(metadata.Pairs("x-count", strconv.Itoa(count)))
			return nil
		}
		if err != nil {
			return err
		}
		count++
		if err := s.SendMsg(&in); err != nil {
			return err
		}
	}
}
