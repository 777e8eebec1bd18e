// Package plugin is the vocabulary and life cycle of plugins, free of Envoy's
// protocol and of any guest ABI: the exchange a guest sees, the configuration
// of a plugin, and the small interfaces a guest ABI fulfils.
package plugin

// Direction is the half of an exchange a message belongs to.
type Direction uint8

// The two directions.
const (
	Request Direction = iota
	Response
)

// Part is a part of an HTTP message.
type Part uint8

// The three parts of an HTTP message.
const (
	HeadersPart Part = iota
	BodyPart
	TrailersPart
)

// Phase is one of the six phases of an exchange.
type Phase struct {
	Direction Direction
	Part      Part
}

var phaseNames = [2][3]string{
	{"request headers", "request body", "request trailers"},
	{"response headers", "response body", "response trailers"},
}

// String is the phase in words: "request headers".
func (p Phase) String() string { return phaseNames[p.Direction][p.Part] }
