package policy

import (
	"errors"
	"fmt"
	"runtime"
)

// Info is how a plugin presents itself.
type Info struct {
	// Name in lower case, such as "virus".
	Name string
	// Version, semver.
	Version string
	// Summary is one sentence: what the plugin does.
	Summary string
	// Licence as an SPDX expression, such as "Apache-2.0"; may be empty.
	Licence string
	// HomePage is a URL; may be empty.
	HomePage string
	// Grants that the plugin can make use of, such as "headers", "text", "service:clamd".
	Grants []string
	// Schema is the JSON Schema (draft 2020-12) of the configuration. Empty: derived from the configuration's type, see
	// [Register].
	Schema string
}

// What a policy may be asked; it has the methods of the interfaces that its world (wit/world.wit) exports.
type (
	// Decider judges whole messages.
	Decider interface {
		// Decide judges a message. An error means that the policy could not; the stage's on_failure then does. See [Failure].
		Decide(message *Message) (*Decision, error)
	}
	// ConnectHook is asked when a client connects; nothing but the client is known.
	ConnectHook interface {
		Connect(transaction *Transaction) (*HookDecision, error)
	}
	// HeloHook is asked at every HELO or EHLO; a session may have several.
	HeloHook interface {
		Helo(transaction *Transaction) (*HookDecision, error)
	}
	// MailHook is asked at MAIL FROM; the sender is known.
	MailHook interface {
		Mail(transaction *Transaction) (*HookDecision, error)
	}
	// RcptHook is asked at RCPT TO, about that recipient; the transaction has the ones accepted before it.
	RcptHook interface {
		Rcpt(transaction *Transaction, recipient Mailbox) (*HookDecision, error)
	}
)

// The one plugin of this program.
var registered plugin

type plugin struct {
	info      Info
	construct func(config string) (any, error)
	policy    any // nil until configured
}

// Register says what this program is: its description, a configuration with the defaults, and the function that makes the
// policy of a configuration. Call it once, in func init. The policy has one or more of the methods of [Decider],
// [ConnectHook], [HeloHook], [MailHook], [RcptHook].
//
// The configuration is read by encoding/json into a copy of defaults; keys that C does not have are refused. When
// info.Schema is empty, the schema is derived from C: a field is required unless its json tag says omitempty or omitzero;
// a tag doc:"…" describes it, min:"1" and max:"9" bound a number, the length of a text or of a list, enum:"a,b" lists what a
// text may be; what defaults has is shown as default.
func Register[C, P any](info Info, defaults C, construct func(config C) (P, error)) {
	if registered.construct != nil {
		panic("policy.Register was called twice")
	}
	if info.Schema == "" {
		info.Schema = schemaOf(defaults)
	}
	registered = plugin{info: info, construct: func(text string) (any, error) {
		config, err := decode(text, defaults)
		if err != nil {
			return nil, err
		}
		return construct(config)
	}}
}

// configure makes the policy and says what is wrong with the configuration. exported names the methods that the host is
// going to call.
func configure(text string, exported []string) (problems Problems) {
	defer func() {
		if reason := recover(); reason != nil {
			problems = Problems{{"", panicDetail(reason)}}
		}
	}()
	switch {
	case registered.construct == nil:
		return Problems{{"", "the plugin does not call policy.Register in func init"}}
	case registered.policy != nil:
		return Problems{{"", "the plugin is configured already"}}
	}
	policy, err := registered.construct(text)
	if err != nil {
		if errors.As(err, &problems) {
			return problems
		}
		return Problems{{"", err.Error()}}
	}
	for _, method := range exported {
		if !has(policy, method) {
			problems.Add("", fmt.Sprintf("the world in wit/world.wit exports what needs a method %s, which %T does not have", method, policy))
		}
	}
	if len(problems) == 0 {
		registered.policy = policy
		// What configuring left behind goes now, once, rather than in the middle of each message, which all start from here.
		runtime.GC()
	}
	return problems
}

func has(policy any, method string) (found bool) {
	switch method {
	case "Decide":
		_, found = policy.(Decider)
	case "Connect":
		_, found = policy.(ConnectHook)
	case "Helo":
		_, found = policy.(HeloHook)
	case "Mail":
		_, found = policy.(MailHook)
	case "Rcpt":
		_, found = policy.(RcptHook)
	}
	return found
}

var errNotConfigured = errors.New("the plugin was not configured, or does not have the method that was called")

// ask calls the policy as an H and makes of its decision what the host gets. A panic becomes a failure: otherwise the log would
// say no more than "trap".
func ask[H, D, L any](call func(policy H) (D, error), lower func(decision D) L) (lowered L, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &Failure{Internal, panicDetail(reason)}
		}
	}()
	policy, able := registered.policy.(H)
	if !able {
		return lowered, errNotConfigured
	}
	decision, err := call(policy)
	if err != nil {
		return lowered, err
	}
	return lower(decision), nil
}
