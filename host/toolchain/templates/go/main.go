// {{Name}} rejects mail by phrases in its subject, and marks the rest.
package main

import (
	"fmt"
	"strings"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
)

// Config is what [stage.config] of wasmilter.toml may say. Its JSON Schema is made of this type.
type Config struct {
	Phrases []string `json:"phrases" min:"1" doc:"mail with one of these in its subject is rejected; case does not matter"`
}

// Filter is the policy, made of its configuration.
type Filter struct {
	phrases []string
}

func init() {
	policy.Register(policy.Info{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Rejects mail by phrases in its subject, and marks the rest",
		Grants:  []string{"headers"},
	}, Config{}, New)
}

// The host never calls it; the compiler asks for it.
func main() {}

// New is called once, when the configuration is loaded; Decide then starts from what it made. What is costly belongs here.
func New(config Config) (*Filter, error) {
	var problems policy.Problems
	if len(config.Phrases) == 0 {
		problems.Add("/phrases", "must have at least one phrase")
	}
	for at, phrase := range config.Phrases {
		if strings.TrimSpace(phrase) == "" {
			problems.Add(fmt.Sprintf("/phrases/%d", at), "must not be empty")
		}
	}
	return &Filter{config.Phrases}, problems.Err()
}

// Decide is called for every message.
func (filter *Filter) Decide(message *policy.Message) (*policy.Decision, error) {
	subject := strings.ToLower(message.Subject())
	for _, phrase := range filter.phrases {
		if strings.Contains(subject, strings.ToLower(phrase)) {
			reply := policy.Reply{Code: 550, Enhanced: "5.7.1", Text: "subject not accepted: " + phrase}
			return policy.RejectWith(reply).Text("phrase", phrase), nil
		}
	}
	return policy.Next().AddHeader("X-Checked-By", "{{name}}"), nil
}
