package hostile

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// index is what the server withstands: each class of harm, the advisories of other
// systems that are of its kind, and the tests that show it, by folder and name.
// Guests of a class are run by TestGuests.
var index = []struct {
	class      string
	advisories string
	tests      string
}{
	// From a guest.
	{"endless loop", "", "guests, plugin/wasihttp.TestStartLoops, abi/core.TestEndlessCodeStops, plugin/proxywasm.TestTimeout, envoy/e2e.TestFaultSpoilsOnlyItsExchange"},
	{"endless sleep", "", "guests, plugin/proxywasm.TestSleepPastDeadline, plugin/wasihttp.TestCloseSleeping"},
	{"memory bomb", "", "guests, abi.TestMemoryLimit, abi/memory.TestBudget, plugin/proxywasm.TestMemoryBomb"},
	{"table growth", "", "guests, abi.TestTableLimit"},
	{"deep recursion", "", "guests"},
	{"re-entering malloc", "", "guests, plugin/proxywasm.TestAllocator"},
	{"pointers and lengths", "CVE-2026-35195", "guests, plugin/proxywasm.TestHostile, plugin/proxywasm.TestBadAllocator, plugin/proxywasm.FuzzHostcalls, abi/canon.TestLiftTraps, abi/canon.TestReallocIsChecked, abi/canon.FuzzLift"},
	{"enums out of range", "", "guests, plugin/proxywasm.TestHostile"},
	{"many fields", "CVE-2026-27572", "guests, plugin/wasihttp.TestBrokenRules, server.TestMutationLimits"},
	{"large fields", "CVE-2026-27572", "guests, server.TestMutationLimits"},
	{"header syntax", "", "guests, plugin/wasihttp.TestSyntax, server.TestMutation, server.FuzzHeaderMutation"},
	{"large pairs", "", "guests, plugin/proxywasm.FuzzPairs"},
	{"handles dropped twice", "CVE-2026-34943", "guests, abi/canon.TestTableTraps, plugin/wasihttp.TestBrokenRules"},
	{"handles leaked", "", "guests, abi.TestCloseDropsHandles"},
	{"handles of another type", "", "guests, abi/canon.TestTableTraps"},
	{"handles of another instance", "", "guests, abi/canon.TestHandlesAcross"},
	{"a million handles", "CVE-2026-27204", "guests, abi/canon.TestTableOwned"},
	{"borrows that outlive a call", "", "guests, abi/canon.TestHandlesAcross, abi.TestWast"},
	{"strings", "CVE-2026-34941 CVE-2026-35195", "guests, abi/canon.TestLiftTraps, abi/canon.TestVectors, abi/canon.FuzzRoundTrip"},
	{"flags and variants out of range", "CVE-2026-34943", "guests, abi/canon.TestLiftTraps, abi/canon.TestLiftIgnoresSpareBits"},
	{"calling from realloc and post-return", "", "guests, abi.TestReallocCallsHost"},
	{"replying twice", "", "guests, plugin/proxywasm.TestLocalResponses"},
	{"replying after the end", "", "guests, server.TestProcessLinger, plugin/proxywasm.TestCallAfterExchange"},
	{"other contexts", "", "guests, plugin/proxywasm.TestContexts, plugin/proxywasm.TestIsolation, envoy/e2e.TestIsolation"},
	{"callouts to where they must not go", "", "plugin/host.TestUnpublic, plugin/host.TestNamedDenied, plugin/host.TestRebinding, plugin/host.TestRedirectNotFollowed, plugin/host.TestConnectionsNotShared, plugin/wasihttp.TestCalloutDenied, plugin/host.TestHTTPRefused, plugin/host.TestHTTPHostile, plugin/host.TestCallHostile, plugin/host.TestGRPCRefused"},
	{"a million of everything", "", "guests, plugin/wasihttp.TestLogStorm, plugin/host.TestMetricsBound, plugin/host.TestMetricNamesAlike, plugin/host.TestMemory"},
	{"random_get of 4 GiB", "", "guests, plugin/wasihttp.TestBrokenRules"},
	{"large bodies", "", "guests, plugin/proxywasm.TestGrowingBody, plugin/proxywasm.TestTooLarge, server.TestProcessHoard"},
	{"exits", "", "guests, plugin/wasihttp.TestFailures"},
	{"traps", "", "guests, plugin/proxywasm.TestTrap, abi.TestTrapEndsInstance"},
	{"harmless", "", "guests"},

	// From the proxy or its client.
	{"any order of messages", "", "TestMessageOrder, server.FuzzProcess, server.FuzzChain, server.FuzzMessages"},
	{"a missing oneof, a second end, trailers without a body", "", "TestMessageOrder, server.TestProcess"},
	{"header maps that are none", "", "TestHeadersOfProxies, server/codec.TestFrom, server.FuzzMessages"},
	{"attributes of any kind", "", "server.FuzzAttributes, server.TestAttributesTold"},
	{"bodies of 0, 1 and 10^9 bytes", "", "TestMessageOrder, envoy/e2e.TestBodies, envoy/e2e.TestBodyOfOneGiB"},
	{"a stream that is cut at each point", "", "server.TestProcessCut, plugin/wasihttp.TestCloseAnywhere, envoy/e2e.TestDisconnect, server.TestEnvoyClientGone"},
	{"cancelled in the middle of a callout", "", "plugin/wasihttp.TestCalloutStreams, plugin/host.TestHTTPCancel, plugin/host.TestGRPCCancel"},
	{"a proxy that loses patience", "", "guests, server.TestPatience, server.TestEnvoyPatience"},
	{"slow readers", "", "TestSlowReader, server.TestEnvoySlowUpstream, server.TestProcessBackPressure, plugin/host.TestGRPCBackPressure"},
	{"10,000 idle streams", "", "TestIdleStreams"},
	{"HTTP/2 resets in bursts", "CVE-2023-44487", "TestResetBursts, server/rpc.TestAbuse, server/rpc.TestZombies"},
	{"messages at and over the size limit", "", "TestMessageSizes, server.TestProcessPieces"},

	// Our answers to the proxy.
	{"our answers", "CVE-2026-47207 CVE-2025-30157 CVE-2026-48743 CVE-2026-26308", "guests, server.FuzzProcess, server.TestEnvoy, server.TestMutation, server.TestMutationUnchangedLength, envoy/e2e.TestUpgrade, envoy/e2e.TestWithoutBody"},

	// From the artefact.
	{"artefacts", "", "guests, TestMutatedArtefacts, plugin/proxywasm.TestLoadErrors, abi.FuzzInstantiate, abi/binary.FuzzDecode, abi/validate.FuzzValidate, abi/core.FuzzParse, abi/core.FuzzRewrite"},
	{"nesting bombs", "", "abi.TestCompileErrors, abi/validate.TestHostile, plugin.TestConfigBombs"},
	{"section sizes that lie", "", "TestMutatedArtefacts, abi/binary.TestDecodeMalformed, abi/core.TestTruncated"},
	{"a wrong sha256", "", "envoy/e2e.TestLoadErrors, plugin.TestLoadErrors"},
	// Archives and registries (CVE-2026-53716, -53717, -48978, ISTIO-SECURITY-2026-001)
	// get their rows with the code: plugins come from files so far.

	// From the operator.
	{"a configuration cut in half", "", "TestCutConfiguration, plugin.FuzzConfig, plugin.TestConfigErrors"},
	{"a bad plugin while the old one serves", "", "envoy/e2e.TestReload, plugin.TestReload, cmd/extproc.TestServe"},
	{"many reloads", "", "cmd/extproc.TestManyReloads, plugin/host.TestReloads, plugin/wasihttp.TestReload, plugin.TestCurrentRace"},
	{"SIGTERM under load", "", "envoy/e2e.TestDrain, cmd/extproc.TestServe, cmd/extproc.TestDrainBound"},
	{"the shared store gone and back", "", "plugin/host/natsstore.TestFaults, plugin/host/redisstore.TestFaults, plugin/wasihttp.TestStoreOfReplicas, cmd/extproc.TestStoreOutOfReach"},
	{"a full disk", "", "TestFullDisk"},
	{"a clock that steps", "", "TestClockSteps, plugin.TestWatchdog"},
}

