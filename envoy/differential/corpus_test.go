package differential_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// description is what a file beside a module says of it: name.json beside name.wasm. All of it may be left out.
type description struct {
	// RootID is "" if it isn't given; PluginConfig a text, or anything else that is handed over as JSON.
	RootID       string
	PluginConfig json.RawMessage
	// Callouts are services that the module may call, see services.
	Callouts []string
	// Requests are sent instead of the standard ones.
	Requests []struct {
		Name        string
		Send, Reply struct {
			Line              string
			Status            int
			Headers, Trailers []string
			Body              []string
		}
		// Want are lines that the outcome has.
		Want []string
	}
	// Ignore are beginnings of lines that can't be compared, such as a log with times in it: "log".
	Ignore []string
}

// TestCorpus runs the modules of the folder $PROXYWASM_CORPUS, if there is one, as TestModules does those of the tree.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("PROXYWASM_CORPUS"), "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if dir := os.Getenv("PROXYWASM_CORPUS"); dir != "" {
			t.Fatalf("there is no *.wasm in PROXYWASM_CORPUS=%s", dir)
		}
		// The form of the descriptions is tested with a module of the tree.
		files = []string{example(t, "proxy-wasm-headers", "c", "plugin.wasm")}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".wasm"), func(t *testing.T) {
			s, ignore := described(t, file)
			group{setups: []setup{s}, ignore: ignore, foreign: true}.run(t)
		})
	}
}

// described is the setup of a module and what is not to be compared.
func described(t *testing.T, file string) (setup, []string) {
	t.Helper()
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	var d description
	text, err := os.ReadFile(strings.TrimSuffix(file, ".wasm") + ".json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err == nil {
		in := json.NewDecoder(bytes.NewReader(text))
		in.DisallowUnknownFields()
		if err := in.Decode(&d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	config := string(d.PluginConfig)
	if strings.HasPrefix(config, `"`) {
		if err := json.Unmarshal(d.PluginConfig, &config); err != nil {
			t.Fatal(err)
		}
	}
	s := setup{
		name:      "corpus",
		plugins:   []plugin{{wasm: file, name: "corpus", root: d.RootID, config: config}},
		callouts:  d.Callouts,
		exchanges: standard,
	}
	if d.Requests != nil {
		s.exchanges = nil
	}
	for _, r := range d.Requests {
		s.exchanges = append(s.exchanges, exchange{
			name:  r.Name,
			send:  message{line: r.Send.Line, headers: r.Send.Headers, body: r.Send.Body, trailers: r.Send.Trailers},
			reply: message{status: r.Reply.Status, headers: r.Reply.Headers, body: r.Reply.Body, trailers: r.Reply.Trailers},
			want:  r.Want,
		})
	}
	return s, d.Ignore
}

// standard is what a module of which nothing is known is sent.
var standard = []exchange{
	{name: "GET", send: message{line: "GET /a/b?c=d", headers: []string{"x-a: 1", "x-a: 2", "cookie: a=b"}}, reply: message{headers: []string{"x-b: 1", "x-b: 2"}, body: []string{"hello"}}},
	{name: "again", send: message{line: "GET /a/b?c=d"}, reply: message{body: []string{"hello"}}},
	{name: "HEAD", send: message{line: "HEAD /"}},
	{name: "not found", send: message{line: "GET /none"}, reply: message{status: 404, body: []string{"none"}}},
	{name: "no content", send: message{line: "DELETE /a"}, reply: message{status: 204}},
	{name: "failure", send: message{line: "GET /fail"}, reply: message{status: 500, body: []string{"broken"}}},
	{name: "POST", send: message{line: "POST /a", headers: []string{"content-type: text/plain"}, body: []string{"some text"}}, reply: message{body: []string{"more text"}}},
	{name: "JSON", send: message{line: "POST /a", headers: []string{"content-type: application/json"}, body: []string{`{"a":"b","c":[1,2]}`}},
		reply: message{headers: []string{"content-type: application/json"}, body: []string{`{"d":null}`}}},
	{name: "form", send: message{line: "POST /a?x=y", headers: []string{"content-type: application/x-www-form-urlencoded"}, body: []string{"a=b&c=d"}}, reply: message{body: []string{"ok"}}},
	{name: "chunks", send: message{line: "PUT /a", body: []string{"one", "two", "three"}}, reply: message{body: []string{"a", "b", "c"}}},
	{name: "large", send: message{line: "PUT /a", body: []string{repeated("large ", 30_000)}}, reply: message{body: []string{repeated("larger ", 60_000)}}},
	{name: "trailers", send: message{line: "POST /a", headers: []string{"te: trailers"}, body: []string{"a"}, trailers: []string{"x-t: 1"}}, reply: message{body: []string{"b"}, trailers: []string{"x-u: 2"}}},
	{name: "credentials", send: message{headers: []string{"authorization: Bearer token", "x-forwarded-for: 10.0.0.1"}}, reply: message{headers: []string{"set-cookie: a=b", "set-cookie: c=d"}}},
}
