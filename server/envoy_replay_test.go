package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// legal is what of a fuzzed conversation HTTP allows: a request and its response.
type legal struct {
	method            string
	request, response []string // the chunks of the bodies
	trailers          [2]bool
	status            int
}

// legalise reads a conversation as FuzzProcess does and leaves out what a client or an
// upstream can't do.
func legalise(conversation []byte) legal {
	l := legal{method: http.MethodPost, status: http.StatusOK}
	ended := [2]bool{}
	for _, c := range conversation[:min(len(conversation), 40)] {
		line, eos := strings.CutSuffix(lines[int(c)%len(lines)], "eos")
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		d := plugin.Request
		chunks := &l.request
		if kind[0] == 'r' {
			d, chunks = plugin.Response, &l.response
		}
		if len(kind) != 2 || ended[d] || text == "drained" {
			continue
		}
		switch kind[1] {
		case 'h':
			if d == plugin.Request && strings.Contains(text, "HEAD") {
				l.method = http.MethodHead
			}
			if d == plugin.Response && strings.Contains(text, "204") {
				l.status = http.StatusNoContent
			}
		case 'b':
			*chunks = append(*chunks, text)
		case 't':
			l.trailers[d], eos = true, true
		}
		ended[d] = eos && kind[1] != 'h'
	}
	if l.method == http.MethodHead {
		l.request, l.trailers[plugin.Request] = nil, false
	}
	return l
}

// body is what the client has of a body.
func (l legal) body(d plugin.Direction) string {
	if d == plugin.Request {
		return strings.Join(l.request, "")
	}
	if l.method == http.MethodHead || l.status == http.StatusNoContent {
		return ""
	}
	return strings.Join(l.response, "")
}

// player is an upstream that answers as a legal exchange says.
type player struct {
	mu   sync.Mutex
	now  legal
	body string
	came http.Header // trailers
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // compared with what was sent
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.came = string(body), r.Trailer
	w.WriteHeader(p.now.status)
	control := http.NewResponseController(w)
	for _, chunk := range p.now.response {
		_, _ = io.WriteString(w, chunk) // a HEAD or 204 takes none
		_ = control.Flush()
	}
	if p.now.trailers[plugin.Response] {
		w.Header().Set(http.TrailerPrefix+"T", "1")
	}
}

// pieces is a body that comes in chunks.
type pieces struct{ rest []string }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[0])
	p.rest = p.rest[1:]
	time.Sleep(time.Millisecond) // or they would go out as one
	return n, nil
}

// TestEnvoyReplay: what is legal in the conversations of FuzzProcess goes through a
// real Envoy in each mode, with guests that hand on what they see: neither side has
// lost anything, and Envoy understood every answer.
func TestEnvoyReplay(t *testing.T) {
	exchanges := append(corpus(t), random(40)...)
	for _, mode := range []string{"NONE", "STREAMED", "BUFFERED", "FULL_DUPLEX_STREAMED"} {
		t.Run(mode, func(t *testing.T) {
			up := &player{}
			server := httptest.NewServer(up)
			t.Cleanup(server.Close)
			p := before(t, setup{strategy: plugin.FailClose, edit: inMode(
				"request_header_mode: SEND", "response_header_mode: SEND", "request_body_mode: "+mode, "response_body_mode: "+mode,
				"request_trailer_mode: SEND", "response_trailer_mode: SEND",
			)}, server.Listener.Addr().String())
			for i, l := range exchanges {
				client := p.http1
				if i%2 == 1 {
					client = p.http2
				}
				for _, do := range []string{"pass", "stream-both", "headers"} {
					if wrong := p.replay(t, client, up, l, do); wrong != "" {
						t.Errorf("%s, %+v: %s", do, l, wrong)
					}
				}
			}
			p.noneSpurious(t)
		})
	}
	t.Logf("%d exchanges, with 3 guests each", len(exchanges))
}

// replay plays an exchange and says what went wrong.
func (p *proxied) replay(t *testing.T, c *http.Client, up *player, l legal, do string) string {
	t.Helper()
	up.mu.Lock()
	up.now, up.body, up.came = l, "", nil
	up.mu.Unlock()
	var body io.Reader
	if len(l.request) > 0 || l.trailers[plugin.Request] {
		body = &pieces{rest: append([]string(nil), l.request...)}
	}
	req, err := http.NewRequestWithContext(t.Context(), l.method, p.url+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	if l.trailers[plugin.Request] {
		req.Trailer = http.Header{"T": {"1"}}
	}
	req.Header.Set("X-Do", do)
	resp, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	status := l.status
	if do == "headers" {
		status = http.StatusCreated
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	switch {
	case resp.StatusCode != status:
		return fmt.Sprintf("status %d, expected %d", resp.StatusCode, status)
	case string(got) != l.body(plugin.Response):
		return fmt.Sprintf("the client got %q", got)
	case up.body != l.body(plugin.Request):
		return fmt.Sprintf("the upstream got %q", up.body)
	case l.trailers[plugin.Request] && up.came.Get("T") != "1":
		return "the request's trailers are lost"
	case l.trailers[plugin.Response] && l.body(plugin.Response) != "" && resp.Trailer.Get("T") != "1":
		return "the response's trailers are lost"
	}
	return ""
}

// corpus are the conversations that fuzzing found of interest.
func corpus(t *testing.T) []legal {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzProcess", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	var all []legal
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, quoted, _ := bytes.Cut(text, []byte("[]byte("))
		conversation, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(string(quoted)), ")"))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, legalise([]byte(conversation)))
	}
	return all
}

// random are further conversations, the same each time.
func random(n int) []legal {
	source := rand.New(rand.NewPCG(1, 2))
	var all []legal
	for range n {
		conversation := make([]byte, 1+source.IntN(12))
		for i := range conversation {
			conversation[i] = byte(source.IntN(len(lines)))
		}
		all = append(all, legalise(conversation))
	}
	return all
}
