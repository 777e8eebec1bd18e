package server

import (
	modev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// bodyMode is how the proxy sends a body, which decides what an answer to it
// looks like.
type bodyMode = modev3.ProcessingMode_BodySendMode

const (
	none     = modev3.ProcessingMode_NONE
	streamed = modev3.ProcessingMode_STREAMED
	buffered = modev3.ProcessingMode_BUFFERED
	partial  = modev3.ProcessingMode_BUFFERED_PARTIAL
	duplex   = modev3.ProcessingMode_FULL_DUPLEX_STREAMED
	messages = modev3.ProcessingMode_GRPC
)

// flows says whether a body goes both ways in pieces that are not answered one by
// one, and without a clock of the proxy's.
func flows(mode bodyMode) bool { return mode == duplex || mode == messages }

// modes are the body modes in force. The proxy tells those of its configuration
// in the first message of a stream and never repeats what an override changed.
type modes struct {
	body [2]bodyMode
	// trailers says for which directions an override has asked for trailers. What
	// the configuration says of them is not told.
	trailers [2]bool
	// fixed is set when the proxy would ignore an override without a word: a body
	// is configured as full duplex, or sent without waiting for an answer.
	fixed bool
}

// learn takes over what the first message says about the configuration.
func (m *modes) learn(c *extprocv3.ProtocolConfiguration) {
	m.body = [2]bodyMode{c.GetRequestBodyMode(), c.GetResponseBodyMode()}
	for _, mode := range m.body {
		m.fixed = m.fixed || mode == duplex
	}
	m.fixed = m.fixed || c.GetSendBodyWithoutWaitingForHeaderResponse()
}

// ask puts a direction's body and trailers in a mode, as if overridden.
func (m *modes) ask(d plugin.Direction, mode bodyMode) {
	m.body[d], m.trailers[d] = mode, true
}

// override is the whole mode in force: the body modes of an override have no
// value that means "as it is", so both are always said. Header modes do have
// one, and so do the trailers' modes.
func (m *modes) override() *modev3.ProcessingMode {
	return &modev3.ProcessingMode{
		RequestBodyMode:     m.body[plugin.Request],
		ResponseBodyMode:    m.body[plugin.Response],
		RequestTrailerMode:  trailerMode(m.trailers[plugin.Request]),
		ResponseTrailerMode: trailerMode(m.trailers[plugin.Response]),
	}
}

func trailerMode(send bool) modev3.ProcessingMode_HeaderSendMode {
	if send {
		return modev3.ProcessingMode_SEND
	}
	return modev3.ProcessingMode_DEFAULT
}
