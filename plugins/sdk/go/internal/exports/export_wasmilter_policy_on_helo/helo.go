//go:build wasip1

// Package export_wasmilter_policy_on_helo is called by the generated exports.
package export_wasmilter_policy_on_helo

import "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"

func init() { exports.Methods = append(exports.Methods, "Helo") }

// Helo judges the transaction so far.
func Helo() exports.HookResult {
	exports.Begin()
	return exports.Helo()
}
