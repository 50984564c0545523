//go:build wasip1

// Package export_wasmilter_policy_lifecycle is called by the generated exports.
package export_wasmilter_policy_lifecycle

import (
	hostLifecycle "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_lifecycle"
	"github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"
	witTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/wit/types"
)

// Describe describes the plugin.
func Describe() hostLifecycle.PluginInfo {
	exports.Begin()
	return exports.Describe()
}

// Configure makes the policy.
func Configure(config string) witTypes.Result[witTypes.Unit, []hostLifecycle.Problem] {
	exports.Begin()
	return exports.Configure(config)
}
