package main

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

type rateConfig struct {
	// Header names the client: each value of it has its own limit.
	Header string
	// Limit is how many requests pass in a window of Window milliseconds.
	Limit, Window uint64
}

// rate counts requests in shared data, so that all VMs count together.
type rate struct {
	types.DefaultHttpContext
	config *rateConfig
	left   uint64
}

func newRate(c *rateConfig) types.HttpContext { return &rate{config: c} }

func (r *rate) OnHttpRequestHeaders(int, bool) types.Action {
	client, err := proxywasm.GetHttpRequestHeader(r.config.Header)
	if err != nil {
		client = "anonymous"
	}
	count := r.count("rate-limit/"+client, uint64(time.Now().UnixMilli()))
	if count <= r.config.Limit {
		r.left = r.config.Limit - count
		return types.ActionContinue
	}
	proxywasm.LogWarnf("rate-limit: %s has sent %d", client, count)
	check(proxywasm.SendHttpResponse(429, [][2]string{
		{"content-type", "text/plain"},
		{"retry-after", strconv.FormatUint((r.config.Window+999)/1000, 10)},
	}, []byte("too many requests\n"), -1))
	return types.ActionPause
}

func (r *rate) OnHttpResponseHeaders(int, bool) types.Action {
	check(proxywasm.ReplaceHttpResponseHeader("x-ratelimit-remaining", strconv.FormatUint(r.left, 10)))
	return types.ActionContinue
}

// absent is a version that no value has: what is written with it is written only if there is no value. With version 0, whoever comes
// late would write over the count of others.
const absent = math.MaxUint32

// count returns how many requests of a window there are with this one. Of two that count at once, one finds the number changed and counts anew.
func (r *rate) count(key string, now uint64) uint64 {
	for {
		value, version, err := proxywasm.GetSharedData(key)
		switch {
		case errors.Is(err, types.ErrorStatusNotFound):
			version = absent
		case err != nil:
			check(err)
			return 0
		}
		start, count := now, uint64(0)
		if len(value) == 16 {
			start, count = binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])
		}
		if now >= start+r.config.Window { // whoever has begun the window may have read the clock later
			start, count = now, 0
		}
		count++
		value = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, start), count)
		err = proxywasm.SetSharedData(key, value, version)
		if errors.Is(err, types.ErrorStatusCasMismatch) {
			continue
		}
		check(err)
		return count
	}
}
