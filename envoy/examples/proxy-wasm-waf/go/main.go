// A web application firewall as a proxy-wasm module: Coraza, with the rules that the plugin's configuration holds as SecLang directives.
package main

import (
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	coraza_types "github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

// A module that is a library has its main never called; the SDK is told here, and so is Coraza, before it reads directives.
func init() {
	plugins.RegisterAuditLogWriter("host", func() plugintypes.AuditLogWriter { return auditLog{} })
	proxywasm.SetVMContext(&vm{})
}

type vm struct{ types.DefaultVMContext }

func (*vm) NewPluginContext(uint32) types.PluginContext { return &firewall{} }

// firewall is one set of rules.
type firewall struct {
	types.DefaultPluginContext
	rules coraza.WAF
}

func (f *firewall) OnPluginStart(size int) types.OnPluginStartStatus {
	var directives []byte
	if size > 0 {
		var err error
		if directives, err = proxywasm.GetPluginConfiguration(); err != nil {
			proxywasm.LogCriticalf("waf: no configuration: %v", err)
			return types.OnPluginStartStatusFailed
		}
	}
	rules, err := coraza.NewWAF(coraza.NewWAFConfig().WithErrorCallback(matched).WithDirectives(string(directives)))
	if err != nil {
		proxywasm.LogCriticalf("waf: %v", err)
		return types.OnPluginStartStatusFailed
	}
	f.rules = rules
	return types.OnPluginStartStatusOK
}

func (f *firewall) NewHttpContext(uint32) types.HttpContext {
	return &exchange{tx: f.rules.NewTransaction()}
}

// matched logs a rule that matched, unless it says nolog.
func matched(m coraza_types.MatchedRule) {
	rule := m.Rule()
	write := proxywasm.LogWarnf
	if rule.Severity() <= coraza_types.RuleSeverityCritical {
		write = proxywasm.LogCriticalf
	} else if rule.Severity() == coraza_types.RuleSeverityError {
		write = proxywasm.LogErrorf
	}
	write("waf: rule %d: %s (%s)", rule.ID(), m.Message(), m.Data())
}
