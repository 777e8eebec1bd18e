package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/extproc/extproc/plugin"
)

// HTTPRequest is a request to a cluster. The call owns what it refers to.
type HTTPRequest struct {
	Cluster string
	// Headers has ":method", ":path" and ":authority"; ":scheme" is the cluster's
	// own.
	Headers  plugin.Headers
	Body     []byte
	Trailers plugin.Headers
	// Timeout is for everything until the end of the response; 0 leaves it to the
	// cluster's configuration.
	Timeout time.Duration
}

// HTTPResponse is a cluster's response, as a whole.
type HTTPResponse struct {
	Headers  plugin.Headers // ":status" first
	Body     []byte
	Trailers plugin.Headers
	// Err is an *Error that says why there is no response. If none had begun,
	// Headers and Body are what a proxy would have answered in the cluster's
	// place (503, or 504 after a timeout); otherwise they are empty.
	Err error
}

// HTTP sends a request. done is called once, on another goroutine, unless the
// call is cancelled before. The errors are ErrUnknownCluster, ErrBadArgument for
// headers that make no request, ErrFull and ErrClosed.
func (c *Callouts) HTTP(r HTTPRequest, done func(HTTPResponse)) (cancel func(), err error) {
	started, err := c.begin(r.Cluster, len(r.Body))
	if err != nil {
		return nil, err
	}
	req, err := started.request(r.Headers)
	var transport *http.Transport
	if err == nil {
		transport, err = c.client.transport(started.cluster, false)
	}
	if err == nil {
		err = attach(req, r.Body, r.Trailers)
	}
	if err != nil {
		started.end()
		return nil, err
	}
	timer := started.expire(r.Timeout, started.cluster.Timeout, c.limits.Timeout)
	go func() {
		response := started.exchange(transport, req)
		if timer != nil {
			timer.Stop()
		}
		if started.state.CompareAndSwap(running, completed) {
			done(response)
		}
		started.end()
	}()
	return started.drop, nil
}

// connectionFields belong to a connection, not to a request that is sent on, or
// follow from the rest of it.
var connectionFields = []string{"connection", "content-length", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
	"proxy-connection", "trailer", "transfer-encoding", "upgrade"}

// request makes a request with the headers of a guest.
func (c *call) request(headers plugin.Headers) (*http.Request, error) {
	pseudo := map[string]string{}
	rest := make(plugin.Headers, 0, len(headers))
	for _, f := range headers {
		if strings.HasPrefix(f.Name, ":") {
			pseudo[f.Name] = string(f.Value)
		} else {
			rest = append(rest, f)
		}
	}
	for _, name := range []string{":authority", ":method", ":path"} {
		if _, ok := pseudo[name]; !ok {
			return nil, fmt.Errorf("%s is missing: %w", name, ErrBadArgument)
		}
	}
	return c.build(pseudo[":method"], pseudo[":authority"], pseudo[":path"], rest)
}

// build makes a request. Nothing of it can be mistaken for a part of another one.
func (c *call) build(method, authority, path string, headers plugin.Headers) (*http.Request, error) {
	switch {
	case method == http.MethodConnect:
		return nil, fmt.Errorf("the method is CONNECT, which no callout can be: %w", ErrBadArgument)
	case !httpguts.ValidHeaderFieldName(method): // a token, too
		return nil, fmt.Errorf("the method is %.100q: %w", method, ErrBadArgument)
	case !httpguts.ValidHostHeader(authority):
		return nil, fmt.Errorf("the authority is %.100q: %w", authority, ErrBadArgument)
	}
	target, err := target(c.cluster.URL, path)
	if err != nil {
		return nil, err
	}
	req := &http.Request{
		Method: method, URL: target, Host: authority, Header: http.Header{"User-Agent": nil}, // or net/http sends its own
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if err := addFields(req.Header, headers); err != nil {
		return nil, err
	}
	return req.WithContext(c.ctx), nil
}

// addFields adds the fields of a guest that may be sent on.
func addFields(to http.Header, fields plugin.Headers) error {
	for _, f := range fields {
		switch value := string(f.Value); {
		case slices.Contains(connectionFields, f.Name), f.Name == "te" && value != "trailers":
		case !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("%.100q: %.100q can't be sent: %w", f.Name, value, ErrBadArgument)
		default:
			name := http.CanonicalHeaderKey(f.Name)
			to[name] = append(to[name], value)
		}
	}
	return nil
}

// target is the URL of a path in a cluster. Opaque is what net/http puts in a
// request as it is.
func target(cluster *url.URL, path string) (*url.URL, error) {
	if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }) || !strings.HasPrefix(path, "/") && path != "*" {
		return nil, fmt.Errorf("the path is %.100q: %w", path, ErrBadArgument)
	}
	path = strings.TrimSuffix(cluster.EscapedPath(), "/") + path
	u := &url.URL{Scheme: cluster.Scheme, Host: cluster.Host, Opaque: path}
	if strings.HasPrefix(path, "//") {
		u.Path, u.RawQuery, u.ForceQuery = cutQuery(path)
		u.Opaque = ""
	}
	return u, nil
}

