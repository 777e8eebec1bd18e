package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/extproc/extproc/plugin"
)

// Error is why a call failed. Code is the name of a case of wasi:http's
// error-code, which other ABIs may map as they please.
type Error struct {
	Code string
	Err  error
}

// Error is the code and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Code
	}
	return e.Code + ": " + e.Err.Error()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// classify finds the code for an error of net/http, or of ours below it.
func classify(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Code: codeOf(err), Err: err}
}

func codeOf(err error) string {
	var dns *net.DNSError
	var netErr net.Error
	var alert tls.AlertError
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &dns) && dns.IsTimeout:
		return "DNS-timeout"
	case errors.As(err, &dns):
		return "DNS-error"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection-refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "destination-IP-unroutable"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled):
		return "connection-terminated"
	case errors.As(err, &cert), errors.As(err, &authority):
		return "TLS-certificate-error"
	case errors.As(err, &alert):
		return "TLS-alert-received"
	case errors.As(err, &record):
		return "TLS-protocol-error"
	case errors.As(err, &netErr) && netErr.Timeout():
		return "connection-timeout"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "HTTP-protocol-error"
	}
	return "internal-error"
}

// fieldsOf is a response's headers, ":status" first.
func fieldsOf(resp *http.Response) plugin.Headers {
	list := headersOf(plugin.Headers{{Name: ":status", Value: strconv.AppendInt(nil, int64(resp.StatusCode), 10)}}, resp.Header)
	if resp.ContentLength >= 0 && resp.Header["Content-Length"] == nil {
		list = append(list, plugin.Field{Name: "content-length", Value: strconv.AppendInt(nil, resp.ContentLength, 10)})
	}
	return list
}

// headersOf appends the fields of h, sorted by name, as net/http has lost their
// order.
func headersOf(list plugin.Headers, h http.Header) plugin.Headers {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			list = append(list, plugin.Field{Name: strings.ToLower(name), Value: []byte(value)})
		}
	}
	return list
}
