package plugin

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// storeKind is a kind of store: the schemes of its URLs, the first of them without
// TLS, and the fields that it has of its own.
type storeKind struct {
	schemes [2]string
	several bool // servers in one URL
	fields  []string
}

var storeKinds = []storeKind{
	{schemes: [2]string{"nats", "tls"}, several: true, fields: []string{"credentials", "replicas", "redelivery"}},
	{schemes: [2]string{"redis", "rediss"}},
}

// store reads where guests keep what they share: a URL, or a mapping. It returns
// the files that were read for it.
func (r *reader) store(to *Store, files *[]string, dir string) field {
	return func(n *yaml.Node, at string) error {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n.Kind == yaml.ScalarNode {
			_, err := r.storeURL(to, n, at)
			return err
		}
		var own Spec // of which the files are wanted
		err := r.mapping(n, at, fields{
			"url":          func(*yaml.Node, string) error { return nil }, // below
			"timeout":      r.duration(&to.Timeout),
			"prefix":       r.storePrefix(&to.Prefix),
			"username":     r.text(&to.Username),
			"password":     r.text(&to.Password),
			"passwordFile": r.secret(&to.Password, &own.Files, dir),
			"credentials":  r.secret(&to.Credentials, &own.Files, dir),
			"tls":          r.tls(&own, &to.TLS, dir),
			"replicas":     r.positive(&to.Replicas),
			"redelivery":   r.wholeSeconds(&to.Redelivery),
			"limits":       r.storeLimits(&to.Limits),
		})
		if err != nil {
			return err
		}
		*files = own.Files
		return r.wholeStore(to, n, at)
	}
}

// wholeStore checks what concerns more than one field.
func (r *reader) wholeStore(to *Store, n *yaml.Node, at string) error {
	own := entry(n, "url")
	if own == nil {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if name := n.Content[i].Value; name != "limits" {
				return r.fail(n.Content[i], at+"."+name, "is given without a url: memory has limits only")
			}
		}
		return nil
	}
	kind, err := r.storeURL(to, own, at+".url")
	if err != nil {
		return err
	}
	for _, other := range storeKinds {
		for _, name := range other.fields {
			if field := entry(n, name); field != nil && other.schemes != kind.schemes {
				return r.fail(field, at+"."+name, "is given although the url's scheme is not %s", other.schemes[0])
			}
		}
	}
	if field := entry(n, "tls"); field != nil && !strings.HasPrefix(to.URL, kind.schemes[1]+"://") {
		return r.fail(field, at+".tls", "is given although the url's scheme is not %s", kind.schemes[1])
	}
	if entry(n, "password") != nil && entry(n, "passwordFile") != nil {
		return r.fail(entry(n, "passwordFile"), at+".passwordFile", "is given beside password, expected one of them")
	}
	return nil
}

// storeURL reads a store's URL. Who is to be let in goes where it doesn't get into
// logs.
func (r *reader) storeURL(to *Store, n *yaml.Node, at string) (*storeKind, error) {
	const expected = "expected nats://host:port, tls://host:port (NATS over TLS), redis://host:port/database or rediss://host:port/database (Redis over TLS)"
	var raw string
	if err := r.text(&raw)(n, at); err != nil {
		return nil, err
	}
	var kind *storeKind
	var servers []string
	for _, one := range strings.Split(raw, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil { // it may have a password in it
			return nil, r.fail(n, at, "is no URL, %s", expected)
		}
		found := kindOfStore(u)
		switch {
		case found == nil || u.Hostname() == "" || u.Fragment != "":
			return nil, r.fail(n, at, "is %q, %s", u.Redacted(), expected)
		case u.RawQuery != "":
			return nil, r.fail(n, at, "has the query %q: write a mapping with url and what else there is to say", u.RawQuery)
		case found.several && strings.Trim(u.Path, "/") != "":
			return nil, r.fail(n, at, "has the path %q, which NATS has no use for", u.Path)
		case !found.several && strings.Trim(strings.TrimPrefix(u.Path, "/"), "0123456789") != "":
			return nil, r.fail(n, at, "has the path %q, expected the number of a database", u.Path)
		case len(servers) > 0 && (!found.several || found != kind):
			return nil, r.fail(n, at, "names several servers, which only NATS can have")
		}
		if u.User != nil {
			to.Username = u.User.Username()
			to.Password, _ = u.User.Password()
			u.User = nil
		}
		kind, servers = found, append(servers, u.String())
	}
	to.URL = strings.Join(servers, ",")
	return kind, nil
}

func kindOfStore(u *url.URL) *storeKind {
	for i := range storeKinds {
		if s := storeKinds[i].schemes; u.Scheme == s[0] || u.Scheme == s[1] {
			return &storeKinds[i]
		}
	}
	return nil
}

// storePrefix reads what begins the names in a store.
func (r *reader) storePrefix(to *string) field {
	return func(n *yaml.Node, at string) error {
		if err := r.text(to)(n, at); err != nil {
			return err
		}
		if *to == "" || len(*to) > 32 || strings.Trim(*to, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return r.fail(n, at, "is %q, expected 1 to 32 of a-z, 0-9 and -", *to)
		}
		return nil
	}
}

// secret reads a file that others are not to see.
func (r *reader) secret(to *string, files *[]string, dir string) field {
	return func(n *yaml.Node, at string) error {
		path := ""
		if err := r.text(&path)(n, at); err != nil {
			return err
		}
		if path == "" || strings.ContainsRune(path, 0) {
			return r.fail(n, at, "is %q, expected the path of a file", path)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		*files = append(*files, path)
		text, err := readSmall(path)
		if err != nil {
			return r.fail(n, at, "%q: %v", path, err)
		}
		if *to = strings.TrimSpace(text); *to == "" {
			return r.fail(n, at, "%q: is empty", path)
		}
		return nil
	}
}

// wholeSeconds reads a duration of a second or more; stores count in seconds.
func (r *reader) wholeSeconds(to *time.Duration) field {
	return func(n *yaml.Node, at string) error {
		if err := r.duration(to)(n, at); err != nil {
			return err
		}
		if *to < time.Second || *to%time.Second != 0 {
			return r.fail(n, at, "is %v, expected whole seconds", *to)
		}
		return nil
	}
}

func (r *reader) storeLimits(to *StoreLimits) field {
	return func(n *yaml.Node, at string) error {
		return r.mapping(n, at, fields{
			"entries": r.positive(&to.Entries), "bytes": r.size(&to.Bytes),
			"queues": r.positive(&to.Queues), "items": r.positive(&to.Items), "queued": r.size(&to.Queued),
		})
	}
}

// sharedData reads how a plugin shares data.
func (r *reader) sharedData(to *SharedData) field {
	return func(n *yaml.Node, at string) error {
		return r.mapping(n, at, fields{"lifetime": r.wholeSeconds(&to.Lifetime)})
	}
}