func cutQuery(path string) (before, query string, force bool) {
	before, query, found := strings.Cut(path, "?")
	return before, query, found && query == ""
}

// attach gives the request its body and trailers.
func attach(req *http.Request, body []byte, trailers plugin.Headers) error {
	if len(body) == 0 && len(trailers) == 0 {
		return nil
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, _ = req.GetBody()
	if len(trailers) == 0 {
		return nil
	}
	req.ContentLength = -1
	req.Trailer = http.Header{}
	return addFields(req.Trailer, trailers)
}

// exchange sends the request and waits for the whole response.
func (c *call) exchange(transport *http.Transport, req *http.Request) HTTPResponse {
	t := timeouts(Timeouts{}, c.cluster)
	resp, err := c.roundTrip(transport, req, c.deadline(t.Connect, "connection-timeout"), c.deadline(t.FirstByte, errTimeout.Code))
	if err != nil {
		return inPlace(c.failure(err))
	}
	defer resp.Body.Close()
	headers, err := responseHeaders(resp)
	if err != nil {
		return HTTPResponse{Err: err}
	}
	between := c.deadline(t.BetweenBytes, errTimeout.Code)
	defer between.end()
	body, err := c.receive(resp.Body, resp.ContentLength, between)
	if err != nil {
		return HTTPResponse{Err: c.failure(err)}
	}
	trailers, err := responseTrailers(resp)
	if err != nil {
		return HTTPResponse{Err: err}
	}
	return HTTPResponse{Headers: headers, Body: body, Trailers: trailers}
}

// maxFields is how many header fields a response may have.
const maxFields = 1024

func responseHeaders(resp *http.Response) (plugin.Headers, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, &Error{Code: "HTTP-upgrade-failed", Err: errors.New("the service changes the protocol, which nobody asked for")}
	}
	headers := fieldsOf(resp)
	if len(headers) > maxFields {
		return nil, &Error{Code: "HTTP-response-header-section-size", Err: fmt.Errorf("%d fields, at most %d are accepted", len(headers), maxFields)}
	}
	return headers, nil
}

func responseTrailers(resp *http.Response) (plugin.Headers, error) {
	trailers := headersOf(nil, resp.Trailer)
	if len(trailers) > maxFields {
		return nil, &Error{Code: "HTTP-response-trailer-section-size", Err: fmt.Errorf("%d trailers, at most %d are accepted", len(trailers), maxFields)}
	}
	return trailers, nil
}

// receive reads a response's body as far as it may be long. It takes memory as
// the bytes come, whatever length they were announced with.
func (c *call) receive(from io.Reader, announced int64, between *deadline) ([]byte, error) {
	tooLong := &Error{Code: "HTTP-response-body-size"}
	if announced > c.owner.limits.Message {
		return nil, tooLong
	}
	body := make([]byte, 0, min(max(announced, 511)+1, 64<<10))
	for {
		n, err := from.Read(body[len(body):cap(body)])
		between.restart()
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > c.owner.limits.Message || !c.hold(n):
			return nil, tooLong
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, len(body))
		}
	}
}

// inPlace is what a proxy answers when a cluster doesn't, in Envoy's words.
func inPlace(err *Error) HTTPResponse {
	status, text := 503, "upstream connect error or disconnect/reset before headers. reset reason: "
	switch err.Code {
	case errTimeout.Code:
		status, text = 504, "upstream request timeout"
	case "connection-terminated":
		text += "connection termination"
	case "HTTP-protocol-error":
		text += "protocol error"
	default:
		text += "remote connection failure"
	}
	return HTTPResponse{Err: err, Body: []byte(text), Headers: plugin.Headers{
		{Name: ":status", Value: strconv.AppendInt(nil, int64(status), 10)},
		{Name: "content-length", Value: strconv.AppendInt(nil, int64(len(text)), 10)},
		{Name: "content-type", Value: []byte("text/plain")},
	}}
}
