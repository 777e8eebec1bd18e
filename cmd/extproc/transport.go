package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/extproc/extproc/server"
	"github.com/extproc/extproc/server/rpc"
)

// transport serves the ext_proc service, and that of its health, on a listener.
type transport interface {
	Serve(net.Listener) error
	// GracefulStop waits for the exchanges under way, Stop ends them.
	GracefulStop()
	Stop()
}

// transportOptions say which, and how.
type transportOptions struct {
	kind    string      // "grpc-go" or "frames"
	message int         // bytes of the largest message, 0 for the default
	tls     *tls.Config // nil for none
	log     *slog.Logger
}

func (o transportOptions) open(service *server.Service, alive *health.Server) (transport, error) {
	switch cmp.Or(o.kind, "grpc-go") {
	case "grpc-go":
		opts := server.GRPCOptions()
		if o.message > 0 {
			opts = append(opts, grpc.MaxRecvMsgSize(o.message))
		}
		if o.tls != nil {
			opts = append(opts, grpc.Creds(credentials.NewTLS(o.tls)))
		}
		g := grpc.NewServer(opts...)
		service.Register(g)
		healthv1.RegisterHealthServer(g, alive)
		return direct{g}, nil
	case "frames":
		methods := service.Methods()
		methods[healthv1.Health_Check_FullMethodName] = check(alive).Method()
		methods[healthv1.Health_Watch_FullMethodName] = watch(alive).Method()
		return &framed{rpc.NewServer(methods, rpc.Options{MaxMessage: o.message, Log: o.log}), o.tls}, nil
	}
	return nil, fmt.Errorf("--transport: is %q, expected grpc-go or frames", o.kind)
}

// direct is grpc-go on sockets that Go's monitor of system calls doesn't look after.
type direct struct{ *grpc.Server }

// Serve implements transport.
func (d direct) Serve(l net.Listener) error { return d.Server.Serve(rpc.Direct(l)) }

// framed is the transport without grpc-go.
type framed struct {
	*rpc.Server
	tls *tls.Config
}

// Serve implements transport.
func (f *framed) Serve(l net.Listener) error {
	if f.tls != nil {
		l = tls.NewListener(l, f.tls)
	}
	return f.Server.Serve(l)
}

// GracefulStop implements transport.
func (f *framed) GracefulStop() { _ = f.Drain(context.Background()) } // it has no end but its own

func check(alive *health.Server) rpc.Handler {
	return func(s *rpc.Stream) error {
		req, err := healthRequest(s)
		if err != nil {
			return err
		}
		resp, err := alive.Check(s, req)
		if err != nil {
			return err
		}
		return sendHealth(s, resp)
	}
}

func watch(alive *health.Server) rpc.Handler {
	return func(s *rpc.Stream) error {
		req, err := healthRequest(s)
		if err != nil {
			return err
		}
		return alive.Watch(req, watcher{stream: s})
	}
}

func healthRequest(s *rpc.Stream) (*healthv1.HealthCheckRequest, error) {
	b, err := s.Recv()
	if err != nil {
		return nil, err
	}
	req := &healthv1.HealthCheckRequest{}
	return req, proto.Unmarshal(b, req)
}

func sendHealth(s *rpc.Stream, resp *healthv1.HealthCheckResponse) error {
	b, err := proto.Marshal(resp)
	if err != nil {
		return err
	}
	return s.Send(b)
}

// watcher is what Watch sends to.
type watcher struct {
	grpc.ServerStream // of which Watch uses no more than is below
	stream            *rpc.Stream
}

// Context implements grpc.ServerStream.
func (w watcher) Context() context.Context { return w.stream }

// Send implements healthv1.Health_WatchServer.
func (w watcher) Send(resp *healthv1.HealthCheckResponse) error { return sendHealth(w.stream, resp) }
