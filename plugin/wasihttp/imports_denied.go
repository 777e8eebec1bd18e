package wasihttp

import "github.com/extproc/extproc/abi"

// The rows of imports for file systems and sockets, of which a guest has none.
// Toolchains import them all the same. No guest ever holds a descriptor or a
// socket, so their methods can't be reached; they exist to be linked.

var filesystemResources = []abi.Resource{{Name: "descriptor"}, {Name: "directory-entry-stream"}}

var filesystemRows = []row{
	{"[method]descriptor.read-via-stream", "func(self: borrow<descriptor>, offset: u64) -> result<input-stream, error-code>", badDescriptor},
	{"[method]descriptor.write-via-stream", "func(self: borrow<descriptor>, offset: u64) -> result<output-stream, error-code>", badDescriptor},
	{"[method]descriptor.append-via-stream", "func(self: borrow<descriptor>) -> result<output-stream, error-code>", badDescriptor},
	{"[method]descriptor.advise", "func(self: borrow<descriptor>, offset: u64, length: u64, advice: advice) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.sync-data", "func(self: borrow<descriptor>) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.get-flags", "func(self: borrow<descriptor>) -> result<descriptor-flags, error-code>", badDescriptor},
	{"[method]descriptor.get-type", "func(self: borrow<descriptor>) -> result<descriptor-type, error-code>", badDescriptor},
	{"[method]descriptor.set-size", "func(self: borrow<descriptor>, size: u64) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.set-times", "func(self: borrow<descriptor>, data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.read", "func(self: borrow<descriptor>, length: u64, offset: u64) -> result<tuple<list<u8>, bool>, error-code>", badDescriptor},
	{"[method]descriptor.write", "func(self: borrow<descriptor>, buffer: list<u8>, offset: u64) -> result<u64, error-code>", badDescriptor},
	{"[method]descriptor.read-directory", "func(self: borrow<descriptor>) -> result<directory-entry-stream, error-code>", badDescriptor},
	{"[method]descriptor.sync", "func(self: borrow<descriptor>) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.create-directory-at", "func(self: borrow<descriptor>, path: string) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.stat", "func(self: borrow<descriptor>) -> result<descriptor-stat, error-code>", badDescriptor},
	{"[method]descriptor.stat-at", "func(self: borrow<descriptor>, path-flags: path-flags, path: string) -> result<descriptor-stat, error-code>", badDescriptor},
	{"[method]descriptor.set-times-at", "func(self: borrow<descriptor>, path-flags: path-flags, path: string, data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.link-at", "func(self: borrow<descriptor>, old-path-flags: path-flags, old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.open-at", "func(self: borrow<descriptor>, path-flags: path-flags, path: string, open-flags: open-flags, flags: descriptor-flags) -> result<descriptor, error-code>", badDescriptor},
	{"[method]descriptor.readlink-at", "func(self: borrow<descriptor>, path: string) -> result<string, error-code>", badDescriptor},
	{"[method]descriptor.remove-directory-at", "func(self: borrow<descriptor>, path: string) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.rename-at", "func(self: borrow<descriptor>, old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.symlink-at", "func(self: borrow<descriptor>, old-path: string, new-path: string) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.unlink-file-at", "func(self: borrow<descriptor>, path: string) -> result<_, error-code>", badDescriptor},
	{"[method]descriptor.is-same-object", "func(self: borrow<descriptor>, other: borrow<descriptor>) -> bool", no},
	{"[method]descriptor.metadata-hash", "func(self: borrow<descriptor>) -> result<metadata-hash-value, error-code>", badDescriptor},
	{"[method]descriptor.metadata-hash-at", "func(self: borrow<descriptor>, path-flags: path-flags, path: string) -> result<metadata-hash-value, error-code>", badDescriptor},
	{"[method]directory-entry-stream.read-directory-entry", "func(self: borrow<directory-entry-stream>) -> result<option<directory-entry>, error-code>", badDescriptor},
	{"filesystem-error-code", "func(err: borrow<error>) -> option<error-code>", none},
}

