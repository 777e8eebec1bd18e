package host

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/nametest"
	"github.com/extproc/extproc/plugin"
)

func parsed(tb testing.TB, raw string) *url.URL {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// full is the address of a listener whose queue is full, so that connections to
// it are never made.
func full(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port)).String()
	for {
		conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
}

// TestUnpublic is the table of addresses.
func TestUnpublic(t *testing.T) {
	for what, list := range map[string]string{
		"":                            "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15 2606:4700::1111 2a00:1450::1 3ffe:ffff::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1",
		"unspecified":                 "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0",
		"loopback":                    "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1",
		"private":                     "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1 ::ffff:10.1.2.3 fc00::1 fd00:ec2::254 fd20:ce::254 fdff::1 fec0::1",
		"private to a carrier":        "100.64.0.1 100.100.100.200 100.127.255.255",
		"link-local":                  "169.254.0.1 169.254.169.254 169.254.170.2 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe fe80::1 fe80::a9fe:a9fe%eth0 febf::1",
		"a platform's own service":    "168.63.129.16 ::ffff:168.63.129.16",
		"multicast":                   "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
		"reserved":                    "240.0.0.1 255.255.255.255 ::127.0.0.1 ::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 100::1 4000::1 5f00::1 e000::1",
		"reserved for protocols":      "192.0.0.8 192.0.0.192 192.88.99.1 2001::1 2001:0:a9fe:a9fe::1 2001:1ff:ffff::",
		"for documentation":           "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
		"for benchmarks":              "198.18.0.1 198.19.255.255",
		"169.254.169.254, link-local": "64:ff9b::169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 2002:a9fe:a9fe:1:2:3:4:5",
		"127.0.0.1, loopback":         "64:ff9b::127.0.0.1 2002:7f00:1::",
		"10.0.0.1, private":           "64:ff9b::a00:1 2002:a00:1::1",
		"0.0.0.0, unspecified":        "64:ff9b:: 2002::",
		"168.63.129.16, a platform's own service": "64:ff9b::168.63.129.16",
	} {
		for _, raw := range strings.Fields(list) {
			a := netip.MustParseAddr(raw)
			if got := unpublic(a); got != what {
				t.Errorf("%s is %q, expected %q", raw, got, what)
			}
			if got, want := (permission{host: "name.example"}).allows(a), what == ""; got != want {
				t.Errorf("%s is allowed: %t", raw, got)
			}
		}
	}
}

// TestPermission: what a URL itself says is a permission for that and nothing else.
func TestPermission(t *testing.T) {
	for _, tc := range []struct {
		host, allowed string // CIDRs
		yes, no       string // addresses
	}{
		{"127.0.0.1", "", "127.0.0.1 ::ffff:127.0.0.1 8.8.8.8", "127.0.0.2 ::1 10.0.0.1"},
		{"::1", "", "::1", "127.0.0.1 ::2"},
		{"::ffff:10.0.0.1", "", "10.0.0.1", "10.0.0.2"},
		{"fe80::1%eth0", "", "fe80::1%eth0 fe80::1", "fe80::2"},
		{"169.254.169.254", "", "169.254.169.254", "169.254.169.253"},
		{"localhost", "", "127.0.0.1 127.0.0.53 ::1", "10.0.0.1 169.254.169.254 0.0.0.0"},
		{"a.LocalHost.", "", "127.0.0.1", "10.0.0.1"},
		{"localhost.example", "", "8.8.8.8", "127.0.0.1 ::1"},
		{"127.1", "", "", "127.0.0.1"},      // a name, whatever a resolver makes of it
		{"2130706433", "", "", "127.0.0.1"}, // the same
		{"0x7f000001", "", "", "127.0.0.1"}, // the same
		{"a.example", "10.0.0.0/8 fd00::/8", "10.1.2.3 ::ffff:10.1.2.3 fd12::1 8.8.8.8", "11.0.0.1%x 127.0.0.1 169.254.169.254 172.16.0.1 fe80::1 64:ff9b::a00:1"},
		{"a.example", "64:ff9b::/96", "64:ff9b::a00:1", "10.0.0.1"},
		{"a.example", "0.0.0.0/0", "127.0.0.1 169.254.169.254", "::1 fd00::1"},
	} {
		p := permission{host: tc.host}
		for _, raw := range strings.Fields(tc.allowed) {
			p.extra = append(p.extra, netip.MustParsePrefix(raw))
		}
		for want, list := range map[bool]string{true: tc.yes, false: strings.ReplaceAll(tc.no, "11.0.0.1%x ", "")} {
			for _, raw := range strings.Fields(list) {
				if got := p.allows(netip.MustParseAddr(raw)); got != want {
					t.Errorf("%s %q: %s is allowed: %t", tc.host, tc.allowed, raw, got)
				}
			}
		}
	}
}

