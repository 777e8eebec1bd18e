package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Seen is a request as it reached the upstream, and the answer of every path
// that has no other.
type Seen struct {
	Proto    string      `json:"proto"`
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Host     string      `json:"host"`
	Headers  http.Header `json:"headers"`
	Body     string      `json:"body"`
	Trailers http.Header `json:"trailers,omitempty"`
	// Length is the declared content-length, -1 when there was none.
	Length int64 `json:"length"`
}

// Sum describes a body too large to echo.
type Sum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// echo answers with the request as JSON.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, Seen{
		Proto:    r.Proto,
		Method:   r.Method,
		Target:   r.RequestURI,
		Host:     r.Host,
		Headers:  r.Header,
		Body:     string(body),
		Trailers: r.Trailer,
		Length:   r.ContentLength,
	})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // fails only when the client is gone
}

// raw sends the body back as it comes, trailers too.
func raw(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 always is
	if kind := r.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			_ = control.Flush()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	for name, values := range r.Trailer {
		w.Header()[http.TrailerPrefix+name] = values
	}
}

// Fill writes the repeatable content of /bytes/{n} at an offset into p.
func Fill(p []byte, offset int64) {
	for i := range p {
		at := offset + int64(i)
		p[i] = byte(at*31 + at>>12)
	}
}

// produce answers with n bytes, with a content-length unless ?chunked is given.
func produce(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "expected /bytes/{n}", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.URL.Query().Has("chunked") {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	} else {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	buf := make([]byte, 64<<10)
	for offset := int64(0); offset < n; {
		part := buf[:min(int64(len(buf)), n-offset)]
		Fill(part, offset)
		if _, err := w.Write(part); err != nil {
			return
		}
		offset += int64(len(part))
	}
}

// sum reads the body and answers with its length and digest.
func sum(w http.ResponseWriter, r *http.Request) {
	digest := sha256.New()
	n, err := io.Copy(digest, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, Sum{Bytes: n, SHA256: hex.EncodeToString(digest.Sum(nil))})
}

// withStatus answers with any status; those that may have a body name it.
func withStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 999 {
		http.Error(w, "expected /status/{200..999}", http.StatusBadRequest)
		return
	}
	w.Header().Set("X-Upstream-Status", strconv.Itoa(code))
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(code)
	fmt.Fprintf(w, "status %d\n", code)
}

// trailers answers with a body and two trailers, after the request's.
func trailers(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Trailer", "X-Checksum, X-Request-Trailer")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
	digest := sha256.Sum256(body)
	w.Header().Set("X-Checksum", hex.EncodeToString(digest[:4]))
	w.Header().Set("X-Request-Trailer", r.Trailer.Get("X-Request-Trailer"))
}

// chunks answers with n lines, a pause of 20 ms before each.
func chunks(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		http.Error(w, "expected /chunks/{n}", http.StatusBadRequest)
		return
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	for i := range n {
		_ = control.Flush()
		if !pause(r, 20*time.Millisecond) {
			return
		}
		fmt.Fprintf(w, "chunk %d\n", i)
	}
}

// slow answers after some milliseconds.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.PathValue("ms"))
	if err != nil {
		http.Error(w, "expected /slow/{ms}", http.StatusBadRequest)
		return
	}
	if pause(r, time.Duration(ms)*time.Millisecond) {
		fmt.Fprintln(w, "slow")
	}
}

func pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

// early answers before it has read the body, then reads it.
func early(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	w.WriteHeader(http.StatusOK)
	fmt.Fprintln(w, "early")
	_ = control.Flush()
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintln(w, n)
}

// hints sends 103 before it answers.
func hints(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</style.css>; rel=preload")
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(http.StatusOK)
	fmt.Fprintln(w, "hinted")
}

// cut promises more than the n bytes it sends, and breaks off.
func cut(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		http.Error(w, "expected /cut/{n}", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n+1))
	_, _ = w.Write(make([]byte, n))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// upgrade turns the connection into a tunnel that sends back what comes, under
// the name of WebSocket.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		http.Error(w, "expected upgrade: websocket", http.StatusUpgradeRequired)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-seen: %s\r\n\r\n", r.Header.Get("X-Plugin"))
	_, _ = io.Copy(conn, buffered) // until the client is gone
}
