package server

import (
	"strconv"

	"github.com/extproc/extproc/plugin"
)

// rule says what may become of the fields of a name.
type rule uint8

const (
	free    rule = iota // anything
	keep                // they stay as they came
	keepOne             // they may be changed but not removed or doubled
	drop                // they go
)

// hopByHop are the fields that belong to one connection (RFC 9110, 7.6.1): the
// proxy's own. A changed transfer-encoding smuggles requests.
var hopByHop = map[string]bool{
	"connection": true, "host": true, "keep-alive": true, "proxy-connection": true,
	"transfer-encoding": true, "upgrade": true,
}

// forwardedProto is the field without which Envoy finds no route for a request. A
// guest that makes its own request, instead of changing the one that came, has
// none.
const forwardedProto = "x-forwarded-proto"

// pseudo are the pseudo header fields of a request and of a response. Envoy
// drops the removal of any of them.
var pseudo = [2]map[string]bool{
	plugin.Request:  {":method": true, ":path": true, ":scheme": true, ":authority": true},
	plugin.Response: {":status": true},
}

// rule of a name in this place.
func (p place) rule(name string) rule {
	switch {
	case name == "":
		return keep
	case name[0] == ':':
		if p.Part == plugin.HeadersPart && pseudo[p.Direction][name] {
			return keepOne
		}
		return keep
	case name == "content-length":
		// A length that is not the body's own smuggles requests.
		if p.newBody {
			return drop
		}
		return keep
	case hopByHop[name]:
		return keep
	case name == forwardedProto && p.Phase == plugin.Phase{Direction: plugin.Request, Part: plugin.HeadersPart}:
		return keepOne
	}
	return free
}

// tokenChars are the characters of a field name (RFC 9110, 5.6.2), in lower case.
var tokenChars = func() (t [256]bool) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c] = true
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func validName(name string) bool {
	if name != "" && name[0] == ':' {
		name = name[1:]
	}
	for i := range len(name) {
		if !tokenChars[name[i]] {
			return false
		}
	}
	return name != ""
}

// validValue allows what a field value may hold (RFC 9110, 5.5): no control
// character but a tab. Envoy drops a :status that is no number or below 200.
func validValue(f plugin.Field) bool {
	for _, c := range f.Value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	if f.Name == ":status" {
		_, ok := statusCode(f.Value)
		return ok
	}
	return f.Name[0] != ':' || len(f.Value) > 0
}

// statusCode reads a final status code.
func statusCode(value []byte) (int, bool) {
	code, err := strconv.Atoi(string(value))
	return code, err == nil && len(value) == 3 && code >= 200 && code <= 999
}
