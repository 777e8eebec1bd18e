package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"testing"

	"github.com/extproc/extproc/internal/upstream"
)

// plugins that treat a body differently; upper says that letters become capitals.
var bodyPlugins = []struct {
	name  string
	upper bool
}{
	{"header-rules", false},
	{"body-passthrough", false},
	{"body-transform", true},
}

// content is the first n bytes of what the upstream produces.
type content struct {
	at, n int64
}

func (c *content) Read(p []byte) (int, error) {
	if c.at == c.n {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), c.n-c.at)]
	upstream.Fill(p, c.at)
	c.at += int64(len(p))
	return len(p), nil
}

// upperCase is what body-transform makes of what is written to it.
type upperCase struct{ to io.Writer }

func (u upperCase) Write(p []byte) (int, error) {
	changed := make([]byte, len(p))
	for i, b := range p {
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		changed[i] = b
	}
	return u.to.Write(changed)
}

// expected is what the content of a size becomes.
func expected(t *testing.T, size int64, upper bool) upstream.Sum {
	t.Helper()
	digest := sha256.New()
	var to io.Writer = digest
	if upper {
		to = upperCase{digest}
	}
	if _, err := io.Copy(to, &content{n: size}); err != nil {
		t.Fatal(err)
	}
	return described(size, digest)
}

func described(n int64, digest hash.Hash) upstream.Sum {
	return upstream.Sum{Bytes: n, SHA256: hex.EncodeToString(digest.Sum(nil))}
}

// upload sends a body of a size, chunked or with its length, and returns what
// arrived at the upstream.
func upload(t *testing.T, c *http.Client, url string, size int64, chunked bool) upstream.Sum {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/sum", &content{n: size})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	if chunked {
		req.ContentLength = -1
	} else if size == 0 {
		req.Body = http.NoBody
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", resp.Status, body, err)
	}
	var sum upstream.Sum
	// body-transform makes capitals of the answer as well, which JSON's field
	// names take; the digest is hex in either case.
	if err := json.Unmarshal(body, &sum); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return sum
}

// download asks for a body of a size and describes what came.
func download(t *testing.T, c *http.Client, url string, size int64, chunked bool) upstream.Sum {
	t.Helper()
	url = fmt.Sprintf("%s/bytes/%d", url, size)
	if chunked {
		url += "?chunked"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	digest := sha256.New()
	n, err := io.Copy(digest, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s after %d bytes: %v", resp.Status, n, err)
	}
	return described(n, digest)
}

func TestBodies(t *testing.T) {
	sizes := []int64{0, 1, 64 << 10, 10 << 20}
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), nil)
			for name, c := range clients(t) {
				t.Run(name, func(t *testing.T) {
					for _, size := range sizes {
						want := expected(t, size, p.upper)
						for _, chunked := range []bool{false, true} {
							if got := upload(t, c, stack.URL, size, chunked); !same(got, want) {
								t.Errorf("request of %d bytes, chunked %v: %+v arrived, want %+v", size, chunked, got, want)
							}
							if got := download(t, c, stack.URL, size, chunked); !same(got, want) {
								t.Errorf("response of %d bytes, chunked %v: %+v arrived, want %+v", size, chunked, got, want)
							}
						}
					}
				})
			}
		})
	}
}

// same compares sums; an answer in capitals is the same hex.
func same(a, b upstream.Sum) bool {
	x, errX := hex.DecodeString(a.SHA256)
	y, errY := hex.DecodeString(b.SHA256)
	return errX == nil && errY == nil && a.Bytes == b.Bytes && string(x) == string(y)
}

// TestBodyOfOneGiB shows that a body is streamed: it passes through the guest in
// both directions while extproc stays small.
func TestBodyOfOneGiB(t *testing.T) {
	const (
		size  = 1 << 30
		limit = 128 << 20
	)
	// A guest's time counts while it runs, and a GiB keeps it busy for seconds.
	stack := start(t, example(t, "body-transform"), fields{"limits": fields{"timeout": "2m"}})
	c := client(t, false)
	want := expected(t, size, true)
	for _, way := range []struct {
		name string
		send func(*testing.T, *http.Client, string, int64, bool) upstream.Sum
	}{{"request", upload}, {"response", download}} {
		before := memory(t, stack.Extproc.PID(), "VmRSS")
		if got := way.send(t, c, stack.URL, size, true); !same(got, want) {
			t.Errorf("%s: %+v arrived, want %+v", way.name, got, want)
		}
		peak := memory(t, stack.Extproc.PID(), "VmHWM")
		t.Logf("%s: extproc used %d MiB before, %d MiB at its peak", way.name, before>>20, peak>>20)
		if peak > limit {
			t.Errorf("%s: extproc's peak was %d MiB, want at most %d", way.name, peak>>20, limit>>20)
		}
	}
}
