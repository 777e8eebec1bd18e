package differential_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstream shows what reached it and replies as it was told.
type upstream struct {
	server *httptest.Server

	mu    sync.Mutex
	reply message
	saw   outcome
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	u.server = httptest.NewServer(u)
	t.Cleanup(u.server.Close)
	return u
}

func (u *upstream) address() string { return strings.TrimPrefix(u.server.URL, "http://") }

// expect says how the next requests are replied to.
func (u *upstream) expect(reply message) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reply, u.saw = reply, nil
}

// seen is what arrived since expect. A request that broke off is as good as none: how much of it still arrives is a race.
func (u *upstream) seen() outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.saw
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	lines := outcome{fmt.Sprintf("request %s %s %s", r.Method, r.RequestURI, r.Proto), "request header host: " + r.Host}
	lines = append(lines, fields("request header", r.Header)...)
	lines = append(lines, content("request body", body)...)
	lines = append(lines, fields("request trailer", r.Trailer)...)
	u.mu.Lock()
	u.saw = append(u.saw, lines...)
	reply := u.reply
	u.mu.Unlock()
	reply.write(w)
}

func (m message) write(w http.ResponseWriter) {
	if m.status == broken {
		panic(http.ErrAbortHandler)
	}
	for _, field := range m.headers {
		name, value, _ := strings.Cut(field, ": ")
		w.Header().Add(name, value)
	}
	if len(m.body) == 1 && m.trailers == nil {
		w.Header().Set("Content-Length", fmt.Sprint(len(m.body[0])))
	}
	status := m.status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	for i, chunk := range m.body {
		if i > 0 {
			time.Sleep(chunkGap)
		}
		_, _ = io.WriteString(w, chunk) // fails only when the proxy is gone
		if len(m.body) > 1 || m.trailers != nil {
			_ = http.NewResponseController(w).Flush()
		}
	}
	for _, field := range m.trailers {
		name, value, _ := strings.Cut(field, ": ")
		w.Header().Add(http.TrailerPrefix+name, value)
	}
}
