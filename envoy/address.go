package envoy

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// address parses host:port or unix:///path; option is what it is called in
// errors.
func address(option, text string) (*corev3.Address, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("%s: %q: expected an absolute path, unix:///path", option, text)
		}
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}, nil
	}
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %q: expected host:port or unix:///path", option, text)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: %q: expected a port from 0 to 65535", option, text)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}, nil
}

// isName tells that an address must be looked up in DNS.
func isName(a *corev3.Address) bool {
	socket := a.GetSocketAddress()
	return socket != nil && net.ParseIP(socket.GetAddress()) == nil
}
