package examples_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// broken shows that what breaks off stays broken: a client must never take half a body for a whole one, nor an upstream that is gone for
// one that answered.
func broken(t *testing.T, h host) {
	for _, e := range []example{
		{name: "header-rules", langs: []string{"rust", "c", "js", "python"}},
		{name: "body-passthrough", langs: []string{"rust"}},
		{name: "body-transform", langs: []string{"rust"}},
		{name: "trailers", langs: []string{"rust"}},
	} {
		for _, lang := range e.langs {
			t.Run(e.name+"/"+lang, func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}))
				defer server.Close()
				address := server.Listener.Addr().String()
				baseURL, client := h.start(t, plugin{example: e.name, lang: lang, upstream: address})
				client.Timeout = 20 * time.Second

				if status, body, err := get(t, client, baseURL, address); err == nil && status < 500 {
					t.Errorf("half a body arrived as a whole one: %d %q", status, body)
				}
				server.Close()
				if status, body, err := get(t, client, baseURL, address); err != nil || status < 500 {
					t.Errorf("upstream gone: %d %q, %v, want a status of 500 or more", status, body, err)
				}
			})
		}
	}
}

func get(t *testing.T, client *http.Client, baseURL, authority string) (int, string, error) {
	t.Helper()
	request, err := http.NewRequest("GET", baseURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = authority
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}
