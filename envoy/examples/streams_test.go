package examples_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// streams shows that plugins hand bodies on piece by piece: the client gets the first piece of a response before the upstream has made the
// second, and the upstream the first of a request before the client has sent the second.
func streams(t *testing.T, h host) {
	for _, test := range []struct{ example, lang, first, second string }{
		{"header-rules", "rust", "one", "two"},
		{"header-rules", "c", "one", "two"},
		{"header-rules", "js", "one", "two"},
		{"header-rules", "python", "one", "two"},
		{"body-passthrough", "rust", "one", "two"},
		{"body-transform", "rust", "ONE", "TWO"},
	} {
		t.Run(test.example+"/"+test.lang, func(t *testing.T) {
			arrived, proceed := make(chan string, 2), make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				arrived <- piece(r.Body, 3)
				arrived <- piece(r.Body, 4)
				_, _ = io.WriteString(w, "one")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-proceed:
					_, _ = io.WriteString(w, "two")
				case <-r.Context().Done(): // the client gave up
				}
			}))
			t.Cleanup(server.Close)
			address := server.Listener.Addr().String()
			baseURL, client := h.start(t, plugin{example: test.example, lang: test.lang, upstream: address})
			client.Timeout = 30 * time.Second

			body, pieces := io.Pipe()
			go func() {
				_, _ = io.WriteString(pieces, "one")
				expect(t, "upstream: first piece", <-arrived, test.first)
				_, _ = io.WriteString(pieces, "two")
				pieces.Close()
				expect(t, "upstream: second piece", <-arrived, test.second)
			}()
			request, err := http.NewRequest("POST", baseURL, body)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = address
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			expect(t, "client: first piece", piece(response.Body, 3), test.first)
			close(proceed)
			expect(t, "client: second piece", piece(response.Body, 4), test.second)
		})
	}
}

// piece reads n bytes, or as many as there are.
func piece(from io.Reader, n int) string {
	buffer := make([]byte, n)
	read, _ := io.ReadFull(from, buffer)
	return string(buffer[:read])
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
