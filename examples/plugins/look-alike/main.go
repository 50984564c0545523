// Look-alike warns of sender domains that look like one of ours or of a partner's. README.md tells how to use it.
package main

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
)

// Config is what [stage.config] may say.
type Config struct {
	Own        []string `json:"own" min:"1" doc:"our domains; their subdomains are ours, too"`
	Partners   []string `json:"partners,omitempty" doc:"domains of partners, protected in the same way"`
	Allowed    []string `json:"allowed,omitempty" doc:"domains that look alike and are known to be good, with their subdomains"`
	Header     string   `json:"header,omitempty" doc:"field to add to a message that was found; empty: none"`
	Banner     string   `json:"banner,omitempty" doc:"text to put before such a message, with {domain} and {imitated}; needs the grant text; empty: none"`
	Quarantine float64  `json:"quarantine,omitempty" min:"0" max:"1" doc:"similarity from which a message is held; 0: never"`
}

func init() {
	policy.Register(policy.Info{
		Name:    "look-alike",
		Version: "1.0.0",
		Summary: "Warns of sender domains that look like one of ours or of a partner's",
		Licence: "Apache-2.0",
		Grants:  []string{"headers", "text"},
	}, Config{Header: "X-Look-Alike"}, New)
}

// The host never calls it; the compiler asks for it.
func main() {}

// LookAlike is the policy.
type LookAlike struct {
	Config
	protected []protected
	known     []string // own, partners' and allowed domains
}

// New prepares what every message is compared with.
func New(config Config) (*LookAlike, error) {
	var problems policy.Problems
	if len(config.Own) == 0 {
		problems.Add("/own", "must have at least one domain")
	}
	plugin := &LookAlike{Config: config}
	for _, list := range []struct {
		key     string
		domains []string
		protect bool
	}{{"own", config.Own, true}, {"partners", config.Partners, true}, {"allowed", config.Allowed, false}} {
		for at, domain := range list.domains {
			if !isDomain(domain) {
				problems.Add(fmt.Sprintf("/%s/%d", list.key, at),
					fmt.Sprintf("must be a domain such as example.org, international ones as xn--…, is %q", domain))
				continue
			}
			domain = strings.ToLower(domain)
			plugin.known = append(plugin.known, domain)
			if list.protect {
				plugin.protected = append(plugin.protected, protect(domain))
			}
		}
	}
	if strings.ContainsFunc(config.Header, func(letter rune) bool { return letter <= ' ' || letter == ':' || letter > '~' }) {
		problems.Add("/header", fmt.Sprintf("must be the name of a header field, is %q", config.Header))
	}
	return plugin, problems.Err()
}

func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	return len(labels) > 1 && !slices.Contains(labels, "") && !strings.ContainsFunc(domain, func(letter rune) bool {
		return !('a' <= letter && letter <= 'z' || 'A' <= letter && letter <= 'Z' || '0' <= letter && letter <= '9' || letter == '-' || letter == '.')
	})
}

// Decide looks at the domains that people see and answer to, and takes the one that looks most alike.
func (plugin *LookAlike) Decide(message *policy.Message) (*policy.Decision, error) {
	var worst finding
	for _, field := range []string{"From", "Sender", "Reply-To"} {
		for _, address := range message.Addresses(field) {
			if found := plugin.look(domainOf(address.Address)); found.similarity > worst.similarity {
				worst = found
			}
		}
	}
	return plugin.decide(worst, message.HeaderCount), nil
}

func (plugin *LookAlike) decide(found finding, count func(field string) int) *policy.Decision {
	if found.similarity == 0 {
		return plugin.withoutForgeries(policy.Next(), count).Flag("found", false)
	}
	decision := policy.Next()
	if plugin.Quarantine > 0 && found.similarity >= plugin.Quarantine {
		decision = policy.Quarantine(shorten("the sender's domain looks like "+found.imitated, 100))
	}
	plugin.withoutForgeries(decision, count)
	if plugin.Header != "" {
		decision.AddHeader(plugin.Header, fmt.Sprintf("%s; kind=%s; similarity=%.2f", found.imitated, found.kind, found.similarity))
	}
	if plugin.Banner != "" {
		banner := strings.NewReplacer("{domain}", visible(found.domain), "{imitated}", found.imitated).Replace(plugin.Banner)
		decision.PrependText(banner+"\n\n", "<p><strong>"+html.EscapeString(banner)+"</strong></p>")
	}
	return decision.Flag("found", true).
		Text("domain", found.domain).Text("imitated", found.imitated).
		Text("kind", found.kind).Number("similarity", found.similarity)
}

// withoutForgeries removes our field where the sender wrote it.
func (plugin *LookAlike) withoutForgeries(decision *policy.Decision, count func(field string) int) *policy.Decision {
	if plugin.Header != "" && count(plugin.Header) > 0 {
		decision.RemoveHeader(plugin.Header)
	}
	return decision
}

func domainOf(address string) string {
	return strings.ToLower(strings.TrimSuffix(address[strings.LastIndexByte(address, '@')+1:], "."))
}

// visible writes a domain so that it can be told from what it imitates: letters beyond ASCII by number.
func visible(domain string) string {
	var shown strings.Builder
	for _, letter := range domain {
		if letter > '~' {
			fmt.Fprintf(&shown, "[U+%04X]", letter)
		} else {
			shown.WriteRune(letter)
		}
	}
	return shown.String()
}

func shorten(text string, length int) string {
	if len(text) > length {
		return text[:length-3] + "..."
	}
	return text
}
