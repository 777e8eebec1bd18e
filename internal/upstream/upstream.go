// Package upstream is a service to put behind a proxy: it shows what reached it
// and answers in every way HTTP allows, over HTTP/1.1 and HTTP/2 without TLS.
package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// Server is a running upstream.
type Server struct {
	// Address is host:port or unix:///path.
	Address string

	http *http.Server
	grpc *grpc.Server
}

// Start serves on an address until Close.
func Start(ctx context.Context, address string) (*Server, error) {
	network, scheme := "tcp", ""
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, scheme, address = "unix", "unix://", path
	}
	listener, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &Server{Address: scheme + listener.Addr().String(), grpc: newEchoServer()}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:           s.route(),
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // only a broken listener, of which no caller could make sense
		}
	}()
	return s, nil
}

// Close ends the server and every connection.
func (s *Server) Close() error { return s.http.Close() }

// route lists what can be asked for. Every answer has the headers that the query
// asks for: ?set=name:value.
func (s *Server) route() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", echo)
	mux.HandleFunc("/raw", raw)
	mux.HandleFunc("/bytes/{n}", produce)
	mux.HandleFunc("/sum", sum)
	mux.HandleFunc("/status/{code}", withStatus)
	mux.HandleFunc("/trailers", trailers)
	mux.HandleFunc("/chunks/{n}", chunks)
	mux.HandleFunc("/slow/{ms}", slow)
	mux.HandleFunc("/early", early)
	mux.HandleFunc("/hints", hints)
	mux.HandleFunc("/cut/{n}", cut)
	mux.HandleFunc("/upgrade", upgrade)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			s.grpc.ServeHTTP(w, r)
			return
		}
		for _, field := range r.URL.Query()["set"] {
			name, value, _ := strings.Cut(field, ":")
			w.Header().Add(name, value)
		}
		mux.ServeHTTP(w, r)
	})
}
