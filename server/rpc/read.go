package rpc

import (
	"errors"

	"golang.org/x/net/http2"
)

// maxFrame is the size of the largest frame that is taken. Two of them are read at once.
const maxFrame = 64 << 10

// dataFrame is a frame of type DATA. What it holds is there until the next is read.
type dataFrame struct {
	http2.FrameHeader
	data []byte
}

// readFrame waits for a frame. The framer would copy what one of type DATA holds.
func (c *conn) readFrame() (http2.Frame, error) {
	head, err := c.in.ReadFrameHeader()
	if err != nil {
		return nil, err
	}
	if head.Type != http2.FrameData {
		return c.in.ReadFrameForHeader(head)
	}
	if head.StreamID == 0 {
		return nil, protocolError("data of no stream")
	}
	payload, err := c.source.Peek(int(head.Length))
	if err != nil {
		return nil, err
	}
	_, _ = c.source.Discard(len(payload)) // they are there
	if head.Flags.Has(http2.FlagDataPadded) {
		if len(payload) == 0 || int(payload[0]) >= len(payload) {
			return nil, protocolError("a frame is all padding, and more")
		}
		payload = payload[1 : len(payload)-int(payload[0])]
	}
	c.data = dataFrame{head, payload}
	return &c.data, nil
}

// takeRead takes what the framer has read.
func (c *conn) takeRead(f http2.Frame, err error) error {
	if err != nil {
		var stream http2.StreamError
		if errors.As(err, &stream) {
			return c.resetBroken(stream.StreamID, stream.Code)
		}
		return translate(err)
	}
	c.heard = true
	return c.take(f)
}

// translate makes a connection error of one that the framer has found.
func translate(err error) error {
	var code http2.ConnectionError
	switch {
	case errors.As(err, &code):
		return connError{http2.ErrCode(code), "malformed frame"}
	case errors.Is(err, http2.ErrFrameTooLarge):
		return connError{http2.ErrCodeFrameSize, "a frame is larger than was agreed on"}
	}
	return err
}
