package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/extproc/extproc/internal/envoytest"
)

// TestAdmin: the page and its JSON tell what is loaded, and why something newer is
// not, and give away nothing of a plugin's configuration.
func TestAdmin(t *testing.T) {
	r := start(t)
	base := "http://" + r.metrics
	write(t, r.config, `plugins: [{pluginName: "<mark>", url: plugin.wasm, pluginConfig: {password: hunter2}}]
routes: [{name: shop, prefix: /shop, plugins: ["<mark>"]}, {name: open, plugins: []}]`)
	var o overview
	eventually(t, func() bool {
		_, text := get(t, base+"/plugins")
		o = overview{}
		return json.Unmarshal([]byte(text), &o) == nil && len(o.Routes) == 3
	})
	digest := sha256.Sum256([]byte("\x00asmone"))
	p := o.Plugins[0]
	if p.Name != "<mark>" || p.Health != "ok" || p.ABI != "marking module" || p.SHA256 != hex.EncodeToString(digest[:]) || time.Since(p.Loaded) > time.Minute ||
		p.URL != r.wasm || p.FailStrategy != "FAIL_CLOSE" || !o.Serving || o.Version == "" || o.Config.Error != "" || o.Config.Loaded.IsZero() {
		t.Errorf("got %+v", o)
	}
	if s := o.Routes[0]; s.Name != "shop" || s.Metadata["x-extproc-route"] != "shop" || len(s.Plugins) != 1 || len(o.Routes[1].Plugins) != 0 || o.Routes[2].Name != "" {
		t.Errorf("routes: %+v", o.Routes)
	}
	write(t, r.config, "plugins: [{pluginName: a, ulr: x}]")
	var page string
	eventually(t, func() bool { _, page = get(t, base+"/"); return strings.Contains(page, "is not used") })
	for _, want := range []string{"&lt;mark&gt;", "extproc.yaml:1: plugins[0].ulr: unknown field, did you mean url?", "shop", "Serving.", "all else"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if _, text := get(t, base+"/plugins"); strings.Contains(page+text, "hunter2") {
		t.Error("the page tells a plugin's configuration")
	}
	if _, text := get(t, base+"/metrics"); !strings.Contains(text, "\nextproc_config_last_reload_successful 0\n") {
		t.Error("the metrics don't tell of the bad configuration")
	}
	for path, want := range map[string]int{"/debug/pprof/": 404, "/nothing": 404} {
		if code, _ := get(t, base+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// certificate writes a certificate for localhost that is its own authority.
func certificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(dir, "key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})))
	write(t, filepath.Join(dir, "cert"), string(chain))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return pool
}

// TestSecureServing: a certificate that is replaced is used for new connections.
func TestSecureServing(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir, 1)
	f := tlsFlags{secure: true, cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key")}
	config, closeTLS, err := f.config()
	if err != nil {
		t.Fatal(err)
	}
	defer closeTLS()
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	defer s.Stop()
	address := envoytest.FreeAddress(t)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	serial := func(pool *x509.CertPool) int64 {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"h2"}})
		if err != nil {
			return 0
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(pool); n != 1 {
		t.Fatalf("serial number %d, want 1", n)
	}
	pool = certificate(t, dir, 2)
	eventually(t, func() bool { return serial(pool) == 2 })
}

// TestSecureErrors: what is wrong with the flags is said at once.
func TestSecureErrors(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, 1)
	cert, key, gone := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "gone")
	for want, f := range map[string]tlsFlags{
		"of use with --secure-serving only":                                 {cert: cert},
		"expected --tls-cert-file and --tls-private-key-file":               {secure: true, cert: cert},
		"--tls-cert-file, --tls-private-key-file: open " + gone:             {secure: true, cert: gone, key: key},
		"--tls-cert-file, --tls-private-key-file: tls: found a certificate": {secure: true, cert: cert, key: cert},
		"--tls-client-ca-file: open " + gone:                                {secure: true, cert: cert, key: key, ca: gone},
	} {
		if _, _, err := f.config(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", f, err, want)
		}
	}
}
