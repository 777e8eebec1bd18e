package differential_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// message is a request to send, or a reply of the upstream.
type message struct {
	// line is method and target of a request: "GET /a?b=c"; "" is GET /.
	line string
	// status of a reply; 0 is 200, broken no reply at all.
	status int
	// headers and trailers are "name: value".
	headers, trailers []string
	// body is sent as chunks, each on its way before the next is written; nil is none.
	body []string
}

const broken = -1

// exchange is a request, how the upstream would reply, and lines of what comes of it.
type exchange struct {
	name  string
	send  message
	reply message
	http2 bool // of the client
	// cut is a response that fails when its headers are on their way. In Envoy they are with the client, which sees the response cut; behind
	// ext_proc, if they are not there yet, it sees a whole 503. How far they have come is a race.
	cut bool
	// want are lines that the outcome has, absent beginnings that no line has.
	want, absent []string
}

// outcome is what an exchange came to, as lines for people to compare:
//
//	request GET /a HTTP/1.1
//	request header x-a: 1
//	request body "text"
//	request trailer x-b: 2
//	response 200
//	response header, body, trailer
//	log info text of the plugin
//
// Headers are sorted by name, values of one name as they came.
type outcome []string

// chunkGap lets a chunk travel before the next one follows.
const chunkGap = 30 * time.Millisecond

// do sends the request and returns the lines of the response.
func (m message) do(t *testing.T, client *http.Client, base string) outcome {
	t.Helper()
	method, target, _ := strings.Cut(m.line, " ")
	if method == "" {
		method, target = http.MethodGet, "/"
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+target, m.stream())
	if err != nil {
		t.Fatal(err)
	}
	// A body in one piece has its length declared; in several pieces, or before trailers, it can't be.
	if len(m.body) == 1 && m.trailers == nil {
		req.ContentLength = int64(len(m.body[0]))
	}
	req.Host = "upstream.test" // not the port of one side or the other
	for _, field := range m.headers {
		name, value, _ := strings.Cut(field, ": ")
		if name == "host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	for _, field := range m.trailers {
		name, value, _ := strings.Cut(field, ": ")
		if req.Trailer == nil {
			req.Trailer = http.Header{}
		}
		req.Trailer.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return outcome{"response cut before its headers"}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	lines := outcome{fmt.Sprint("response ", resp.StatusCode)}
	lines = append(lines, fields("response header", resp.Header)...)
	lines = append(lines, content("response body", body)...)
	if err != nil {
		return append(lines, "response cut")
	}
	return append(lines, fields("response trailer", resp.Trailer)...)
}

// stream is the body to send; nil is none.
func (m message) stream() io.Reader {
	if len(m.body) == 0 {
		if m.trailers == nil {
			return nil
		}
		return io.NopCloser(strings.NewReader("")) // trailers need a body of unknown length, even of none
	}
	r, w := io.Pipe()
	go func() {
		for i, chunk := range m.body {
			if i > 0 {
				time.Sleep(chunkGap)
			}
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

// volatile are headers that differ from one exchange to the next on any proxy; what is left of them is that they are there.
var volatile = map[string]bool{"Date": true, "X-Request-Id": true}

// own are headers by which Envoy tells of itself: how long the upstream took. Of a response that a plugin answers instead, ext_proc keeps it.
var own = map[string]bool{"X-Envoy-Upstream-Service-Time": true}

// framing is how the end of a body is told. A body that a plugin may change goes without its length behind ext_proc, and without
// is how it then arrives; the body itself is compared byte by byte.
var framing = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Trailer": true}

func fields(what string, h http.Header) outcome {
	var lines outcome
	for name, values := range h {
		for _, value := range values {
			switch {
			case framing[name], own[name]:
				continue
			case volatile[name]:
				value = "(some)"
			}
			lines = append(lines, fmt.Sprintf("%s %s: %s", what, strings.ToLower(name), value))
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, ": ")
		nameB, _, _ := strings.Cut(b, ": ")
		return strings.Compare(nameA, nameB)
	})
	return lines
}

// content is a body, or what identifies a long one.
func content(what string, body []byte) outcome {
	switch {
	case len(body) == 0:
		return nil
	case len(body) > 1000:
		return outcome{fmt.Sprintf("%s of %d bytes, %x", what, len(body), sha256.Sum256(body))}
	}
	return outcome{fmt.Sprintf("%s %q", what, body)}
}

// long describes a long body as content does.
func long(body string) string {
	return strings.TrimPrefix(content("", []byte(body))[0], " ")
}

// check compares an outcome with what the case says of it.
func (x exchange) check(t *testing.T, got outcome) {
	t.Helper()
	for _, line := range x.want {
		if !slices.Contains(got, line) {
			t.Errorf("there is no line %q", line)
		}
	}
	for _, beginning := range x.absent {
		if slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, beginning) }) {
			t.Errorf("there is a line %q", beginning)
		}
	}
	if t.Failed() {
		t.Logf("it came to:\n%s", got)
	}
}

// failed leaves out the response if it is one that failed, in either way.
func (o outcome) failed() outcome {
	if !slices.Contains(o, "response cut") && !slices.Contains(o, "response 503") {
		return o
	}
	return append(o.without([]string{"response "}), "response failed")
}

// without are the lines that can be compared.
func (o outcome) without(beginnings []string) outcome {
	return slices.DeleteFunc(slices.Clone(o), func(line string) bool {
		return slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(line, b) })
	})
}

// compare fails if the two are not the same, and prints both.
func compare(t *testing.T, inside, outside outcome) {
	t.Helper()
	if slices.Equal(inside, outside) {
		return
	}
	var b strings.Builder
	for _, line := range inside {
		if !slices.Contains(outside, line) {
			fmt.Fprintln(&b, "only in Envoy:  ", line)
		}
	}
	for _, line := range outside {
		if !slices.Contains(inside, line) {
			fmt.Fprintln(&b, "only in extproc:", line)
		}
	}
	t.Errorf("the two sides differ\n%s--- in Envoy\n%s\n--- in extproc\n%s", b.String(), inside, outside)
}

func (o outcome) String() string { return strings.Join(o, "\n") }

func repeated(text string, n int) string { return string(bytes.Repeat([]byte(text), n)) }