var nameLookupRows = []row{
	{"resolve-addresses", "func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>", denied},
	{"[method]resolve-address-stream.resolve-next-address", "func(self: borrow<resolve-address-stream>) -> result<option<ip-address>, error-code>", denied},
	{"[method]resolve-address-stream.subscribe", "func(self: borrow<resolve-address-stream>) -> pollable", readySubscribe},
}

var tcpRows = []row{
	{"[method]tcp-socket.start-bind", "func(self: borrow<tcp-socket>, network: borrow<network>, local-address: ip-socket-address) -> result<_, error-code>", denied},
	{"[method]tcp-socket.finish-bind", "func(self: borrow<tcp-socket>) -> result<_, error-code>", denied},
	{"[method]tcp-socket.start-connect", "func(self: borrow<tcp-socket>, network: borrow<network>, remote-address: ip-socket-address) -> result<_, error-code>", denied},
	{"[method]tcp-socket.finish-connect", "func(self: borrow<tcp-socket>) -> result<tuple<input-stream, output-stream>, error-code>", denied},
	{"[method]tcp-socket.start-listen", "func(self: borrow<tcp-socket>) -> result<_, error-code>", denied},
	{"[method]tcp-socket.finish-listen", "func(self: borrow<tcp-socket>) -> result<_, error-code>", denied},
	{"[method]tcp-socket.accept", "func(self: borrow<tcp-socket>) -> result<tuple<tcp-socket, input-stream, output-stream>, error-code>", denied},
	{"[method]tcp-socket.local-address", "func(self: borrow<tcp-socket>) -> result<ip-socket-address, error-code>", denied},
	{"[method]tcp-socket.remote-address", "func(self: borrow<tcp-socket>) -> result<ip-socket-address, error-code>", denied},
	{"[method]tcp-socket.is-listening", "func(self: borrow<tcp-socket>) -> bool", no},
	{"[method]tcp-socket.address-family", "func(self: borrow<tcp-socket>) -> ip-address-family", no},
	{"[method]tcp-socket.set-listen-backlog-size", "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]tcp-socket.keep-alive-enabled", "func(self: borrow<tcp-socket>) -> result<bool, error-code>", denied},
	{"[method]tcp-socket.set-keep-alive-enabled", "func(self: borrow<tcp-socket>, value: bool) -> result<_, error-code>", denied},
	{"[method]tcp-socket.keep-alive-idle-time", "func(self: borrow<tcp-socket>) -> result<u64, error-code>", denied},
	{"[method]tcp-socket.set-keep-alive-idle-time", "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]tcp-socket.keep-alive-interval", "func(self: borrow<tcp-socket>) -> result<u64, error-code>", denied},
	{"[method]tcp-socket.set-keep-alive-interval", "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]tcp-socket.keep-alive-count", "func(self: borrow<tcp-socket>) -> result<u32, error-code>", denied},
	{"[method]tcp-socket.set-keep-alive-count", "func(self: borrow<tcp-socket>, value: u32) -> result<_, error-code>", denied},
	{"[method]tcp-socket.hop-limit", "func(self: borrow<tcp-socket>) -> result<u8, error-code>", denied},
	{"[method]tcp-socket.set-hop-limit", "func(self: borrow<tcp-socket>, value: u8) -> result<_, error-code>", denied},
	{"[method]tcp-socket.receive-buffer-size", "func(self: borrow<tcp-socket>) -> result<u64, error-code>", denied},
	{"[method]tcp-socket.set-receive-buffer-size", "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]tcp-socket.send-buffer-size", "func(self: borrow<tcp-socket>) -> result<u64, error-code>", denied},
	{"[method]tcp-socket.set-send-buffer-size", "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]tcp-socket.subscribe", "func(self: borrow<tcp-socket>) -> pollable", readySubscribe},
	{"[method]tcp-socket.shutdown", "func(self: borrow<tcp-socket>, shutdown-type: shutdown-type) -> result<_, error-code>", denied},
}

