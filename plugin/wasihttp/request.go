package wasihttp

import (
	"strconv"
	"strings"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/plugin"
)

// methods are the methods that wasi:http has cases for, by case.
var methods = map[string]string{
	"get": "GET", "head": "HEAD", "post": "POST", "put": "PUT", "delete": "DELETE",
	"connect": "CONNECT", "options": "OPTIONS", "trace": "TRACE", "patch": "PATCH",
}

// methodValue is the variant t of a method.
func methodValue(c *abi.Call, t *canon.Type, method string) abi.Value {
	for i := range t.Cases {
		if known := methods[t.Cases[i].Name]; known == method {
			return abi.Value{Num: uint64(i)}
		}
	}
	return c.Case(t, "other", abi.String(method))
}

// schemeValue is the variant t of a scheme.
func schemeValue(c *abi.Call, t *canon.Type, scheme string) abi.Value {
	switch scheme {
	case "http":
		return c.Case(t, "HTTP")
	case "https":
		return c.Case(t, "HTTPS")
	}
	return c.Case(t, "other", abi.String(scheme))
}

// returnOptional returns a string that may be absent.
func returnOptional(c *abi.Call, s string, ok bool) {
	if !ok {
		c.ReturnNone()
		return
	}
	c.ReturnString(s)
	c.WrapSome()
}

func incomingRequestMethod(_ *guest, c *abi.Call) error {
	method, _ := c.Args[0].Obj.(*incoming).header(":method")
	c.Result = methodValue(c, c.ResultType(), method)
	return nil
}

func incomingRequestPath(_ *guest, c *abi.Call) error {
	path, ok := c.Args[0].Obj.(*incoming).header(":path")
	returnOptional(c, path, ok)
	return nil
}

func incomingRequestScheme(_ *guest, c *abi.Call) error {
	scheme, ok := c.Args[0].Obj.(*incoming).header(":scheme")
	c.ReturnNone()
	if ok {
		c.Result = schemeValue(c, c.ResultType().Cases[1].Type, scheme)
		c.WrapSome()
	}
	return nil
}

func incomingRequestAuthority(_ *guest, c *abi.Call) error {
	authority, ok := c.Args[0].Obj.(*incoming).header(":authority")
	returnOptional(c, authority, ok)
	return nil
}

func incomingHeaders(g *guest, c *abi.Call) error {
	c.ReturnOwn(g.shownFields(c.Args[0].Obj.(*incoming).headers))
	return g.full()
}

func incomingConsume(_ *guest, c *abi.Call) error {
	m := c.Args[0].Obj.(*incoming)
	if m.consumed {
		c.ReturnErr()
		return nil
	}
	m.consumed = true
	c.ReturnOkOwn(&m.body)
	return nil
}

func newOutgoingRequest(g *guest, c *abi.Call) error {
	o := g.make(plugin.Request, c.Args[0].Obj.(*fields))
	o.method = "GET"
	c.ReturnOwn(o)
	return nil
}

func outgoingHeaders(g *guest, c *abi.Call) error {
	o := c.Args[0].Obj.(*outgoing)
	f := g.shared(o.fields)
	f.immutable = true
	c.ReturnOwn(f)
	return g.full()
}

// dropOutgoing drops a message that was not sent.
func dropOutgoing(g *guest, o *outgoing) {
	if o.fields != nil {
		dropFields(g, o.fields)
		o.fields = nil
	}
}

func outgoingRequestMethod(_ *guest, c *abi.Call) error {
	c.Result = methodValue(c, c.ResultType(), c.Args[0].Obj.(*outgoing).method)
	return nil
}

func outgoingRequestSetMethod(g *guest, c *abi.Call) error {
	name := c.ParamType(1).Cases[c.Args[1].Num].Name
	method, ok := methods[name]
	if !ok {
		if method = c.Args[1].Payload().Str; !validName(method) {
			c.ReturnErr()
			return nil
		}
		method = g.text.String(method)
	}
	c.Args[0].Obj.(*outgoing).method = method
	c.ReturnOk()
	return nil
}

func outgoingRequestPath(_ *guest, c *abi.Call) error {
	path := c.Args[0].Obj.(*outgoing).path
	returnOptional(c, path.string, path.ok)
	return nil
}

func outgoingRequestSetPath(g *guest, c *abi.Call) error {
	return setOption(g, c, &c.Args[0].Obj.(*outgoing).path, ":path", validPath)
}

func outgoingRequestAuthority(_ *guest, c *abi.Call) error {
	authority := c.Args[0].Obj.(*outgoing).authority
	returnOptional(c, authority.string, authority.ok)
	return nil
}

func outgoingRequestSetAuthority(g *guest, c *abi.Call) error {
	return setOption(g, c, &c.Args[0].Obj.(*outgoing).authority, ":authority", validAuthority)
}

// setOption sets a part of a request that may be absent. Most often it is what
// the exchange's request has in the pseudo header: then nothing is copied.
func setOption(g *guest, c *abi.Call, o *option, pseudo string, valid func(string) bool) error {
	c.ReturnOk()
	if c.Args[1].Num == 0 {
		*o = option{}
		return nil
	}
	s := c.Args[1].Payload().Str
	if original, _ := g.in[plugin.Request].header(pseudo); original != "" && original == s {
		*o = option{original, true}
		return nil
	}
	if !valid(s) {
		c.ReturnErr()
		return nil
	}
	*o = option{g.text.String(s), true}
	return nil
}

func outgoingRequestScheme(_ *guest, c *abi.Call) error {
	scheme := c.Args[0].Obj.(*outgoing).scheme
	c.ReturnNone()
	if scheme.ok {
		c.Result = schemeValue(c, c.ResultType().Cases[1].Type, scheme.string)
		c.WrapSome()
	}
	return nil
}

func outgoingRequestSetScheme(g *guest, c *abi.Call) error {
	o := c.Args[0].Obj.(*outgoing)
	c.ReturnOk()
	if c.Args[1].Num == 0 {
		o.scheme = option{}
		return nil
	}
	v := c.Args[1].Payload()
	switch c.ParamType(1).Cases[1].Type.Cases[v.Num].Name {
	case "HTTP":
		o.scheme = option{"http", true}
	case "HTTPS":
		o.scheme = option{"https", true}
	default:
		s := v.Payload().Str
		if !validScheme(s) {
			c.ReturnErr()
			return nil
		}
		o.scheme = option{g.text.String(s), true}
	}
	return nil
}

// validPath accepts origin-form and asterisk-form (RFC 9112, 3.2) without a
// fragment, and "", which stands for "/".
func validPath(s string) bool {
	if s != "" && s[0] != '/' && s != "*" {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' })
}

// validScheme follows RFC 3986, 3.1.
func validScheme(s string) bool {
	for i := range len(s) {
		letter := lowerByte(s[i]) >= 'a' && lowerByte(s[i]) <= 'z'
		if !letter && (i == 0 || (s[i] < '0' || s[i] > '9') && strings.IndexByte("+-.", s[i]) < 0) {
			return false
		}
	}
	return s != ""
}

// validAuthority follows RFC 3986, 3.2, without user information.
func validAuthority(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || !digits(port) {
			return false
		}
	}
	bracketed := len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']'
	if bracketed {
		host = host[1 : len(host)-1]
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("/?#@[]\\\"<>^`{|}", r) || r == ':' && !bracketed
	})
}
