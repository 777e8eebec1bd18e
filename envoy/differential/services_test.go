package differential_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// callouts starts the services that setups call and returns their base URLs.
func callouts(t *testing.T, setups []setup) map[string]string {
	t.Helper()
	urls := map[string]string{}
	for _, s := range setups {
		for _, name := range s.callouts {
			if urls[name] != "" {
				continue
			}
			server := httptest.NewServer(services[name])
			urls[name] = server.URL
			if services[name] == nil {
				server.Close() // it is called for, and not there
			} else {
				t.Cleanup(server.Close)
			}
		}
	}
	return urls
}

var services = map[string]http.Handler{
	"auth": http.HandlerFunc(auth),
	"gone": nil,
}

// auth knows one user.
func auth(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet || r.URL.Path != "/check" || r.Host != "auth":
		http.Error(w, "no such check", http.StatusNotFound)
	case r.Header.Get("Authorization") == "Bearer good":
		w.Header().Set("X-User", "alice")
		_, _ = w.Write([]byte("welcome\n"))
	default:
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}
}
