package foreign

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message builds a protobuf message of fields: bytes, text, truth or number.
func message(values map[protowire.Number]any) []byte {
	var b []byte
	for number := protowire.Number(1); number <= 20; number++ {
		switch v := values[number].(type) {
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
		case bool:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), protowire.EncodeBool(v))
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
		}
	}
	return b
}

type args = map[protowire.Number]any

func verified(t *testing.T, values args) (ok bool, problem string) {
	t.Helper()
	out, err := VerifySignature(message(values))
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(out, slots{1: &ok, 2: &problem}); err != nil {
		t.Fatal(err)
	}
	return ok, problem
}

func signed(t *testing.T, values args) (ok bool, signature []byte, problem string) {
	t.Helper()
	out, err := Sign(message(values))
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(out, slots{1: &ok, 2: &signature, 3: &problem}); err != nil {
		t.Fatal(err)
	}
	return ok, signature, problem
}

type pair struct {
	private crypto.Signer
	pkcs8   []byte
	public  []byte
}

func keys(t *testing.T, private crypto.Signer) pair {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{private, pkcs8, public}
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// TestSignatures: what Sign signs VerifySignature accepts, what the standard
// library signs too, and nothing else.
func TestSignatures(t *testing.T) {
	text := []byte("to be signed")
	for name, k := range map[string]pair{
		"RSA": keys(t, rsaKey(t)), "P-224": keys(t, ecKey(t, elliptic.P224())), "P-256": keys(t, ecKey(t, elliptic.P256())),
		"P-384": keys(t, ecKey(t, elliptic.P384())), "P-521": keys(t, ecKey(t, elliptic.P521())),
	} {
		for hash, function := range hashes {
			t.Run(name+" "+hash, func(t *testing.T) {
				ok, signature, problem := signed(t, args{1: strings.ToUpper(hash), 2: k.pkcs8, 3: text})
				if !ok || problem != "" {
					t.Fatalf("not signed: %s", problem)
				}
				h := function.New()
				h.Write(text)
				theirs, err := k.private.Sign(rand.Reader, h.Sum(nil), function)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range [][]byte{signature, theirs} {
					for _, key := range []args{{2: k.public}, {5: encode("PUBLIC KEY", k.public)}} {
						key[1], key[3], key[4] = hash, s, text
						if ok, problem := verified(t, key); !ok || problem != "" {
							t.Errorf("not verified: %s", problem)
						}
						key[4] = []byte("something else")
						if ok, problem := verified(t, key); ok || problem != "Failed to verify digest. Error code: 0" {
							t.Errorf("another text: %t %q", ok, problem)
						}
					}
				}
				for i := 0; i < len(signature); i += 17 {
					wrong := bytes.Clone(signature)
					wrong[i] ^= 1
					if ok, _ := verified(t, args{1: hash, 2: k.public, 3: wrong, 4: text}); ok {
						t.Fatalf("byte %d of the signature may be wrong", i)
					}
				}
			})
		}
	}
}

func TestSignPEM(t *testing.T) {
	rsaPrivate, ecPrivate := rsaKey(t), ecKey(t, elliptic.P256())
	sec1, err := x509.MarshalECPrivateKey(ecPrivate)
	if err != nil {
		t.Fatal(err)
	}
	for kind, der := range map[string][]byte{
		"PRIVATE KEY": keys(t, rsaPrivate).pkcs8, "RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(rsaPrivate), "EC PRIVATE KEY": sec1,
	} {
		text := encode("CERTIFICATE", []byte("x")) + encode(kind, der)
		if ok, _, problem := signed(t, args{1: "sha256", 3: []byte("x"), 4: text}); !ok {
			t.Errorf("%s: %s", kind, problem)
		}
		if kind == "PRIVATE KEY" {
			continue
		}
		if ok, _, problem := signed(t, args{1: "sha256", 2: der, 3: []byte("x")}); ok || problem != "Invalid key type: private key required for signing operation." {
			t.Errorf("%s in DER: %t %q", kind, ok, problem)
		}
	}
}

// TestSignatureProblems: what Envoy answers to keys and hashes it can't use.
func TestSignatureProblems(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, ec := keys(t, private), keys(t, ecKey(t, elliptic.P256()))
	for name, tc := range map[string]struct {
		values args
		want   string
	}{
		"hash":         {args{1: "md5", 2: ec.public}, "md5 is not supported."},
		"no hash":      {args{2: ec.public}, " is not supported."},
		"no key":       {args{1: "sha1", 2: []byte("x")}, "Failed to initialize digest verify."},
		"no PEM":       {args{1: "sha1", 5: "x"}, "Failed to initialize digest verify."},
		"a private":    {args{1: "sha1", 5: encode("PRIVATE KEY", ec.pkcs8)}, "Failed to initialize digest verify."},
		"Ed25519":      {args{1: "sha1", 2: ed.public}, "Failed to initialize digest verify."},
		"no signature": {args{1: "sha1", 2: ec.public}, "Failed to verify digest. Error code: 0"},
	} {
		if ok, problem := verified(t, tc.values); ok || problem != tc.want {
			t.Errorf("verify, %s: %t %q", name, ok, problem)
		}
	}
	for name, tc := range map[string]struct {
		values args
		want   string
	}{
		"hash":     {args{1: "sha3", 2: ec.pkcs8}, "sha3 is not supported."},
		"no key":   {args{1: "sha1", 2: []byte("x")}, "Invalid key type: private key required for signing operation."},
		"a public": {args{1: "sha1", 4: encode("PUBLIC KEY", ec.public)}, "Invalid key type: private key required for signing operation."},
		"Ed25519":  {args{1: "sha1", 2: ed.pkcs8}, "Invalid private key: key data is corrupted or malformed."},
	} {
		if ok, s, problem := signed(t, tc.values); ok || s != nil || problem != tc.want {
			t.Errorf("sign, %s: %t %q", name, ok, problem)
		}
	}
	for name, values := range map[string][]byte{
		"nothing":  nil,
		"no key":   message(args{1: "sha256"}),
		"two keys": message(args{1: "sha256", 2: ec.public, 4: "x", 5: "x"}),
		"no proto": []byte("\xff"),
		"cut":      message(args{1: "sha256", 2: ec.public})[:20],
		"no UTF-8": message(args{1: "\xff", 2: ec.public}),
	} {
		if _, err := VerifySignature(values); !errors.Is(err, ErrArgument) {
			t.Errorf("verify, %s: %v", name, err)
		}
		if _, err := Sign(values); !errors.Is(err, ErrArgument) {
			t.Errorf("sign, %s: %v", name, err)
		}
	}
}

func TestCompress(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("hello ", 100_000)} {
		packed, err := Compress([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := out.ReadFrom(r); err != nil || out.String() != text {
			t.Errorf("%d bytes: %v", len(text), err)
		}
		if got, err := Uncompress(append(packed, "and more"...)); err != nil || string(got) != text {
			t.Errorf("%d bytes: %v", len(text), err)
		}
		for _, n := range []int{0, 1, 2, len(packed) - 1} {
			if _, err := Uncompress(packed[:n]); !errors.Is(err, ErrSerialization) {
				t.Errorf("%d bytes, cut at %d: %v", len(text), n, err)
			}
		}
	}
	bomb, _ := Compress(make([]byte, maxUncompressed+1))
	if _, err := Uncompress(bomb); !errors.Is(err, ErrSerialization) {
		t.Errorf("a bomb of %d bytes: %v", len(bomb), err)
	}
}

func TestDeclareProperty(t *testing.T) {
	var p Properties
	if p.Of("a") != (Property{}) {
		t.Error("a property before it is declared")
	}
	if err := p.Declare(message(args{1: "a", 2: true, 3: 3, 4: []byte("type.googleapis.com/x"), 5: 2})); err != nil {
		t.Error(err)
	}
	if got := p.Of("a"); got != (Property{ProtobufProperty, true, "type.googleapis.com/x"}) {
		t.Errorf("%+v", got)
	}
	if err := p.Declare(message(args{1: "a"})); !errors.Is(err, ErrArgument) {
		t.Errorf("twice: %v", err)
	}
	if err := p.Declare(message(args{1: "b", 3: 99})); err != nil || p.Of("b").Type != BytesProperty {
		t.Errorf("a type that there isn't: %v", err)
	}
	if err := p.Declare([]byte("\x0a\x05x")); !errors.Is(err, ErrArgument) {
		t.Errorf("no message: %v", err)
	}
	var err error
	for i := 0; i <= maxDeclared && err == nil; i++ {
		err = p.Declare(message(args{1: strings.Repeat("n", i)}))
	}
	if !errors.Is(err, ErrInternal) {
		t.Errorf("too many: %v", err)
	}
}

func TestFilterState(t *testing.T) {
	path, value, err := FilterState(message(args{1: "envoy.tcp_proxy.cluster", 2: "v", 3: 1}))
	if path != "envoy.tcp_proxy.cluster" || value != "v" || err != nil {
		t.Errorf("%q %q %v", path, value, err)
	}
	if _, _, err := FilterState([]byte{0x0a}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
}

// exchange has a few attributes.
func exchange(path string) ([]byte, PropertyType, bool) {
	word := func(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }
	headers, _ := appendPairs(nil, [][2][]byte{{[]byte("x-a"), []byte("1")}, {[]byte("x-b"), []byte("2")}, {[]byte("x-a"), []byte("3")}})
	v, ok := map[string][]byte{
		"request.path": []byte("/a?b=1"), "request.method": []byte("GET"), "request.size": word(7), "request.headers": headers,
		"request.headers.x-a": []byte("1,3"), "request.headers.x-b": []byte("2"), "request.headers.a.b": []byte("dot"),
		"request.time": word(1_600_000_000_000_000_001), "request.duration": word(1_500_000_000),
		"response.code": word(404), "connection.mtls": {1}, "source.port": word(-1), "plugin_name": []byte("p"),
		"listener_direction": word(2), "mine": []byte("m"), "typed": []byte("t"), "broken.code": []byte("x"),
		"metadata.filter_metadata.ns.key": []byte("v"), "metadata.filter_metadata.envoy.lb.canary": []byte("w"), "upstream.port": []byte("short"),
	}[path]
	typ := BytesProperty
	if path == "typed" {
		typ = StringProperty
	}
	return v, typ, ok
}

func evaluate(t *testing.T, x *Expressions, source string) ([]byte, error) {
	t.Helper()
	token, err := x.Create([]byte(source))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := x.Delete(token); err != nil {
			t.Error(err)
		}
	}()
	return x.Evaluate(token, exchange)
}

func TestExpressions(t *testing.T) {
	var x Expressions
	word := func(n int64) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	const yes, no = "\x01", "\x00"
	for source, want := range map[string]string{
		`request.path`:                                   "/a?b=1",
		`request["path"]`:                                "/a?b=1",
		`"path" in request`:                              yes,
		`has(request.host)`:                              no,
		`request.method == "GET"`:                        yes,
		`request.headers["x-a"]`:                         "1,3",
		`request.headers["a.b"]`:                         "dot",
		`"x-c" in request.headers`:                       no,
		`request.headers.exists(h, h.startsWith("x-b"))`: yes,
		`size(request.headers)`:                          word(2),
		`request.size + 1`:                               word(8),
		`uint(request.size)`:                             word(7),
		`request.size * 1.0`:                             "",
		`double(request.size)`:                           "\x00\x00\x00\x00\x00\x00\x1c\x40",
		`request.time`:                                   word(1_600_000_000_000_000_001),
		`request.time + request.duration`:                word(1_600_000_001_500_000_001),
		`request.duration`:                               word(1_500_000_000),
		`response.code >= 400 && response.code < 500`:    yes,
		`connection.mtls`:                                yes,
		`source.port`:                                    word(-1),
		`plugin_name + "/" + typed`:                      "p/t",
		`mine == b"m"`:                                   yes,
		`listener_direction`:                             word(2),
		`metadata.filter_metadata.ns.key`:                "v",
		`metadata.filter_metadata["envoy.lb"].canary`:    "w",
		`metadata.filter_metadata["ns"]["key"]`:          "v",
		`b"\x00\xff"`:                                    "\x00\xff",
		`request.path.matches("^/a")`:                    yes,
		`[1, 2].map(i, i * 2) == [2, 4]`:                 yes,
		`["a", "bc"]`:                                    "\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00a\x00\x00bc\x00\x00",
		`{"b": true, "a": "x"}`:                          "\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00a\x00x\x00b\x00\x01\x00",
		`request.headers`:                                "\x02\x00\x00\x00\x03\x00\x00\x00\x03\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00x-a\x001,3\x00x-b\x002\x00",
		`response.headers`:                               "\x00\x00\x00\x00",
		`true ? "y" : unknown`:                           "y",
	} {
		got, err := evaluate(t, &x, source)
		if source == `request.size * 1.0` { // no such overload
			if !errors.Is(err, ErrInternal) {
				t.Errorf("%s: %q %v", source, got, err)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %q %v, expected %q", source, got, err, want)
		}
	}
	if len(x.programs) != 0 {
		t.Errorf("%d expressions are left", len(x.programs))
	}
}

func TestExpressionErrors(t *testing.T) {
	var x Expressions
	for source, want := range map[string]error{
		``:                          ErrArgument,
		`request.`:                  ErrArgument,
		`1 +`:                       ErrArgument,
		"\xff":                      ErrArgument,
		strings.Repeat("(", 10_000): ErrArgument,
		strings.Repeat("[", 200) + strings.Repeat("]", 200): ErrArgument,
		strings.Repeat("x", maxSource+1):                    ErrArgument,
		`unknown`:                                           ErrInternal,
		`request.unknown`:                                   ErrInternal,
		`request.headers["none"]`:                           ErrInternal,
		`request.path.none`:                                 ErrInternal,
		`upstream.port`:                                     ErrInternal, // not eight bytes
		`none(1)`:                                           ErrInternal,
		`1 / 0`:                                             ErrInternal,
		`null`:                                              ErrSerialization,
		`type(1)`:                                           ErrSerialization,
		`[null]`:                                            ErrSerialization,
		`[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, [0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, [0,1,2,3,4,5,6,7,8,9].all(f, true))))))`: ErrInternal, // costs too much
	} {
		if got, err := evaluate(t, &x, source); !errors.Is(err, want) {
			t.Errorf("%.100s: %q %v, expected %v", source, got, err, want)
		}
	}
	for _, token := range [][]byte{nil, {1}, {1, 0, 0, 0, 0}} {
		if _, err := x.Evaluate(token, exchange); !errors.Is(err, ErrArgument) {
			t.Errorf("token %v: %v", token, err)
		}
		if err := x.Delete(token); !errors.Is(err, ErrArgument) {
			t.Errorf("token %v: %v", token, err)
		}
	}
	if _, err := x.Evaluate([]byte{9, 9, 9, 9}, exchange); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := x.Delete([]byte{9, 9, 9, 9}); err != nil {
		t.Error(err)
	}
	var err error
	for i := 0; i <= maxExpressions && err == nil; i++ {
		_, err = x.Create([]byte("1"))
	}
	if !errors.Is(err, ErrInternal) || len(x.programs) != maxExpressions {
		t.Errorf("too many: %v", err)
	}
}

// FuzzForeign: no bytes make a function panic, or answer what it can't read
// itself.
func FuzzForeign(f *testing.F) {
	f.Add(uint8(0), message(args{1: "sha256", 2: []byte("k"), 3: []byte("s"), 4: []byte("t")}))
	f.Add(uint8(1), message(args{1: "sha256", 3: []byte("t"), 4: encode("PRIVATE KEY", []byte("k"))}))
	f.Add(uint8(2), []byte("text"))
	f.Add(uint8(3), []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	f.Add(uint8(4), message(args{1: "name", 2: true, 3: 1, 4: []byte("s"), 5: 1}))
	f.Add(uint8(5), message(args{1: "path", 2: "value", 3: 1}))
	f.Add(uint8(6), []byte(`request.headers.exists(h, h == "x-a") ? [request.path] : {"a": response.code}`))
	f.Add(uint8(7), []byte("\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00a\x00b\x00"))
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		switch which % 8 {
		case 0:
			if out, err := VerifySignature(in); err == nil && decode(out, slots{}) != nil {
				t.Errorf("%x", out)
			}
		case 1:
			if out, err := Sign(in); err == nil && decode(out, slots{}) != nil {
				t.Errorf("%x", out)
			}
		case 2:
			packed, err := Compress(in)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := Uncompress(packed); err != nil || !bytes.Equal(out, in) {
				t.Errorf("%x %v", out, err)
			}
		case 3:
			_, _ = Uncompress(in)
		case 4:
			_ = new(Properties).Declare(in)
		case 5:
			_, _, _ = FilterState(in)
		case 6:
			var x Expressions
			if token, err := x.Create(in); err == nil {
				_, _ = x.Evaluate(token, exchange)
			}
		case 7:
			pairsOf(in)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	var x Expressions
	token, err := x.Create([]byte(`request.method == "GET" && request.path.startsWith("/a") && request.headers["x-a"] == "1,3"`))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Evaluate(token, exchange); err != nil {
			b.Fatal(err)
		}
	}
}