// named makes callouts to a service that only a zone knows, whose port is that of
// a server on this machine.
func named(t *testing.T, z *nametest.Zone, server string, cluster plugin.Cluster, log *slog.Logger) *Callouts {
	t.Helper()
	cluster.URL = parsed(t, "http://service.example:"+parsed(t, server).Port())
	client := NewClient()
	client.Resolver = z.Serve(t)
	c := newCallouts(client, map[string]*plugin.Cluster{"c": &cluster}, CalloutLimits{}, log)
	t.Cleanup(func() {
		c.Close()
		client.Close()
	})
	return c
}

func ranges(all ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, raw := range all {
		list = append(list, netip.MustParsePrefix(raw))
	}
	return list
}

// TestNamedDenied: names that stand for addresses of this network can't be called
// by any kind of call, unless the configuration says so, and the log says what would.
func TestNamedDenied(t *testing.T) {
	var reached atomic.Int32
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = io.WriteString(w, "secret")
	})
	for _, address := range []string{"127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "169.254.169.254", "10.0.0.1"} {
		t.Run(address, func(t *testing.T) {
			var log strings.Builder
			c := named(t, &nametest.Zone{Answers: [][]string{{address}}}, s.URL, plugin.Cluster{}, slog.New(slog.NewTextHandler(&log, nil)))
			r := answer(t, c, get("/"))
			if codeFor(r.Err) != prohibited || value(r.Headers, ":status") != "503" {
				t.Errorf("as a whole: %v %s", r.Err, r.Headers)
			}
			if _, _, _, err := outcome(t, start(t, c, Request{})); codeFor(err) != prohibited {
				t.Errorf("streamed: %v", err)
			}
			events := newRecorder()
			begin(t, c, unary("hello"), events)
			events.until(t, "closed 14 "+prohibited)
			if n := strings.Count(log.String(), "a callout was denied"); n != 1 || !strings.Contains(log.String(), "callout=c") ||
				!strings.Contains(log.String(), "service.example is ") || !strings.Contains(log.String(), "allowedCIDRs") {
				t.Errorf("%d lines:\n%s", n, log.String())
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Fatalf("%d calls were made", n)
	}
	c := named(t, &nametest.Zone{Answers: [][]string{{"127.0.0.1"}}}, s.URL, plugin.Cluster{AllowedCIDRs: ranges("127.0.0.0/8")}, nil)
	if r := answer(t, c, get("/")); string(r.Body) != "secret" {
		t.Errorf("allowed: %v", r.Err)
	}
}

// TestRebinding: what a name stood for before counts for nothing.
func TestRebinding(t *testing.T) {
	public := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "public") })
	port := parsed(t, public.URL).Port()
	// 127.0.0.2 plays the part of a public address; the other one is never to be
	// connected to, whatever it is.
	l, err := net.Listen("tcp", "127.0.0.3:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	open, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = public.Config.Serve(open) }()
	z := &nametest.Zone{Answers: [][]string{{"127.0.0.2"}, {"127.0.0.3"}, {"127.0.0.3", "127.0.0.2"}, {"127.0.0.3"}}}
	c := named(t, z, public.URL, plugin.Cluster{AllowedCIDRs: ranges("127.0.0.2/32")}, nil)
	for i, want := range []string{"public", "", "public", ""} {
		r := answer(t, c, get("/"))
		if string(r.Body) != want && want != "" || want == "" && codeFor(r.Err) != prohibited {
			t.Errorf("call %d: %q %v", i, r.Body, r.Err)
		}
		for _, transport := range c.client.transports.all {
			transport.CloseIdleConnections()
		}
	}
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if conn, err := l.Accept(); err == nil {
		t.Errorf("%s was called", conn.LocalAddr())
	}
	if z.Asked() < 4 {
		t.Errorf("the name was asked for %d times", z.Asked())
	}
}

