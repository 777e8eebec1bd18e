package plugin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Cluster is a service that a guest may call.
type Cluster struct {
	// URL is scheme, http or https, and authority.
	URL *url.URL
	// HTTP2 says that the service speaks HTTP/2 although nothing is negotiated:
	// the configured scheme was h2c.
	HTTP2 bool
	// TLS applies if the scheme is https.
	TLS TLS
	// AllowedCIDRs are ranges of addresses that the service's name may stand for
	// although they are not of the public internet. An address that the URL itself
	// has needs none.
	AllowedCIDRs []netip.Prefix
	// Timeout is the most that a call may take, 0 the default one.
	Timeout time.Duration
	// ConnectTimeout is how long a connection may take, FirstByteTimeout the
	// headers of the response after that, BetweenBytesTimeout each further piece of
	// it. 0 are the default ones.
	ConnectTimeout, FirstByteTimeout, BetweenBytesTimeout time.Duration
}

// TLS says how to talk to a service over TLS. Certificates and keys are PEM.
// Values can be compared.
type TLS struct {
	// CA are the authorities to trust; none means the system's.
	CA string
	// Cert and Key are the client's certificate, if it has one.
	Cert, Key string
	// ServerName is what the certificate must be valid for, if not the URL's host.
	ServerName string
	// InsecureSkipVerify accepts every certificate.
	InsecureSkipVerify bool
}

// Client is the configuration of a TLS client. Errors name the field.
func (t TLS) Client() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("ca: holds no certificate in PEM")
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key))
		if err != nil {
			return nil, errors.New("cert: " + strings.TrimPrefix(err.Error(), "tls: "))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// clusters reads the services a guest may call, under either name of the field.
func (r *reader) clusters(s *Spec, dir string) field {
	return func(n *yaml.Node, at string) error {
		if s.Callouts == nil {
			s.Callouts = map[string]*Cluster{}
		}
		return r.entries(n, at, func(name string, n *yaml.Node, at string) error {
			if s.Callouts[name] != nil {
				return r.fail(n, at, "is given under callouts and under clusters, which are the same")
			}
			c, err := r.cluster(s, n, at, dir)
			s.Callouts[name] = c
			return err
		})
	}
}

// cluster reads a service: its URL, or a mapping.
func (r *reader) cluster(s *Spec, n *yaml.Node, at, dir string) (*Cluster, error) {
	c := &Cluster{}
	target := n
	for target.Kind == yaml.AliasNode {
		target = target.Alias
	}
	if target.Kind != yaml.MappingNode {
		return c, r.service(c)(n, at)
	}
	err := r.mapping(n, at, fields{
		"url":                 r.service(c),
		"allowedCIDRs":        r.ranges(&c.AllowedCIDRs),
		"timeout":             r.duration(&c.Timeout),
		"connectTimeout":      r.duration(&c.ConnectTimeout),
		"firstByteTimeout":    r.duration(&c.FirstByteTimeout),
		"betweenBytesTimeout": r.duration(&c.BetweenBytesTimeout),
		"tls": func(n *yaml.Node, at string) error {
			return r.tls(s, &c.TLS, dir)(n, at)
		},
	})
	switch {
	case err != nil:
		return c, err
	case c.URL == nil:
		return c, r.fail(n, at+".url", "is missing, expected http://host:port or https://host:port")
	case c.TLS != (TLS{}) && c.URL.Scheme != "https":
		return c, r.fail(entry(n, "tls"), at+".tls", "is given although the scheme is not https")
	}
	return c, nil
}

// service reads a cluster's URL.
func (r *reader) service(c *Cluster) field {
	return func(n *yaml.Node, at string) error {
		var raw string
		if err := r.text(&raw)(n, at); err != nil {
			return err
		}
		u, err := url.Parse(raw)
		if err == nil && u.Scheme == "h2c" {
			u.Scheme, c.HTTP2 = "http", true
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
			u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return r.fail(n, at, "is %q, expected http://host:port, h2c://host:port or https://host:port", raw)
		}
		c.URL = u
		return nil
	}
}

// ranges reads ranges of addresses in CIDR notation.
func (r *reader) ranges(to *[]netip.Prefix) field {
	return func(n *yaml.Node, at string) error {
		return r.list(n, at, func(n *yaml.Node, at string) error {
			var raw string
			if err := r.text(&raw)(n, at); err != nil {
				return err
			}
			p, err := netip.ParsePrefix(raw)
			switch {
			case err != nil || p.Addr().Is4In6():
				return r.fail(n, at, "is %q, expected a range of addresses such as 10.0.0.0/8 or fd00::/8", raw)
			case p != p.Masked():
				return r.fail(n, at, "is %q, which has bits set beyond its length, expected %s", raw, p.Masked())
			}
			*to = append(*to, p)
			return nil
		})
	}
}

func (r *reader) tls(s *Spec, to *TLS, dir string) field {
	return func(n *yaml.Node, at string) error {
		err := r.mapping(n, at, fields{
			"ca":                 r.pem(s, &to.CA, dir),
			"cert":               r.pem(s, &to.Cert, dir),
			"key":                r.pem(s, &to.Key, dir),
			"serverName":         r.text(&to.ServerName),
			"insecureSkipVerify": r.truth(&to.InsecureSkipVerify),
		})
		if err != nil {
			return err
		}
		if (to.Cert == "") != (to.Key == "") {
			return r.fail(n, at, "has one of cert and key, expected both or neither")
		}
		if _, err := to.Client(); err != nil {
			field, what, _ := strings.Cut(err.Error(), ": ")
			return r.fail(entry(n, field), at+"."+field, "%s", what)
		}
		return nil
	}
}

// pem reads certificates or a key: PEM itself, or the path of a file with it.
func (r *reader) pem(s *Spec, to *string, dir string) field {
	return func(n *yaml.Node, at string) error {
		var raw string
		if err := r.text(&raw)(n, at); err != nil {
			return err
		}
		if strings.HasPrefix(strings.TrimSpace(raw), "-----BEGIN ") {
			*to = raw
			return nil
		}
		if raw == "" {
			return r.fail(n, at, "is empty, expected PEM or the path of a file with it")
		}
		if !filepath.IsAbs(raw) {
			raw = filepath.Join(dir, raw)
		}
		s.Files = append(s.Files, raw)
		text, err := readSmall(raw)
		if err != nil {
			return r.fail(n, at, "%q: %v", raw, err)
		}
		*to = text
		return nil
	}
}

// maxPEM is how long a file with certificates may be.
const maxPEM = 4 << 20

// readSmall reads a file; the error doesn't name it.
func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", errors.Unwrap(err)
	case !info.Mode().IsRegular() || info.Size() > maxPEM:
		return "", fmt.Errorf("not a file of at most %d bytes", maxPEM)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	return string(text), nil
}

func (r *reader) truth(to *bool) field {
	return func(n *yaml.Node, at string) error {
		raw, err := r.scalar(n, at, "true or false", "!!bool")
		*to = strings.EqualFold(raw, "true")
		return err
	}
}
