package wasihttp

import "github.com/extproc/extproc/abi"

// ownPackage begins the names of the interfaces of the folder wit.
const ownPackage = "http-proxy:plugin/"

// ownImports is what guests may import of the folder wit, where it is explained.
var ownImports = []hostInterface{
	{ownPackage + "types@0.1", nil, nil},
	{ownPackage + "callouts@0.1", nil, []row{
		{"send", "func(cluster: string, request: outgoing-request, options: option<request-options>) -> result<future-incoming-response, error>", calloutSend},
	}},
	{ownPackage + "timers@0.1", nil, []row{
		{"set", "func(name: string, after: duration, period: option<duration>) -> result<_, error>", timerSet},
		{"cancel", "func(name: string) -> bool", timerCancel},
	}},
	{ownPackage + "queues@0.1", queueResources, []row{
		{"[static]queue.open", "func(name: string) -> result<queue, error>", waiting(queueOpen)},
		{"[static]queue.find", "func(space: string, name: string) -> result<queue, error>", waiting(queueFind)},
		{"[method]queue.enqueue", "func(self: borrow<queue>, data: list<u8>) -> result<_, error>", waiting(queueEnqueue)},
		{"[method]queue.dequeue", "func(self: borrow<queue>) -> result<option<item>, error>", waiting(queueDequeue)},
		{"[method]queue.subscribe", "func(self: borrow<queue>) -> result<_, error>", queueSubscribe},
		{"[method]item.data", "func(self: borrow<item>) -> list<u8>", itemData},
		{"[static]item.acknowledge", "func(this: item) -> result<_, error>", waiting(itemAcknowledge)},
	}},
	{ownPackage + "shared-data@0.1", nil, []row{
		{"expiring", "func(lifetime: duration) -> result<bucket, error>", dataExpiring},
		{"read", "func(bucket: borrow<bucket>, key: string) -> result<option<entry>, error>", waiting(dataRead)},
		{"swap", "func(bucket: borrow<bucket>, key: string, value: list<u8>, revision: option<u64>) -> result<bool, error>", waiting(dataSwap)},
	}},
	{ownPackage + "properties@0.1", nil, []row{
		{"get", "func(path: list<string>) -> option<value>", propertyGet},
		{"set", "func(path: list<string>, value: value) -> result<_, error>", propertySet},
	}},
	{ownPackage + "dynamic-metadata@0.1", nil, []row{
		{"get", "func(namespace: string, key: string) -> option<value>", metadataGet},
		{"set", "func(namespace: string, key: string, value: value) -> result<_, error>", metadataSet},
	}},
	{ownPackage + "routing@0.1", nil, []row{
		{"clear-route-cache", "func() -> bool", clearRouteCache},
	}},
	{ownPackage + "metrics@0.1", nil, []row{
		{"count", "func(name: string, by: u64) -> result<_, error>", counting.record},
		{"gauge", "func(name: string, value: s64) -> result<_, error>", gauging.record},
		{"adjust", "func(name: string, by: s64) -> result<_, error>", gauging.adjust},
		{"observe", "func(name: string, value: u64) -> result<_, error>", observing.record},
		{"counted", "func(name: string) -> u64", counting.read},
		{"gauged", "func(name: string) -> s64", gauging.read},
	}},
}

var queueResources = []abi.Resource{
	{Name: "queue"},
	{Name: "item", Drop: releaseItem},
}
