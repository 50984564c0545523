//go:build wasip1

// Package exports stands between what the host calls (generated, package wit_exports) and package policy, which can not
// import each other.
package exports

import (
	hostHooks "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_hook_types"
	hostLifecycle "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_lifecycle"
	hostPolicy "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_message_policy"
	hostTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/bindings/wasmilter_policy_types"
	witRuntime "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/wit/runtime"
	witTypes "github.com/wasmilter/wasmilter/plugins/sdk/go/internal/wit/types"
)

// HookResult is what all hooks give.
type HookResult = witTypes.Result[hostHooks.HookDecision, hostTypes.Failure]

// Set by package policy.
var (
	Describe  func() hostLifecycle.PluginInfo
	Configure func(config string) witTypes.Result[witTypes.Unit, []hostLifecycle.Problem]
	Decide    func() witTypes.Result[hostPolicy.Decision, hostTypes.Failure]
	Connect   func() HookResult
	Helo      func() HookResult
	Mail      func() HookResult
	Rcpt      func(recipient hostTypes.Mailbox) HookResult
)

// Methods that the host is going to call, one for each exported interface beside lifecycle.
var Methods []string

// Begin lets go of what the host wrote during the call before. The generated code does so only in exports with parameters, and
// an instance that serves many messages would grow with each.
func Begin() { witRuntime.Unpin() }
