package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestStoreConfig(t *testing.T) {
	dir := t.TempDir()
	secret, creds := filepath.Join(dir, "secret"), filepath.Join(dir, "creds")
	for path, text := range map[string]string{secret: "hush\n", creds: "-----BEGIN NATS USER JWT-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const plugins = "\nplugins:\n- {pluginName: a, url: a.wasm}\n- {pluginName: b, url: b.wasm, sharedData: {lifetime: 10m}}\n"
	for _, tc := range []struct {
		text  string
		want  Store
		files []string
	}{
		{"", Store{}, nil},
		{"store: nats://a:4222", Store{URL: "nats://a:4222"}, nil},
		{"store: 'nats://me:pw@a, nats://b:1'", Store{URL: "nats://a,nats://b:1", Username: "me", Password: "pw"}, nil},
		{"store: rediss://:pw@[::1]:6379/3", Store{URL: "rediss://[::1]:6379/3", Password: "pw"}, nil},
		{"store: {limits: {entries: 5, bytes: 1Mi, queues: 2, items: 3, queued: 2k}}", Store{Limits: StoreLimits{5, 1 << 20, 2, 3, 2000}}, nil},
		{"store: {url: redis://a, username: me, passwordFile: secret}", Store{URL: "redis://a", Username: "me", Password: "hush"}, []string{secret}},
		{"store: {url: tls://a, timeout: 50ms, prefix: shop-1, credentials: creds, replicas: 3, redelivery: 5s, tls: {serverName: b}}", Store{
			URL: "tls://a", Timeout: 50 * time.Millisecond, Prefix: "shop-1", Credentials: "-----BEGIN NATS USER JWT-----",
			Replicas: 3, Redelivery: 5 * time.Second, TLS: TLS{ServerName: "b"},
		}, []string{creds}},
	} {
		c, err := ParseConfig(filepath.Join(dir, "f.yaml"), []byte(tc.text+plugins), quietLog)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		for _, s := range c.Plugins {
			equal(t, s.Store, tc.want)
		}
		equal(t, c.Plugins[0].SharedData.Lifetime, 0)
		equal(t, c.Plugins[1].SharedData.Lifetime, 10*time.Minute)
		if !slices.Equal(c.Files, tc.files) {
			t.Errorf("%s: the files %q are watched, expected %q", tc.text, c.Files, tc.files)
		}
	}
}

// TestStoreErrors: every error names file, line and field, and none a password.
func TestStoreErrors(t *testing.T) {
	const (
		good = "plugins:\n- pluginName: a\n  url: a.wasm\n"
		urls = "expected nats://host:port, tls://host:port (NATS over TLS), redis://host:port/database or rediss://host:port/database (Redis over TLS)"
	)
	for _, tc := range []struct{ text, want string }{
		{"store: []", `store: is a list, expected a mapping`},
		{"store: 5", `store: is the number 5, expected a string`},
		{"store: memory", `store: is "memory", ` + urls},
		{"store: http://a", `store: is "http://a", ` + urls},
		{"store: nats://", `store: is "nats:", ` + urls},
		{"store: 'nats://a:b:c'", `store: is no URL, ` + urls},
		{"store: 'natz://me:hush@a'", `store: is "natz://me:xxxxx@a", ` + urls},
		{"store: 'nats://me:hush@a:x'", `store: is no URL, ` + urls},
		{"store: nats://a?x=1", `store: has the query "x=1": write a mapping with url and what else there is to say`},
		{"store: nats://a/b", `store: has the path "/b", which NATS has no use for`},
		{"store: redis://a/b", `store: has the path "/b", expected the number of a database`},
		{"store: 'redis://a,redis://b'", `store: names several servers, which only NATS can have`},
		{"store: 'nats://a,redis://b'", `store: names several servers, which only NATS can have`},
		{"store: {urk: nats://a}", `store.urk: unknown field, did you mean url?`},
		{"store: {url: 1}", `store.url: is the number 1, expected a string`},
		{"store: {timeout: 1s}", `store.timeout: is given without a url: memory has limits only`},
		{"store: {url: nats://a, timeout: 1}", `store.timeout: is the number 1, expected a duration such as 100ms or 2s`},
		{"store: {url: nats://a, prefix: A.b}", `store.prefix: is "A.b", expected 1 to 32 of a-z, 0-9 and -`},
		{"store: {url: nats://a, redelivery: 1500ms}", `store.redelivery: is 1.5s, expected whole seconds`},
		{"store: {url: redis://a, redelivery: 5s}", `store.redelivery: is given although the url's scheme is not nats`},
		{"store: {url: redis://a, replicas: 3}", `store.replicas: is given although the url's scheme is not nats`},
		{"store: {url: redis://a, tls: {serverName: b}}", `store.tls: is given although the url's scheme is not rediss`},
		{"store: {url: nats://a, tls: {serverName: b}}", `store.tls: is given although the url's scheme is not tls`},
		{"store: {url: tls://a, tls: {ca: none.pem}}", `store.tls.ca: "none.pem": no such file or directory`},
		{"store: {url: redis://a, passwordFile: none}", `store.passwordFile: "none": no such file or directory`},
		{"store: {url: redis://a, passwordFile: ''}", `store.passwordFile: is "", expected the path of a file`},
		{"store: {url: redis://a, password: a, passwordFile: config_store_test.go}", `store.passwordFile: is given beside password, expected one of them`},
		{"store: {limits: {entries: 0}}", `store.limits.entries: is 0, expected 1 or more`},
		{"store: {limits: {bytes: lots}}", `store.limits.bytes: is "lots", expected a number of bytes such as 64Mi`},
	} {
		_, err := ParseConfig("f.yaml", []byte(tc.text+"\n"+good), quietLog)
		if want := "f.yaml:1: " + tc.want; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", tc.text, err, want)
		}
	}
	_, err := ParseConfig("f.yaml", []byte(good+"  sharedData: {lifetime: 10ms}\n"), quietLog)
	if want := "f.yaml:4: plugins[0].sharedData.lifetime: is 10ms, expected whole seconds"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
