package main

import (
	"errors"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

type queueConfig struct{ Queue string }

// producer tells a queue of every request.
type producer struct {
	types.DefaultHttpContext
	config *queueConfig
}

func newProducer(c *queueConfig) types.HttpContext { return &producer{config: c} }

func (p *producer) OnHttpRequestHeaders(int, bool) types.Action {
	method, err := proxywasm.GetHttpRequestHeader(":method")
	check(err)
	path, err := proxywasm.GetHttpRequestHeader(":path")
	check(err)
	vmID, err := proxywasm.GetProperty([]string{"plugin_vm_id"})
	check(err)
	// The consumer may have started after this plugin, so the queue is looked up as late as can be.
	queue, err := proxywasm.ResolveSharedQueue(string(vmID), p.config.Queue)
	if err != nil {
		proxywasm.LogErrorf("queue: no queue %q: %v", p.config.Queue, err)
		return types.ActionContinue
	}
	check(proxywasm.EnqueueSharedQueue(queue, []byte(method+" "+path)))
	return types.ActionContinue
}

// consumer logs what is in the queue. It sees no exchanges.
type consumer struct {
	types.DefaultPluginContext
	queue uint32
}

func newConsumer() types.PluginContext { return &consumer{} }

func (c *consumer) OnPluginStart(size int) types.OnPluginStartStatus {
	config := queueConfig{Queue: "requests"}
	if !read(&config, size) {
		return types.OnPluginStartStatusFailed
	}
	var err error
	c.queue, err = proxywasm.RegisterSharedQueue(config.Queue)
	check(err)
	return err == nil
}

// OnQueueReady empties the queue: another VM that was told too may have been faster.
func (c *consumer) OnQueueReady(queue uint32) {
	for {
		item, err := proxywasm.DequeueSharedQueue(queue)
		if errors.Is(err, types.ErrorStatusEmpty) {
			return
		}
		if err != nil {
			check(err)
			return
		}
		proxywasm.LogInfo("queue: " + string(item))
	}
}

func (*consumer) NewHttpContext(uint32) types.HttpContext { return &types.DefaultHttpContext{} }
