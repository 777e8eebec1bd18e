package storetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSProcess is a NATS server with JetStream in a process of its own, which can
// be killed.
type NATSProcess struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

const (
	natsDir  = "STORETEST_NATS_DIR"
	natsPort = "STORETEST_NATS_PORT"
)

// Main is to be called by the TestMain of who starts a NATSProcess: the test's own
// program is the server's too.
func Main(m *testing.M) {
	dir := os.Getenv(natsDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	port, err := strconv.Atoi(os.Getenv(natsPort))
	if err != nil {
		panic(err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		panic(err)
	}
	s.Start()
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test has ended, however it did
}

// StartNATSProcess starts a server that ends with the test.
func StartNATSProcess(tb testing.TB) *NATSProcess {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	n := &NATSProcess{dir: tb.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	l.Close()
	n.Start(tb)
	tb.Cleanup(n.Stop)
	return n
}

// URL is where the server is, also after it was started again.
func (n *NATSProcess) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.port) }

// Stop kills the server. What it has stored stays.
func (n *NATSProcess) Stop() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		n.cmd = nil
	}
}

// Start starts a server that was stopped, at the same address.
func (n *NATSProcess) Start(tb testing.TB) {
	tb.Helper()
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	n.cmd = exec.Command(program, "-test.run=^$")
	n.cmd.Env = append(os.Environ(), natsDir+"="+n.dir, natsPort+"="+strconv.Itoa(n.port))
	n.cmd.Stderr = tb.Output()
	if _, err := n.cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.port))
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("the NATS server doesn't start: %v", err)
		}
	}
}
