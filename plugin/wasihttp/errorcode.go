package wasihttp

import (
	"errors"
	"fmt"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/plugin/host"
)

// errorCode is a value of wasi:http's error-code, by its case.
type errorCode struct {
	name  string
	text  string // of internal-error
	size  uint64 // of the cases for sizes, if sized
	sized bool
}

// Error is the case, and what is known of it.
func (e errorCode) Error() string {
	switch {
	case e.text != "":
		return e.name + ": " + e.text
	case e.sized:
		return fmt.Sprintf("%s: %d bytes", e.name, e.size)
	}
	return e.name
}

func internalError(text string) errorCode { return errorCode{name: "internal-error", text: text} }

// codeOf is the code for an error of a callout.
func codeOf(err error) errorCode {
	var code errorCode
	var callout *host.Error
	switch {
	case errors.As(err, &code):
		return code
	case errors.As(err, &callout):
		if callout.Code == "internal-error" {
			return internalError(callout.Err.Error())
		}
		return errorCode{name: callout.Code}
	case errors.Is(err, host.ErrFull):
		return errorCode{name: "connection-limit-reached"}
	case errors.Is(err, host.ErrUnknownCluster):
		return errorCode{name: "destination-not-found"}
	case errors.Is(err, host.ErrBadArgument):
		return errorCode{name: "HTTP-request-URI-invalid"}
	}
	return internalError(err.Error())
}

// value makes the variant t of a code. All payloads are options or records of
// options: what isn't known is left out.
func (e errorCode) value(c *abi.Call, t *canon.Type) abi.Value {
	for i := range t.Cases {
		if t.Cases[i].Name != e.name {
			continue
		}
		v := abi.Value{Num: uint64(i)}
		if p := t.Cases[i].Type; p != nil {
			v.List = c.List(1)
			v.List[0] = e.payload(c, p)
		}
		return v
	}
	return c.Case(t, e.name)
}

func (e errorCode) payload(c *abi.Call, t *canon.Type) abi.Value {
	switch {
	case t.Kind == canon.Record:
		return abi.Value{List: c.List(len(t.Fields))}
	case e.text != "" && t.Cases[1].Type.Kind == canon.String:
		return c.Some(abi.String(e.text))
	case e.sized:
		return c.Some(abi.U64(e.size))
	}
	return c.None()
}

// guestCode reads an error-code that a guest hands over.
func guestCode(v abi.Value, t *canon.Type) errorCode {
	e := errorCode{name: t.Cases[v.Num].Name}
	if p := t.Cases[v.Num].Type; p != nil && p.Kind == canon.Option && p.Cases[1].Type.Kind == canon.String && v.Payload().Num == 1 {
		e.text = string(raw(v.Payload().Payload().Str))
	}
	return e
}

// httpErrorCode tells what is behind the error of a stream.
func httpErrorCode(_ *guest, c *abi.Call) error {
	c.Result = c.Some(c.Args[0].Obj.(*ioError).value(c, c.ResultType().Cases[1].Type))
	return nil
}

// status is the status that a proxy answers with for an error, as the registry
// of Proxy-Status error types recommends (RFC 9209, 2.3), from which WASI has
// the cases.
func (e errorCode) status() uint64 {
	switch e.name {
	case "DNS-timeout", "connection-timeout", "connection-read-timeout", "connection-write-timeout", "HTTP-response-timeout":
		return 504
	case "destination-unavailable", "connection-limit-reached":
		return 503
	case "HTTP-request-denied":
		return 403
	case "HTTP-request-length-required":
		return 411
	case "HTTP-request-body-size":
		return 413
	case "HTTP-request-method-invalid", "HTTP-request-URI-invalid":
		return 400
	case "HTTP-request-URI-too-long":
		return 414
	case "HTTP-request-header-section-size", "HTTP-request-header-size",
		"HTTP-request-trailer-section-size", "HTTP-request-trailer-size":
		return 431
	case "destination-not-found", "configuration-error", "internal-error":
		return 500
	}
	return 502
}