var udpResources = []abi.Resource{{Name: "udp-socket"}, {Name: "incoming-datagram-stream"}, {Name: "outgoing-datagram-stream"}}

var udpRows = []row{
	{"[method]udp-socket.start-bind", "func(self: borrow<udp-socket>, network: borrow<network>, local-address: ip-socket-address) -> result<_, error-code>", denied},
	{"[method]udp-socket.finish-bind", "func(self: borrow<udp-socket>) -> result<_, error-code>", denied},
	{"[method]udp-socket.stream", "func(self: borrow<udp-socket>, remote-address: option<ip-socket-address>) -> result<tuple<incoming-datagram-stream, outgoing-datagram-stream>, error-code>", denied},
	{"[method]udp-socket.local-address", "func(self: borrow<udp-socket>) -> result<ip-socket-address, error-code>", denied},
	{"[method]udp-socket.remote-address", "func(self: borrow<udp-socket>) -> result<ip-socket-address, error-code>", denied},
	{"[method]udp-socket.address-family", "func(self: borrow<udp-socket>) -> ip-address-family", no},
	{"[method]udp-socket.unicast-hop-limit", "func(self: borrow<udp-socket>) -> result<u8, error-code>", denied},
	{"[method]udp-socket.set-unicast-hop-limit", "func(self: borrow<udp-socket>, value: u8) -> result<_, error-code>", denied},
	{"[method]udp-socket.receive-buffer-size", "func(self: borrow<udp-socket>) -> result<u64, error-code>", denied},
	{"[method]udp-socket.set-receive-buffer-size", "func(self: borrow<udp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]udp-socket.send-buffer-size", "func(self: borrow<udp-socket>) -> result<u64, error-code>", denied},
	{"[method]udp-socket.set-send-buffer-size", "func(self: borrow<udp-socket>, value: u64) -> result<_, error-code>", denied},
	{"[method]udp-socket.subscribe", "func(self: borrow<udp-socket>) -> pollable", readySubscribe},
	{"[method]incoming-datagram-stream.receive", "func(self: borrow<incoming-datagram-stream>, max-results: u64) -> result<list<incoming-datagram>, error-code>", denied},
	{"[method]incoming-datagram-stream.subscribe", "func(self: borrow<incoming-datagram-stream>) -> pollable", readySubscribe},
	{"[method]outgoing-datagram-stream.check-send", "func(self: borrow<outgoing-datagram-stream>) -> result<u64, error-code>", denied},
	{"[method]outgoing-datagram-stream.send", "func(self: borrow<outgoing-datagram-stream>, datagrams: list<outgoing-datagram>) -> result<u64, error-code>", denied},
	{"[method]outgoing-datagram-stream.subscribe", "func(self: borrow<outgoing-datagram-stream>) -> pollable", readySubscribe},
}

// badDescriptor is wasi:filesystem's answer.
func badDescriptor(_ *guest, c *abi.Call) error {
	c.Result = c.ErrCase("bad-descriptor")
	return nil
}

// denied is wasi:sockets' answer.
func denied(_ *guest, c *abi.Call) error {
	c.Result = c.ErrCase("access-denied")
	return nil
}

// network stands for the one network, which denies everything.
type network struct{}

func instanceNetwork(_ *guest, c *abi.Call) error {
	c.ReturnOwn(&network{})
	return nil
}

func readySubscribe(g *guest, c *abi.Call) error {
	c.ReturnOwn(g.pollableFor(always{}, nil))
	return g.full()
}

// none answers with an empty option.
func none(_ *guest, c *abi.Call) error {
	c.ReturnNone()
	return nil
}

// no answers false, or the first case of an enum.
func no(_ *guest, c *abi.Call) error {
	c.Result = abi.Bool(false)
	return nil
}

func emptyList(_ *guest, c *abi.Call) error {
	c.Result = abi.Value{}
	return nil
}
