// Package policy is for writing Wasmilter plugins in Go.
//
// A plugin is a type with a method Decide, and one call that says who it is:
//
//	// Config is what [stage.config] of wasmilter.toml may say.
//	type Config struct {
//		Field string `json:"field,omitempty" doc:"header field to add"`
//	}
//
//	type Marker struct{ field string }
//
//	func init() {
//		policy.Register(policy.Info{
//			Name:    "marker",
//			Version: "0.1.0",
//			Summary: "Marks mail from strangers.",
//			Grants:  []string{"headers"},
//		}, Config{Field: "X-Stranger"}, New)
//	}
//
//	func main() {} // never called
//
//	func New(config Config) (Marker, error) {
//		var problems policy.Problems
//		if config.Field == "" {
//			problems.Add("/field", "must not be empty")
//		}
//		return Marker{config.Field}, problems.Err()
//	}
//
//	func (marker Marker) Decide(message *policy.Message) (*policy.Decision, error) {
//		if message.Client().AuthUser != "" {
//			return policy.Next(), nil
//		}
//		return policy.Next().AddHeader(marker.field, "yes").Flag("stranger", true), nil
//	}
//
// The host calls New once and takes a snapshot of the memory; every message starts from it. So everything costly (compiling
// regular expressions, reading lists) belongs into New, and nothing that Decide leaves behind is seen by the next message.
// New must not use anything of the host.
//
// The plugin has no files, no network, no environment: what it reaches are the methods of [Message] and [Transaction], as
// far as the stage was granted them. In particular time.Now and crypto/rand do not tell the truth; use [Transaction.Now]
// and [Transaction.Random].
//
// The same code runs natively under go test, with a message from package policytest.
//
// The reference of everything here is the contract, in sdk/wit of a project.
package policy
