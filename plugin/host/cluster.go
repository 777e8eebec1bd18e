package host

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/extproc/extproc/plugin"
)

// maxResponseHeaders is how many bytes the headers of a response may have.
const maxResponseHeaders = 256 << 10

// transports are the connections to services. Those of all plugins that talk
// the same way are shared, and outlive a reload.
type transports struct {
	mu  sync.Mutex
	all map[dialect]*http.Transport
}

// dialect is how a service is talked to.
type dialect struct {
	tls   plugin.TLS
	http2 bool // only, and without asking if there is no TLS
	// allowed are the addresses that may be called beside public ones: whoever may
	// not call one may not use a connection to it either.
	allowed string
}

// maxTransports bounds what stays of TLS configurations that no longer exist.
const maxTransports = 256

// transport finds the transport for a service; http2 says that the caller can't do
// with less.
func (cl *Client) transport(c *plugin.Cluster, http2 bool) (*http.Transport, error) {
	t := &cl.transports
	d := dialect{tls: c.TLS, http2: http2 || c.HTTP2}
	if len(c.AllowedCIDRs) > 0 {
		d.allowed = fmt.Sprint(c.AllowedCIDRs)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.all[d]; found != nil {
		return found, nil
	}
	made, err := d.transport()
	if err != nil {
		return nil, &Error{Code: "TLS-certificate-error", Err: err}
	}
	made.DialContext = cl.dialer(c)
	if len(t.all) >= maxTransports {
		for _, old := range t.all {
			old.CloseIdleConnections()
		}
		t.all = nil
	}
	if t.all == nil {
		t.all = map[dialect]*http.Transport{}
	}
	t.all[d] = made
	return made, nil
}

func (d dialect) transport() (*http.Transport, error) {
	protocols := &http.Protocols{}
	protocols.SetHTTP2(true)
	protocols.SetHTTP1(!d.http2)
	protocols.SetUnencryptedHTTP2(d.http2)
	config, err := d.tls.Client()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  nil, // not even the environment's: callouts go to the service itself
		DisableCompression:     true,
		TLSClientConfig:        config,
		Protocols:              protocols,
		MaxIdleConnsPerHost:    64,
		MaxResponseHeaderBytes: maxResponseHeaders,
		IdleConnTimeout:        time.Minute,
		TLSHandshakeTimeout:    10 * time.Second,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  30 * time.Second, // or a stream to a peer that is gone would last for ever
			WriteByteTimeout: 30 * time.Second,
		},
	}, nil
}

// closingTime is how long cancelled calls may take to let go of their connections.
const closingTime = time.Second

// Close closes the connections that are idle, and those that calls which are
// being cancelled leave idle in a moment. Any later one ends by IdleConnTimeout.
func (t *transports) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, transport := range t.all {
		transport.CloseIdleConnections()
		time.AfterFunc(closingTime, transport.CloseIdleConnections)
	}
	t.all = nil
}
