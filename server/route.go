package server

import (
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/extproc/extproc/plugin"
)

// signs are what the proxy says of an exchange before its plugins are known.
type signs struct{ *process }

// InitialMetadata implements plugin.Signs.
func (s signs) InitialMetadata(key string) []string {
	return metadata.ValueFromIncomingContext(s.ctx, key)
}

// Attribute implements plugin.Signs.
func (s signs) Attribute(name string) (plugin.Value, bool) { return s.told.Attribute(name) }

// choose puts the plugins of the exchange's route to work on it.
func (p *process) choose() {
	p.route = &p.set.Default
	if len(p.set.Routes) > 0 {
		p.route = p.set.Route(signs{p})
	}
	p.plugins = p.route.Plugins
	p.meters = p.alone[:]
	if n := len(p.plugins); n > 1 {
		p.meters = make([]*meter, n)
	}
	p.chain.Init(&p.ex, p.plugins, p.limits.Bounds, p)
	if p.logs() {
		p.since = time.Now()
	}
	if len(p.plugins) == 0 {
		p.chain.Pass()
	}
}
