package plugin

// Field is one header or trailer field. The name is lower-case; pseudo headers
// keep their colon (":path"). The value is bytes as they came.
type Field struct {
	Name  string
	Value []byte
}

// Headers is an ordered list of fields; a name may occur more than once.
type Headers []Field

// Get returns the first value of a name.
func (h Headers) Get(name string) ([]byte, bool) {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value, true
		}
	}
	return nil, false
}
