package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/extproc/extproc/plugin"
)

// special are addresses that are not of the public internet, as IANA's registries
// of special-purpose addresses have them (RFC 6890), or that a cloud answers
// itself. What isn't among them and not of 2000::/3 was never given out.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "private to a carrier"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a platform's own service"}, // Azure's, which gives out certificates
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved for protocols"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved for protocols"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("2001::/23"), "reserved for protocols"}, // Teredo among them
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

var (
	unicast = netip.MustParsePrefix("2000::/3")
	// carriers are the ranges whose addresses lead to an IPv4 address that they
	// hold: NAT64 (RFC 6052) and 6to4 (RFC 3056).
	carriers = []struct {
		prefix netip.Prefix
		at     int // the place of the IPv4 address
	}{
		{netip.MustParsePrefix("64:ff9b::/96"), 12},
		{netip.MustParsePrefix("2002::/16"), 2},
	}
)

// unpublic says what an address is that is not of the public internet; "" if it is.
func unpublic(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.what
		}
	}
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			bytes := a.As16()
			inner := netip.AddrFrom4([4]byte(bytes[c.at : c.at+4]))
			if what := unpublic(inner); what != "" {
				return fmt.Sprintf("%s, %s", inner, what)
			}
			return ""
		}
	}
	if a.Is4() || unicast.Contains(a) {
		return ""
	}
	return "reserved"
}

// permission is what one service's connections may reach beside the public
// internet: what its URL names, and what the configuration allows.
type permission struct {
	host  string // of the URL
	extra []netip.Prefix
}

func (p permission) allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if named, err := netip.ParseAddr(p.host); err == nil && named.Unmap().WithZone("") == a {
		return true
	}
	if isLocalhost(p.host) && a.IsLoopback() {
		return true
	}
	for _, r := range p.extra {
		if r.Contains(a) {
			return true
		}
	}
	return unpublic(a) == ""
}

// isLocalhost reports whether a name stands for this machine, and can't for any
// other (RFC 6761, 6.3).
func isLocalhost(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// control is called with the very address that a socket is about to be connected
// to, so that what a name stands for can't change after it was checked.
func (p permission) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Error{Code: prohibited, Err: err}
	}
	if p.allows(to.Addr()) {
		return nil
	}
	return &Error{Code: prohibited, Err: fmt.Errorf("%s is %s, which is %s; allowedCIDRs of the callout may allow it",
		p.host, to.Addr(), unpublic(to.Addr()))}
}

const prohibited = "destination-IP-prohibited"

// dialTimeout ends attempts that no call waits for any more.
const dialTimeout = 30 * time.Second

// dialer connects to the services of clusters with the same permissions.
func (cl *Client) dialer(c *plugin.Cluster) func(context.Context, string, string) (net.Conn, error) {
	extra := c.AllowedCIDRs
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: dialTimeout, Resolver: cl.Resolver, Control: permission{host, extra}.control}
		return d.DialContext(ctx, network, address)
	}
}
