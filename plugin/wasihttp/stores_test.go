package wasihttp_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/storetest"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/host/natsstore"
)

// TestStoreOfReplicas: two replicas of a plugin share data and queues over a real
// NATS, and when it is gone they are told so.
func TestStoreOfReplicas(t *testing.T) {
	server := storetest.StartNATS(t, nil)
	store := func(s *plugin.Spec) { s.Store = plugin.Store{URL: server.URL(), Timeout: 5 * time.Second} }
	var replicas [2]loaded
	for i := range replicas {
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		shared := host.NewServices(func(c plugin.Store, m *host.StoreMetrics) (*host.Store, error) { return natsstore.Open(c, log, m) })
		replicas[i] = loadWith(t, shared, guestFile("services"), withSpace(t), store)
	}
	first, second := replicas[0], replicas[1]
	eventually(t, "the store", func() bool { return ask(t, first, "/open?work") == "Ok(())" })
	for _, c := range []struct {
		m          loaded
		path, want string
	}{
		{second, "/open?work", "Ok(())"},
		{first, "/dequeue?steps", "one one Ok(()) two Ok(()) true"},
		{second, "/subscribe?work", "Ok(())"},
		{first, "/enqueue?" + t.Name() + ",work,hello", "Ok(())"},
		{first, "/subscribe-other?" + t.Name() + ",work", "Ok(())"}, // it is the own space after all
	} {
		if got := ask(t, c.m, c.path); got != c.want {
			t.Errorf("%s: %s, expected %s", c.path, got, c.want)
		}
	}
	eventually(t, "the item at one of them", func() bool { return first.counted("items_work")+second.counted("items_work") == 1 })
	if got := ask(t, first, "/keyvalue?first"); !strings.Contains(got, " 2 Ok(true) Ok(false) Ok(false) Ok(true) Ok(true) Ok(") {
		t.Errorf("/keyvalue: %s", got)
	}

	server.Stop()
	begin := time.Now()
	for _, path := range []string{"/enqueue?" + t.Name() + ",work,lost", "/open?other"} {
		if got := ask(t, first, path); !strings.HasPrefix(got, `Err(Error::Unavailable("`) {
			t.Errorf("%s without the store: %s", path, got)
		}
	}
	if got := ask(t, second, "/metadata?a,b"); got != "None" {
		t.Errorf("an exchange that doesn't need the store: %s", got)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	server.Start(t)
	eventually(t, "the store again", func() bool { return ask(t, first, "/enqueue?"+t.Name()+",work,again") == "Ok(())" })
	eventually(t, "the next item", func() bool { return first.counted("items_work")+second.counted("items_work") >= 2 })
}
