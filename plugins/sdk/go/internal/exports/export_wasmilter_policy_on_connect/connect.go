//go:build wasip1

// Package export_wasmilter_policy_on_connect is called by the generated exports.
package export_wasmilter_policy_on_connect

import "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"

func init() { exports.Methods = append(exports.Methods, "Connect") }

// Connect judges the transaction so far.
func Connect() exports.HookResult {
	exports.Begin()
	return exports.Connect()
}
