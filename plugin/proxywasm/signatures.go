package proxywasm

// Signature is a hostcall as those see it who make up calls of it.
type Signature struct {
	Name string
	// Params are the kinds of the parameters: what comes in, then what goes out.
	Params []string
}

// kindNames are the kinds in words.
var kindNames = [...]string{
	num32: "num32", num64: "num64", mapID: "map", bufferID: "buffer", streamID: "stream", logLevelID: "level",
	bytesIn: "bytes", pairsIn: "pairs", out32: "out32", out64: "out64", bytesOut: "bytesOut", pairsOut: "pairsOut",
	bytesMaybe: "bytesMaybe",
}

// Signatures are those of all hostcalls.
func Signatures() []Signature {
	list := make([]Signature, len(hostcalls))
	for i := range hostcalls {
		list[i].Name = hostcalls[i].name
		for _, k := range hostcalls[i].params {
			list[i].Params = append(list[i].Params, kindNames[k])
		}
	}
	return list
}
