package guests

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// next is the hop after a guest: it answers with the request's line and body.
func next(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s ", r.Method, r.RequestURI)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// ask sends a request and returns the status, 0 if there was no answer, the headers and the body.
func ask(t *testing.T, s *Server, method, path, authority string, body io.Reader) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequest(method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = authority
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s %s: reading the body: %v", method, path, err)
	}
	return response.StatusCode, response.Header, string(answer)
}

// said waits for a text in the output, which may come after the answer to the request that caused it.
func said(s *Server, text string) bool {
	for range 6000 {
		if strings.Contains(s.Output(), text) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// TestMisbehaviour shows that each guest passes a request on, but for the path on which it misbehaves.
func TestMisbehaviour(t *testing.T) {
	for _, test := range []struct {
		guest, path string
		flags       []string
		status      int // 0 if there is no answer within the client's patience
		says        string
	}{
		{guest: "trap", path: "/trap", status: 500, says: "unreachable"},
		{guest: "loop", path: "/loop"},
		{guest: "loop", path: "/loop-hostcalls"},
		{guest: "memory-bomb", path: "/bomb", flags: []string{"-W", "max-memory-size=67108864"}, status: 500, says: "unreachable"},
		{guest: "exit", path: "/exit", status: 500},
		{guest: "exit", path: "/exit-failure", status: 500},
	} {
		t.Run(test.guest+test.path, func(t *testing.T) {
			s := Serve(t, Path(t, test.guest), test.flags...)
			authority := next(t)
			if status, _, body := ask(t, s, "POST", "/x?y", authority, strings.NewReader("body")); status != 200 || body != "POST /x?y body" {
				t.Errorf("another path: %d %q, want the answer of the next hop", status, body)
			}
			status, _, body := ask(t, s, "GET", test.path, authority, nil)
			if status != test.status {
				t.Errorf("%s: %d %q, want status %d", test.path, status, body, test.status)
			}
			if !said(s, test.says) {
				t.Errorf("%s: the host's log doesn't say %q", test.path, test.says)
			}
		})
	}
}

func TestIsolation(t *testing.T) {
	s := Serve(t, Path(t, "isolation"))
	authority := next(t)
	for range 3 {
		if _, headers, _ := ask(t, s, "GET", "/", authority, nil); headers.Get("X-Count") != "1" {
			t.Errorf("x-count: %q, want 1", headers.Get("X-Count"))
		}
	}
	s = Serve(t, Path(t, "isolation"), "--max-instance-reuse-count", "10")
	last := ""
	for range 3 {
		_, headers, _ := ask(t, s, "GET", "/", authority, nil)
		last = headers.Get("X-Count")
	}
	if last != "3" {
		t.Errorf("x-count of a third request in one instance: %q, want 3", last)
	}
}

func TestEchoLate(t *testing.T) {
	s := Serve(t, Path(t, "echo-late"))
	for _, size := range []int{0, 1, 3_000_000} {
		sent := bytes.Repeat([]byte{'x'}, size)
		sum := fnv.New64a()
		sum.Write(sent)
		want := fmt.Sprintf("length %d\nfnv1a %016x\ntrailers 0\ncomplete\n", size, sum.Sum64())
		if _, _, got := ask(t, s, "POST", "/", "nobody", bytes.NewReader(sent)); got != want {
			t.Errorf("%d bytes: %q, want %q", size, got, want)
		}
	}
}

func TestEarly(t *testing.T) {
	s := Serve(t, Path(t, "early"))
	unread, never := io.Pipe()
	defer never.Close()
	if status, _, body := ask(t, s, "POST", "/", "nobody", unread); status != 200 || body != "early\n" {
		t.Errorf("%d %q, want an answer before there is a body", status, body)
	}
}

func TestProbe(t *testing.T) {
	s := Serve(t, Path(t, "probe"), "-S", "config-var=a=b", "--env", "GREETING=hello")
	_, _, report := ask(t, s, "GET", "/", "nobody", nil)
	want := regexp.MustCompile(`^environment GREETING=hello
(?:environment INSTANCE_ID=\d+
)?arguments \d+
preopens 0
open denied
monotonic forward
wall \d{10}
random differs
config a=b
$`)
	if !want.MatchString(report) {
		t.Errorf("report:\n%s", report)
	}
	for _, line := range []string{"a line to stdout", "a line to stderr"} {
		if !said(s, line) {
			t.Errorf("output lacks %q", line)
		}
	}
}

// TestDuplex holds a conversation: each word goes out after the answer to the one before has come back.
func TestDuplex(t *testing.T) {
	s := Serve(t, Path(t, "duplex"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flow := http.NewResponseController(w)
		if err := flow.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		_ = flow.Flush()
		buffer := make([]byte, 100)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(bytes.ToUpper(buffer[:n]))
			_ = flow.Flush()
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	body, words := io.Pipe()
	request, err := http.NewRequest("POST", s.URL+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = server.Listener.Addr().String()
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(words, word); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len(word))
		if _, err := io.ReadFull(response.Body, answer); err != nil || string(answer) != strings.ToUpper(word) {
			t.Fatalf("answer to %q: %q, %v", word, answer, err)
		}
	}
	words.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) != 0 {
		t.Errorf("after the last word: %q, %v", rest, err)
	}
}

// TestRefused shows that wasmtime doesn't serve what a host can't run.
func TestRefused(t *testing.T) {
	for guest, says := range map[string]string{
		"cli":            "wasi:http/incoming-handler",
		"missing-import": "acme:missing/thing",
		"logging":        "wasi:logging/logging",
	} {
		if output := refusal(t, Path(t, guest)); !strings.Contains(output, says) {
			t.Errorf("%s: %q, want a refusal that names %s", guest, output, says)
		}
	}
}

func refusal(t *testing.T, component string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, wasmtime(t), "serve", "--addr", "127.0.0.1:0", "-S", "cli", component).CombinedOutput()
	if err == nil {
		t.Errorf("%s was served", component)
	}
	return string(output)
}
