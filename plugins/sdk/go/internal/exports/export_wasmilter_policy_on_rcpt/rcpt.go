//go:build wasip1

// Package export_wasmilter_policy_on_rcpt is called by the generated exports.
package export_wasmilter_policy_on_rcpt

import (
	hostTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_types"
	"github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"
)

func init() { exports.Methods = append(exports.Methods, "Rcpt") }

// Rcpt judges a recipient.
func Rcpt(recipient hostTypes.Mailbox) exports.HookResult {
	exports.Begin()
	return exports.Rcpt(recipient)
}