// TestConnectionsNotShared: a connection that one plugin may have is not one that
// another gets.
func TestConnectionsNotShared(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	may := named(t, &nametest.Zone{Answers: [][]string{{"127.0.0.1"}}}, s.URL, plugin.Cluster{AllowedCIDRs: ranges("127.0.0.1/32")}, nil)
	cluster := *may.clusters["c"]
	cluster.AllowedCIDRs = nil
	mayNot := newCallouts(may.client, map[string]*plugin.Cluster{"c": &cluster}, CalloutLimits{}, nil)
	defer mayNot.Close()
	if r := answer(t, may, get("/")); string(r.Body) != "secret" {
		t.Fatal(r.Err)
	}
	if r := answer(t, mayNot, get("/")); codeFor(r.Err) != prohibited {
		t.Errorf("%q %v", r.Body, r.Err)
	}
}

// TestNames: what goes wrong with a name has its own errors.
func TestNames(t *testing.T) {
	c := named(t, &nametest.Zone{Answers: [][]string{{}}}, "http://a:80", plugin.Cluster{}, nil)
	if r := answer(t, c, get("/")); codeFor(r.Err) != "DNS-error" {
		t.Errorf("no address: %v", r.Err)
	}
	c = named(t, &nametest.Zone{Silent: true}, "http://a:80", plugin.Cluster{ConnectTimeout: 100 * time.Millisecond}, nil)
	if r := answer(t, c, get("/")); codeFor(r.Err) != "connection-timeout" {
		t.Errorf("no answer: %v", r.Err)
	}
}

// TestRedirectNotFollowed: to wherever it leads, and with what credentials, is the
// guest's affair; it has no way to go there.
func TestRedirectNotFollowed(t *testing.T) {
	for _, target := range []string{"http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "//elsewhere.example/"} {
		s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
		got, _, _, err := outcome(t, start(t, c, Request{Headers: headers("authorization", "secret", "cookie", "a=b")}))
		if err != nil || value(got, ":status") != "307" || value(got, "location") != target {
			t.Errorf("%s: %v %s", target, err, got)
		}
	}
}

// TestNoProxy: a proxy of the environment sees nothing.
func TestNoProxy(t *testing.T) {
	var asked atomic.Bool
	proxy := serve(t, false, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	c := named(t, &nametest.Zone{Answers: [][]string{{"127.0.0.1"}}}, s.URL, plugin.Cluster{AllowedCIDRs: ranges("127.0.0.1/32")}, nil)
	if r := answer(t, c, get("/")); string(r.Body) != "ok" || asked.Load() {
		t.Errorf("%q %v, proxy asked: %t", r.Body, r.Err, asked.Load())
	}
}

// TestDenialsLog: a guest that asks often doesn't fill the log.
func TestDenialsLog(t *testing.T) {
	var log strings.Builder
	d := denials{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 1000 {
		d.report("c", ErrFull)
		d.report("made up", ErrUnknownCluster)
		d.report("c", &Error{Code: prohibited})
		d.report("c", ErrClosed)
	}
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
