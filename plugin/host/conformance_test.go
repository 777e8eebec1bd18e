package host_test

import (
	"testing"

	"github.com/extproc/extproc/internal/storetest"
	"github.com/extproc/extproc/plugin/host"
)

func TestMemory(t *testing.T) {
	data, queues := host.NewMemoryData(storetest.Limits.Data), host.NewMemoryQueues(storetest.Limits.Queues)
	storetest.Run(t, func(*testing.T) *host.Store { return &host.Store{Data: data, Queues: queues} }, storetest.Traits{Evicts: true})
}
