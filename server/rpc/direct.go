package rpc

import "net"

// Direct has the connections of a listener read and written like those of a Server.
func Direct(l net.Listener) net.Listener { return directly{l} }

type directly struct{ net.Listener }

// Accept implements net.Listener.
func (d directly) Accept() (net.Conn, error) {
	nc, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return direct(nc), nil
}
