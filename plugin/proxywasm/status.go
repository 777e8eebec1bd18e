package proxywasm

// Status is what a hostcall answers (specification, "proxy_status_t"). The
// numbers that the specification leaves out are those that Envoy uses.
type Status uint32

// The statuses.
const (
	OK Status = iota
	NotFound
	BadArgument
	SerializationFailure
	ParseFailure
	BadExpression
	InvalidMemoryAccess
	Empty
	CasMismatch
	ResultMismatch
	InternalFailure
	BrokenConnection
	Unimplemented
)

var statusNames = [...]string{
	"OK", "NOT_FOUND", "BAD_ARGUMENT", "SERIALIZATION_FAILURE", "PARSE_FAILURE", "BAD_EXPRESSION",
	"INVALID_MEMORY_ACCESS", "EMPTY", "CAS_MISMATCH", "RESULT_MISMATCH", "INTERNAL_FAILURE",
	"BROKEN_CONNECTION", "UNIMPLEMENTED",
}

// String is the status as the specification writes it.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown status"
}
