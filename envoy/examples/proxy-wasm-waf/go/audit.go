package main

import (
	"encoding/json"
	"slices"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
)

// auditLog writes a line of JSON for each transaction into the host's log: `SecAuditLogType host`. The matched rules are part K.
type auditLog struct{}

func (auditLog) Init(plugintypes.AuditLogConfig) error { return nil }

func (auditLog) Close() error { return nil }

// record is what a line holds. Time and connection are the host's to add.
type record struct {
	Client      string `json:"client"`
	Method      string `json:"method,omitempty"`
	URI         string `json:"uri,omitempty"`
	Status      int    `json:"status,omitempty"`
	Interrupted bool   `json:"interrupted"`
	Rules       []rule `json:"rules"`
}

type rule struct {
	ID       int    `json:"id"`
	Message  string `json:"message"`
	Data     string `json:"data,omitempty"`
	Severity string `json:"severity"`
}

func (auditLog) Write(log plugintypes.AuditLog) error {
	tx := log.Transaction()
	r := record{Client: tx.ClientIP(), Interrupted: tx.IsInterrupted(), Rules: []rule{}}
	if tx.HasRequest() {
		r.Method, r.URI = tx.Request().Method(), tx.Request().URI()
	}
	if tx.HasResponse() {
		r.Status = tx.Response().Status()
	}
	if !slices.Contains(log.Parts(), types.AuditLogPartRulesMatched) {
		return write(r) // the messages say nothing of the rules then
	}
	for _, m := range log.Messages() {
		data := m.Data()
		r.Rules = append(r.Rules, rule{ID: data.ID(), Message: data.Msg(), Data: data.Data(), Severity: data.Severity().String()})
	}
	return write(r)
}

func write(r record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	proxywasm.LogInfo("waf: audit " + string(line))
	return nil
}
