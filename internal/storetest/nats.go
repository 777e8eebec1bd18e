package storetest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS is a NATS server with JetStream in this process.
type NATS struct {
	options server.Options
	server  *server.Server
}

// StartNATS starts a server that ends with the test. change may be nil.
func StartNATS(tb testing.TB, change func(*server.Options)) *NATS {
	tb.Helper()
	n := &NATS{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true,
	}}
	if change != nil {
		change(&n.options)
	}
	n.Start(tb)
	tb.Cleanup(n.Stop)
	return n
}

// URL is where the server is, also after it was started again.
func (n *NATS) URL() string { return n.server.ClientURL() }

// Stop ends the server. What it has stored stays.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// Start starts a server that was stopped, at the same address.
func (n *NATS) Start(tb testing.TB) {
	tb.Helper()
	options := n.options
	s, err := server.NewServer(&options)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		tb.Fatal("the NATS server doesn't start")
	}
	n.server = s
	n.options.Port = options.Port
}
