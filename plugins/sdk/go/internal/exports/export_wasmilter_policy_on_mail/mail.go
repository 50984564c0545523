//go:build wasip1

// Package export_wasmilter_policy_on_mail is called by the generated exports.
package export_wasmilter_policy_on_mail

import "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"

func init() { exports.Methods = append(exports.Methods, "Mail") }

// Mail judges the transaction so far.
func Mail() exports.HookResult {
	exports.Begin()
	return exports.Mail()
}
