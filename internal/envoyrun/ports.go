package envoyrun

import (
	"fmt"
	"net"
)

// FreePorts are n different TCP ports on loopback that nothing listens on. They
// are held together while they are picked, so that no two are the same.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("free port: %w", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// PortOr is the wanted port on loopback if it is free, else any free one.
func PortOr(wanted int) (int, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", wanted))
	if err == nil {
		return wanted, l.Close()
	}
	ports, err := FreePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}