// folder is this one's, for tests without a folder.
const folder = "internal/hostile"

// TestIndex: every class has a test, every test that is named exists, and every
// guest and advisory belongs to a class.
func TestIndex(t *testing.T) {
	tests := allTests(t)
	guests := map[string]int{}
	advisories := map[string]string{}
	for _, g := range allGuests() {
		guests[g.class]++
		advisories[g.advisory] = g.class
	}
	known := map[string]bool{"": true}
	for _, row := range index {
		if row.tests == "" {
			t.Errorf("%s: no test", row.class)
		}
		for _, name := range strings.Split(row.tests, ", ") {
			if name == "guests" {
				if guests[row.class] == 0 {
					t.Errorf("%s: no guest", row.class)
				}
				delete(guests, row.class)
				continue
			}
			dir, name := filepath.Split(strings.Replace(name, ".", "/", 1))
			if dir == "" {
				dir = folder
			}
			if !tests[filepath.Clean(dir)+"."+name] {
				t.Errorf("%s: there is no test %s in %s", row.class, name, dir)
			}
		}
		for _, a := range strings.Fields(row.advisories) {
			known[a] = true
		}
	}
	for class, n := range guests {
		t.Errorf("%d guests are of a class that has no row: %s", n, class)
	}
	for a, class := range advisories {
		if !known[a] {
			t.Errorf("%s: %s is not in the index", class, a)
		}
	}
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// allTests are the tests of the tree by folder and name.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	root := inCheckout(t)
	tests := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, m := range testName.FindAllSubmatch(read(t, path), -1) {
			tests[dir+"."+string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
