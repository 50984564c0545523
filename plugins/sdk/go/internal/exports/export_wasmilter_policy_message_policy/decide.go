//go:build wasip1

// Package export_wasmilter_policy_message_policy is called by the generated exports.
package export_wasmilter_policy_message_policy

import (
	hostPolicy "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_message_policy"
	hostTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_types"
	"github.com/wasmilter/wasmilter/plugins/sdk/go/internal/exports"
	witTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/wit/types"
)

func init() { exports.Methods = append(exports.Methods, "Decide") }

// Decide judges the message at hand.
func Decide() witTypes.Result[hostPolicy.Decision, hostTypes.Failure] {
	exports.Begin()
	return exports.Decide()
}
