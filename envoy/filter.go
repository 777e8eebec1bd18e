package envoy

import (
	"cmp"
	"slices"
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/plugin"
)

// waitMargin is how much longer than its plugins may run Envoy waits for an
// answer: a plugin also waits for callouts and for a free instance. extproc has
// the deadlines that matter; Envoy's only catches a server that hangs.
const waitMargin = 30 * time.Second

// filter is the ext_proc filter that a chain of plugins needs, and as far as they
// can't say so themselves, those of the routes.
func filter(plugins []Plugin, opts Options) *extprocv3.ExternalProcessor {
	needs := union(plugins)
	attributes := needs.Attributes
	attributes[plugin.Request] = merge(attributes[plugin.Request], opts.Attributes)
	override, timeout := overriding(needs), messageTimeout(plugins)
	for _, r := range opts.Routes {
		own := union(r.Plugins)
		for d := range attributes {
			attributes[d] = merge(attributes[d], own.Attributes[d])
		}
		override = override || overriding(own)
		timeout = max(timeout, messageTimeout(r.Plugins))
	}
	var longest *durationpb.Duration
	if opts.MaxMessageTimeout > 0 {
		longest = durationpb.New(opts.MaxMessageTimeout)
	}
	return &extprocv3.ExternalProcessor{
		GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				// Of the two headers that Envoy would add to each stream, nothing is read.
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: extProcName, SkipEnvoyHeaders: true},
			},
		},
		ProcessingMode:    mode(needs),
		AllowModeOverride: override,
		MessageTimeout:    durationpb.New(cmp.Or(opts.MessageTimeout, timeout)),
		MaxMessageTimeout: longest,
		FailureModeAllow:  failOpen(plugins),
		// A guest may rewrite method, path, authority and scheme, as any HTTP
		// intermediary may; without this Envoy drops those changes without a word.
		MutationRules:      &mutationv3.HeaderMutationRules{AllowAllRouting: wrapperspb.Bool(true)},
		RequestAttributes:  attributes[plugin.Request],
		ResponseAttributes: attributes[plugin.Response],
		MetadataOptions:    metadata(needs),
		// Left at its default, AllowContentLengthHeader false: Envoy removes
		// content-length from a streamed body. A length kept for a body that a
		// guest may yet change, or fail in the middle of, can smuggle requests.
	}
}

// union is what at least one plugin needs. Envoy ignores a mode override once
// any body is configured as full duplex, so then nothing can be on demand.
func union(plugins []Plugin) plugin.Needs {
	var all plugin.Needs
	always := false
	for _, p := range plugins {
		for d := range all.Headers {
			all.Headers[d] = all.Headers[d] || p.Needs.Headers[d]
			all.Body[d] = max(all.Body[d], p.Needs.Body[d])
			all.Attributes[d] = merge(all.Attributes[d], p.Needs.Attributes[d])
			always = always || p.Needs.Body[d] == plugin.Always
		}
		all.Reads = merge(all.Reads, p.Needs.Reads)
		all.Writes = merge(all.Writes, p.Needs.Writes)
	}
	for d, need := range all.Body {
		if always && need == plugin.OnDemand {
			all.Body[d] = plugin.Always
		}
	}
	return all
}

// merge is the names of both lists, each once, in order.
func merge(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// metadata is which dynamic metadata goes to and fro.
func metadata(needs plugin.Needs) *extprocv3.MetadataOptions {
	if len(needs.Reads) == 0 && len(needs.Writes) == 0 {
		return nil
	}
	options := &extprocv3.MetadataOptions{}
	if len(needs.Reads) > 0 {
		options.ForwardingNamespaces = &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: needs.Reads}
	}
	if len(needs.Writes) > 0 {
		options.ReceivingNamespaces = &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: needs.Writes}
	}
	return options
}

func mode(needs plugin.Needs) *extprocv3.ProcessingMode {
	req, resp := plugin.Request, plugin.Response
	return &extprocv3.ProcessingMode{
		RequestHeaderMode:   headerMode(needs, req),
		ResponseHeaderMode:  headerMode(needs, resp),
		RequestBodyMode:     bodyMode(needs.Body[req]),
		ResponseBodyMode:    bodyMode(needs.Body[resp]),
		RequestTrailerMode:  trailerMode(needs.Body[req]),
		ResponseTrailerMode: trailerMode(needs.Body[resp]),
	}
}

// headerMode sends headers also for the body's sake: answers to a full-duplex
// body come after the answer to its headers.
func headerMode(needs plugin.Needs, d plugin.Direction) extprocv3.ProcessingMode_HeaderSendMode {
	if needs.Headers[d] || needs.Body[d] != plugin.Never {
		return extprocv3.ProcessingMode_SEND
	}
	return extprocv3.ProcessingMode_SKIP
}

func bodyMode(need plugin.BodyNeed) extprocv3.ProcessingMode_BodySendMode {
	if need == plugin.Always {
		return extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED
	}
	return extprocv3.ProcessingMode_NONE
}

// trailerMode goes with the body: full duplex demands trailers, and an override
// that asks for a body asks for its trailers too.
func trailerMode(need plugin.BodyNeed) extprocv3.ProcessingMode_HeaderSendMode {
	if need == plugin.Always {
		return extprocv3.ProcessingMode_SEND
	}
	return extprocv3.ProcessingMode_SKIP
}

// messageTimeout holds for one message, in which every plugin may take its turn.
func messageTimeout(plugins []Plugin) time.Duration {
	total := waitMargin
	for _, p := range plugins {
		total += p.Timeout
	}
	return total
}

// failOpen lets traffic pass when extproc itself is gone, if every plugin may be
// done without.
func failOpen(plugins []Plugin) bool {
	for _, p := range plugins {
		if p.FailStrategy != plugin.FailOpen {
			return false
		}
	}
	return len(plugins) > 0
}
