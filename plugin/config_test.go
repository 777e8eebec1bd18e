package plugin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var quietLog = slog.New(slog.DiscardHandler)

func TestConfig(t *testing.T) {
	t.Setenv("FROM_HOST", "host value")
	c, err := ParseConfig("/etc/extproc/extproc.yaml", []byte(`
plugins:
- pluginName: one
  url: file:///opt/one.wasm
  sha256: 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef
  pluginConfig:
    header: x-a
    count: 007
    big: 12345678901234567890
    list: [1, 2.50, yes, ~, "s"]
    date: 2020-01-02
    hex: 0x10
    deep: {b: 1, a: 2}
  failStrategy: FAIL_OPEN
  phase: AUTHZ
  priority: -5
  vmConfig:
    env:
    - {name: A, value: a}
    - {name: FROM_HOST, valueFrom: HOST}
  callouts: {auth: "http://127.0.0.1:9000", "b.example:443": https://b.example}
  limits: {timeout: 100ms, memory: 64Mi, instances: 3}
`), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Plugins[0]
	equal(t, s.Name, "one")
	equal(t, s.URL, "/opt/one.wasm")
	equal(t, s.SHA256, strings.Repeat("0123456789abcdef", 4))
	equal(t, string(s.Config), `{"header":"x-a","count":7,"big":12345678901234567890,"list":[1,2.50,"yes",null,"s"],"date":"2020-01-02","hex":16,"deep":{"b":1,"a":2}}`)
	equal(t, s.ConfigMap["header"], "x-a")
	equal(t, s.ConfigMap["count"], "7")
	equal(t, s.ConfigMap["date"], "2020-01-02")
	equal(t, s.ConfigMap["deep"], `{"b":1,"a":2}`)
	equal(t, s.FailStrategy, FailOpen)
	equal(t, s.Stage, AuthZ)
	equal(t, s.Priority, -5)
	equal(t, s.Env["A"], "a")
	equal(t, s.Env["FROM_HOST"], "host value")
	equal(t, s.Callouts["auth"].URL.String(), "http://127.0.0.1:9000")
	equal(t, s.Callouts["b.example:443"].URL.String(), "https://b.example")
	equal(t, s.Limits, Limits{Timeout: 100 * time.Millisecond, Memory: 64 << 20, Instances: 3})
}

func TestConfigDefaults(t *testing.T) {
	c, err := ParseConfig(filepath.Join("dir", "extproc.yaml"), []byte("plugins: [{pluginName: a, url: b/c.wasm, pluginConfig: 'text: as it is'}]"), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Plugins[0]
	equal(t, s.URL, filepath.Join("dir", "b", "c.wasm"))
	equal(t, string(s.Config), "text: as it is")
	equal(t, s.Stage, Unstaged)
	equal(t, s.FailStrategy, FailClose)
	equal(t, s.Limits, Limits{Timeout: DefaultTimeout, Memory: DefaultMemory, Instances: DefaultInstances})
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, expected %v", got, want)
	}
}

// TestClusters: callouts and clusters are two names of one field, which takes a
// URL or a mapping; certificates may be files, which are watched.
func TestClusters(t *testing.T) {
	dir := t.TempDir()
	certificate, key := selfSigned(t)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`plugins:
- pluginName: a
  url: a.wasm
  callouts:
    plain: http://127.0.0.1:9000
    two: h2c://two.example
  clusters:
    full:
      url: https://auth.example
      timeout: 250ms
      connectTimeout: 1s
      firstByteTimeout: 2s
      betweenBytesTimeout: 3s
      allowedCIDRs: [10.0.0.0/8, "fd00::/8"]
      tls: {ca: ca.pem, cert: %q, key: %q, serverName: auth, insecureSkipVerify: true}
`, certificate, key)
	c, err := ParseConfig(filepath.Join(dir, "f.yaml"), []byte(text), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Plugins[0]
	equal(t, len(s.Callouts), 3)
	equal(t, s.Callouts["plain"].URL.String(), "http://127.0.0.1:9000")
	equal(t, s.Callouts["two"].URL.String(), "http://two.example")
	equal(t, s.Callouts["two"].HTTP2, true)
	full := s.Callouts["full"]
	equal(t, full.Timeout, 250*time.Millisecond)
	equal(t, [3]time.Duration{full.ConnectTimeout, full.FirstByteTimeout, full.BetweenBytesTimeout}, [3]time.Duration{time.Second, 2 * time.Second, 3 * time.Second})
	equal(t, fmt.Sprint(full.AllowedCIDRs), "[10.0.0.0/8 fd00::/8]")
	equal(t, full.TLS, TLS{CA: certificate, Cert: certificate, Key: key, ServerName: "auth", InsecureSkipVerify: true})
	equal(t, strings.Join(s.Files, " "), filepath.Join(dir, "ca.pem"))
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

// TestConfigErrors: every error names file, line and field.
func TestConfigErrors(t *testing.T) {
	const good = "plugins:\n- pluginName: a\n  url: a.wasm\n"
	for _, tc := range []struct{ text, want string }{
		{"", "f.yaml: is empty, expected `plugins:`"},
		{"# nothing", "f.yaml: is empty, expected `plugins:`"},
		{"plugins: [", "f.yaml:1: no valid YAML: did not find expected node content"},
		{"a: b: c", "f.yaml: no valid YAML: mapping values are not allowed in this context"},
		{good + "---\nb: 1", "f.yaml:4: a second document, expected one"},
		{"[]", "f.yaml:1: the configuration: is a list, expected a mapping"},
		{"null", "f.yaml:1: the configuration: is nothing, expected a mapping"},
		{"plugin: []", "f.yaml:1: plugin: unknown field, did you mean plugins?"},
		{"quite_different: []", "f.yaml:1: quite_different: unknown field, expected one of default, plugins, routes, store"},
		{"plugins: []", "f.yaml:1: plugins: names no plugin, expected at least one"},
		{"{}", "f.yaml:1: plugins: names no plugin, expected at least one"},
		{"plugins: {}", "f.yaml:1: plugins: is a mapping, expected a list"},
		{"plugins: [a]", `f.yaml:1: plugins[0]: is "a", expected a mapping`},
		{"plugins: [{}]", "f.yaml:1: plugins[0].pluginName: is missing"},
		{"plugins:\n- pluginName: a", "f.yaml:2: plugins[0].url: is missing, expected the path of a .wasm file"},
		{"plugins:\n- pluginName: 1", "f.yaml:2: plugins[0].pluginName: is the number 1, expected a string"},
		{"plugins:\n- pluginName: ''", `f.yaml:2: plugins[0].pluginName: is "", expected a name of 1 to 253 characters without blanks`},
		{"plugins:\n- pluginName: a b", `f.yaml:2: plugins[0].pluginName: is "a b", expected a name of 1 to 253 characters without blanks`},
		{good + "  falStrategy: FAIL_OPEN", "f.yaml:4: plugins[0].falStrategy: unknown field, did you mean failStrategy?"},
		{good + "  failStrategy: FAIL", `f.yaml:4: plugins[0].failStrategy: is "FAIL", expected one of FAIL_CLOSE, FAIL_OPEN, FAIL_RELOAD`},
		{good + "  failStrategy: [FAIL_OPEN]", `f.yaml:4: plugins[0].failStrategy: is a list, expected one of FAIL_CLOSE, FAIL_OPEN, FAIL_RELOAD`},
		{good + "  phase: LATE", `f.yaml:4: plugins[0].phase: is "LATE", expected one of AUTHN, AUTHZ, STATS, UNSPECIFIED_PHASE`},
		{good + "  priority: high", `f.yaml:4: plugins[0].priority: is "high", expected a whole number`},
		{good + "  priority: 3000000000", `f.yaml:4: plugins[0].priority: is 3000000000, expected a whole number of 32 bits`},
		{good + "  url: b", "f.yaml:4: plugins[0].url: occurs twice"},
		{"plugins:\n- pluginName: a\n  url: oci://x/y", `f.yaml:3: plugins[0].url: is "oci://x/y": oci:// is not supported yet, expected a path or file://`},
		{"plugins:\n- pluginName: a\n  url: file://host/x", `f.yaml:3: plugins[0].url: is "file://host/x", expected a path or file:///path`},
		{"plugins:\n- pluginName: a\n  url: ''", `f.yaml:3: plugins[0].url: is "", expected the path of a .wasm file`},
		{good + "  sha256: abc", `f.yaml:4: plugins[0].sha256: is "abc", expected 64 hexadecimal digits`},
		{good + "  callouts: {a: ftp://x}", `f.yaml:4: plugins[0].callouts.a: is "ftp://x", expected http://host:port, h2c://host:port or https://host:port`},
		{good + "  callouts: {a: http://x/path}", `f.yaml:4: plugins[0].callouts.a: is "http://x/path", expected http://host:port, h2c://host:port or https://host:port`},
		{good + "  callouts: {a: {}}", `f.yaml:4: plugins[0].callouts.a.url: is missing, expected http://host:port or https://host:port`},
		{good + "  callouts: {a: {url: 'http://u@x'}}", `f.yaml:4: plugins[0].callouts.a.url: is "http://u@x", expected http://host:port, h2c://host:port or https://host:port`},
		{good + "  callouts: {a: {url: 'http://:80'}}", `f.yaml:4: plugins[0].callouts.a.url: is "http://:80", expected http://host:port, h2c://host:port or https://host:port`},
		{good + "  callouts: {a: {url: 'http://x', timeout: soon}}", `f.yaml:4: plugins[0].callouts.a.timeout: is "soon", expected a duration such as 100ms or 2s`},
		{good + "  callouts: {a: {url: 'http://x', allowedCIDRs: 10.0.0.0/8}}", `f.yaml:4: plugins[0].callouts.a.allowedCIDRs: is "10.0.0.0/8", expected a list`},
		{good + "  callouts: {a: {url: 'http://x', allowedCIDRs: [10.0.0.1]}}", `f.yaml:4: plugins[0].callouts.a.allowedCIDRs[0]: is "10.0.0.1", expected a range of addresses such as 10.0.0.0/8 or fd00::/8`},
		{good + "  callouts: {a: {url: 'http://x', allowedCIDRs: ['::ffff:10.0.0.0/104']}}", `f.yaml:4: plugins[0].callouts.a.allowedCIDRs[0]: is "::ffff:10.0.0.0/104", expected a range of addresses such as 10.0.0.0/8 or fd00::/8`},
		{good + "  callouts: {a: {url: 'http://x', allowedCIDRs: [10.0.0.1/8]}}", `f.yaml:4: plugins[0].callouts.a.allowedCIDRs[0]: is "10.0.0.1/8", which has bits set beyond its length, expected 10.0.0.0/8`},
		{good + "  limits: {callouts: 0}", `f.yaml:4: plugins[0].limits.callouts: is 0, expected 1 or more`},
		{good + "  callouts: {a: {url: 'http://x',\n   tls: {serverName: y}}}", `f.yaml:5: plugins[0].callouts.a.tls: is given although the scheme is not https`},
		{good + "  clusters: {a: {url: 'https://x', tls: {\n  severName: y}}}", `f.yaml:5: plugins[0].clusters.a.tls.severName: unknown field, did you mean serverName?`},
		{good + "  clusters: {a: {url: 'https://x', tls: {\n  insecureSkipVerify: 1}}}", `f.yaml:5: plugins[0].clusters.a.tls.insecureSkipVerify: is the number 1, expected true or false`},
		{good + "  clusters: {a: {url: 'https://x', tls: {ca: gone.pem}}}", `f.yaml:4: plugins[0].clusters.a.tls.ca: "gone.pem": no such file or directory`},
		{good + "  clusters: {a: {url: 'https://x', tls: {ca: /dev/zero}}}", `f.yaml:4: plugins[0].clusters.a.tls.ca: "/dev/zero": not a file of at most 4194304 bytes`},
		{good + "  clusters: {a: {url: 'https://x', tls: {\n  ca: '-----BEGIN x'}}}", `f.yaml:5: plugins[0].clusters.a.tls.ca: holds no certificate in PEM`},
		{good + "  clusters: {a: {url: 'https://x', tls: {cert: '-----BEGIN x'}}}", `f.yaml:4: plugins[0].clusters.a.tls: has one of cert and key, expected both or neither`},
		{good + "  clusters: {a: {url: 'https://x', tls: {cert: '-----BEGIN x', key: '-----BEGIN x'}}}", `f.yaml:4: plugins[0].clusters.a.tls.cert: failed to find any PEM data in certificate input`},
		{good + "  callouts: {a: http://x}\n  clusters: {a: http://x}", `f.yaml:5: plugins[0].clusters.a: is given under callouts and under clusters, which are the same`},
		{good + "  limits: {timeout: 5}", `f.yaml:4: plugins[0].limits.timeout: is the number 5, expected a duration such as 100ms or 2s`},
		{good + "  limits: {timeout: -5s}", `f.yaml:4: plugins[0].limits.timeout: is "-5s", expected a duration such as 100ms or 2s`},
		{good + "  limits: {memory: lots}", `f.yaml:4: plugins[0].limits.memory: is "lots", expected a number of bytes such as 64Mi`},
		{good + "  limits: {memory: 0}", `f.yaml:4: plugins[0].limits.memory: is "0", expected a number of bytes such as 64Mi`},
		{good + "  limits: {instances: 0}", `f.yaml:4: plugins[0].limits.instances: is 0, expected 1 or more`},
		{good + "  limits: {instance: 1}", `f.yaml:4: plugins[0].limits.instance: unknown field, did you mean instances?`},
		{good + "  vmConfig: {env: [{name: A, value: x, valueFrom: HOST}]}", `f.yaml:4: plugins[0].vmConfig.env[0].value: is given although valueFrom is HOST`},
		{good + "  vmConfig: {env: [{name: A}, {name: A}]}", `f.yaml:4: plugins[0].vmConfig.env[1].name: "A" occurs twice`},
		{good + "  vmConfig: {env: [{value: x}]}", `f.yaml:4: plugins[0].vmConfig.env[0].name: is "", expected the name of a variable`},
		{good + "  pluginConfig: {a: .nan}", `f.yaml:4: plugins[0].pluginConfig.a: is .nan, expected a number that JSON has`},
		{good + "  pluginConfig: {a: 1, a: 2}", `f.yaml:4: plugins[0].pluginConfig.a: occurs twice`},
		{good + "  pluginConfig: {[a]: 1}", `f.yaml:4: plugins[0].pluginConfig: a key is a list, expected a word`},
		{good + "  isolation: streams", `f.yaml:4: plugins[0].isolation: is "streams", did you mean stream?`},
		{good + "  isolation: vm", `f.yaml:4: plugins[0].isolation: is "vm", expected one of none, filter, stream`},
		{good + "  phase: AUTH", `f.yaml:4: plugins[0].phase: is "AUTH", did you mean AUTHN?`},
		{good + "  workers: 0", `f.yaml:4: plugins[0].workers: is 0, expected 1 or more`},
		{good + "  workers: 100000", `f.yaml:4: plugins[0].workers: is 100000, expected at most 1024`},
		{good + "  vmConfig: {vmid: x}", `f.yaml:4: plugins[0].vmConfig.vmid: unknown field, did you mean vm_id?`},
		{good + "  rootId: x", `f.yaml:4: plugins[0].rootId: unknown field, did you mean rootID?`},
		{good + "  reload_config: {backof: {}}", `f.yaml:4: plugins[0].reload_config.backof: unknown field, did you mean backoff?`},
		{good + "  reload_config: {backoff: {base_interval: 0s}}", `f.yaml:4: plugins[0].reload_config.backoff.base_interval: is "0s", expected a duration such as 100ms or 2s`},
		{good + "  reload_config:\n    backoff:\n      base_interval: 2s\n      max_interval: 1s", `f.yaml:7: plugins[0].reload_config.backoff.max_interval: is 1s, expected at least the base_interval, 2s`},
		{good + "  processing_mode: {request_body_mode: BUFFERED}", `f.yaml:4: plugins[0].processing_mode.request_body_mode: is "BUFFERED", expected one of FULL_DUPLEX_STREAMED, NONE`},
		{good + "  processing_mode: {response_header_mode: SKIP}", `f.yaml:4: plugins[0].processing_mode.response_header_mode: is SKIP, expected response_body_mode NONE and response_trailer_mode SKIP with it`},
		{good + "  capability_restriction_config: {allowed_capabilities: proxy_log}", `f.yaml:4: plugins[0].capability_restriction_config.allowed_capabilities: is "proxy_log", expected a list`},
		{good + "  capability_restriction_config: {allowed_capabilities: [proxy-log]}", `f.yaml:4: plugins[0].capability_restriction_config.allowed_capabilities[0]: is "proxy-log", expected the name of a hostcall or callback such as proxy_log`},
		{good + "  attributes: [source.adress]", `f.yaml:4: plugins[0].attributes[0]: "source.adress" is no attribute, did you mean source.address?`},
		{good + "  attributes: [nonsense of mine]", `f.yaml:4: plugins[0].attributes[0]: "nonsense of mine" is no attribute, expected one that Envoy documents, such as source.address or request.headers['x-a']`},
		{good + "  attributes: [\"request.headers['x\"]", `f.yaml:4: plugins[0].attributes[0]: "request.headers['x" is no attribute, did you mean request.headers?`},
		{good + "  metadata_options: {receiving_namespaces: ['*']}", `f.yaml:4: plugins[0].metadata_options.receiving_namespaces[0]: is "*", expected a namespace such as envoy.filters.http.jwt_authn; there is no wildcard`},
		{good + "routes: [{name: x, plugins: [a, b]}]", `f.yaml:4: routes[0].plugins[1]: "b" is no plugin, did you mean a?`},
		{good + "routes: [{name: x, plugins: [zzzzzzzzzz]}]", `f.yaml:4: routes[0].plugins[0]: "zzzzzzzzzz" is no plugin, expected one of a`},
		{good + "routes: [{name: x, plugins: [a, a]}]", `f.yaml:4: routes[0].plugins[1]: "a" occurs twice`},
		{"default: [c]\n" + good, `f.yaml:1: default[0]: "c" is no plugin, did you mean a?`},
		{good + "routes: [{plugins: [a]}]", `f.yaml:4: routes[0].name: is missing`},
		{good + "routes: [{name: x}]", `f.yaml:4: routes[0].plugins: is missing, expected a list of plugins' names, which may be empty`},
		{good + "routes: [{name: x, plugins: []},\n{name: x, plugins: []}]", `f.yaml:5: routes[1].name: "x" is the name of another route too`},
		{good + "routes: [{name: x, plugin: [a]}]", `f.yaml:4: routes[0].plugin: unknown field, did you mean plugins?`},
		{good + "routes: [{name: x, prefix: a, plugins: []}]", `f.yaml:4: routes[0].prefix: is "a", expected the beginning of a path such as /checkout`},
		{good + "routes: [{name: x, prefix: '/a?b', plugins: []}]", `f.yaml:4: routes[0].prefix: is "/a?b", expected the beginning of a path such as /checkout`},
		{good + "routes: [{name: x, match: {}, plugins: []}]", `f.yaml:4: routes[0].match: is empty, expected metadata or attribute; exchanges that match nothing get the plugins under default`},
		{good + "routes: [{name: x, match: {metadta: {}}, plugins: []}]", `f.yaml:4: routes[0].match.metadta: unknown field, did you mean metadata?`},
		{good + "routes: [{name: x, match: {metadata: {X-A: b}}, plugins: []}]", `f.yaml:4: routes[0].match.metadata.X-A: "X-A" is no key of gRPC metadata with a text, expected one such as x-extproc-route`},
		{good + "routes: [{name: x, match: {metadata: {a: 1}}, plugins: []}]", `f.yaml:4: routes[0].match.metadata.a: is the number 1, expected a string`},
		{good + "routes: [{name: x, match: {metadata: {a: ''}}, plugins: []}]", `f.yaml:4: routes[0].match.metadata.a: is empty, expected a value`},
		{good + "routes: [{name: x, match: {attribute: {xds.routename: a}}, plugins: []}]", `f.yaml:4: routes[0].match.attribute.xds.routename: "xds.routename" is no attribute, did you mean xds.route_name?`},
		{good + "- pluginName: a\n  url: b", `f.yaml:4: plugins[1].pluginName: "a" is the name of another plugin too`},
	} {
		_, err := ParseConfig("f.yaml", []byte(tc.text), quietLog)
		if err == nil {
			t.Errorf("%q: no error, expected %s", tc.text, tc.want)
		} else if err.Error() != tc.want {
			t.Errorf("%q:\n got %v\nwant %s", tc.text, err, tc.want)
		}
	}
}

// TestConfigBombs: a few lines that stand for a great deal are refused.
func TestConfigBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("plugins:\n- pluginName: a\n  url: a\n  pluginConfig:\n    a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		prev := "*a" + string(rune('0'+i-1))
		laughs.WriteString("    a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.Repeat(prev+",", 9) + "]\n")
	}
	for name, text := range map[string]string{
		"laughs": laughs.String(),
		"deep":   "plugins: [{pluginName: a, url: a, pluginConfig: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}]",
		"cycle":  "plugins: [{pluginName: a, url: a, pluginConfig: &a {b: *a}}]",
		"all":    "plugins: &a\n- *a\n",
	} {
		if _, err := ParseConfig("f.yaml", []byte(text), quietLog); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzConfig: any text is read or refused with a line that names the file.
func FuzzConfig(f *testing.F) {
	f.Add("plugins:\n- pluginName: a\n  url: a.wasm\n  pluginConfig: {a: [1, x, ~], b: 0x1}\n  limits: {timeout: 1s, memory: 1Mi}\n")
	f.Add("plugins:\n- pluginName: a\n  url: file:///a\n  callouts: {a: http://b}\n  vmConfig: {env: [{name: A, valueFrom: HOST}]}\n")
	f.Add("plugins: &a\n- *a\n")
	f.Add("plugins: [{<<: {url: a}}]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig("f.yaml", []byte(text), quietLog)
		switch {
		case err == nil && len(c.Plugins) != 1:
			t.Errorf("%d plugins", len(c.Plugins))
		case err != nil && !strings.HasPrefix(err.Error(), "f.yaml:"):
			t.Errorf("the error names no file: %v", err)
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("the error has several lines: %v", err)
		}
	})
}

// TestConfigVM: the words for proxy-wasm modules, attributes and metadata.
func TestConfigVM(t *testing.T) {
	c, err := ParseConfig("f.yaml", []byte(`plugins:
- pluginName: a
  url: a.wasm
  rootID: ""
  isolation: filter
  workers: 3
  vmConfig: {vm_id: v, configuration: {a: 1}}
  reload_config: {backoff: {base_interval: 2s, max_interval: 10s}}
  capability_restriction_config: {allowed_capabilities: {proxy_log: {}, fd_write: {}}}
  processing_mode: {request_body_mode: NONE, request_trailer_mode: SEND, response_trailer_mode: SKIP}
  attributes: [source.address, upstream.port, "request.headers['x-a']", "metadata.filter_metadata['a']['b']", source.address]
  metadata_options: {forwarding_namespaces: [a, b], receiving_namespaces: [c]}
- pluginName: b
  url: b.wasm
  capability_restriction_config: {allowed_capabilities: [proxy_log]}
  attributes: []
`), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Plugins[0]
	equal(t, *s.VM.RootID, "")
	equal(t, s.VM.Isolation, PerFilter)
	equal(t, s.VM.Workers, 3)
	equal(t, s.VM.ID, "v")
	equal(t, string(s.VM.Config), `{"a":1}`)
	equal(t, s.VM.Backoff, Backoff{2 * time.Second, 10 * time.Second})
	equal(t, strings.Join(s.VM.Capabilities, " "), "proxy_log fd_write")
	equal(t, s.VM.Skips, [2][3]bool{{false, true, false}, {false, false, true}})

	needs := NewPlugin(s, &word{}).Needs()
	equal(t, strings.Join(needs.Attributes[Request], " "), "source.address request.headers['x-a'] metadata.filter_metadata['a']['b']")
	equal(t, strings.Join(needs.Attributes[Response], " "), "upstream.port")
	equal(t, strings.Join(needs.Reads, " "), "a b")
	equal(t, strings.Join(needs.Writes, " "), "c")

	s = c.Plugins[1]
	equal(t, s.VM.RootID == nil, true)
	equal(t, strings.Join(s.VM.Capabilities, " "), "proxy_log")
	equal(t, s.Attributes != nil && len(s.Attributes) == 0, true)
}

// TestOrder: plugins stand in the order in which requests reach them.
func TestOrder(t *testing.T) {
	text := "plugins:\n"
	for _, p := range []string{
		"{pluginName: last, url: x}",
		"{pluginName: late, url: x, priority: 5}",
		"{pluginName: stats, url: x, phase: STATS}",
		"{pluginName: authz, url: x, phase: AUTHZ, priority: -1}",
		"{pluginName: authz-first, url: x, phase: AUTHZ}",
		"{pluginName: authn, url: x, phase: AUTHN, priority: -9}",
		"{pluginName: authz-listed-later, url: x, phase: AUTHZ}",
		"{pluginName: very-last, url: x, phase: UNSPECIFIED_PHASE}",
	} {
		text += "- " + p + "\n"
	}
	c, err := ParseConfig("f.yaml", []byte(text), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Plugins {
		names = append(names, s.Name)
	}
	want := "authn authz-first authz-listed-later authz stats late last very-last"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
