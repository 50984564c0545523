// Look-alike warns of sender domains that look like one of ours. README.md tells how to build and configure it.
package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const schema = `{"type": "object", "additionalProperties": false, "required": ["domains"], "properties": {
	"domains": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "domains to protect"},
	"prefix": {"type": "string", "description": "put before the subject; empty: leave the subject alone"}}}`

type config struct {
	Domains []string `json:"domains"`
	Prefix  *string  `json:"prefix"`
}

// Filled by configure.
var (
	domains []string
	prefix  = "[look-alike sender] "
)

// Never called: the host calls the exports in contract.go. The compiler asks for it.
func main() {}

func describe() pluginInfo {
	return pluginInfo{
		name:         "look-alike",
		version:      "0.1.0",
		summary:      "Warns of sender domains that look like one of ours.",
		configSchema: schema,
	}
}

func configure(text string) (problems []problem) {
	var given config
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return []problem{{"", strings.TrimPrefix(err.Error(), "json: ")}}
	}
	if len(given.Domains) == 0 {
		problems = append(problems, problem{"/domains", "must have at least one domain"})
	}
	for at, domain := range given.Domains {
		if !strings.Contains(domain, ".") {
			problems = append(problems, problem{fmt.Sprintf("/domains/%d", at), "must be a domain such as example.org, is " + domain})
		}
		domains = append(domains, strings.ToLower(domain))
	}
	if given.Prefix != nil {
		prefix = *given.Prefix
	}
	return problems
}

func decide() decision {
	for _, address := range headerAddresses("From") {
		sender := strings.ToLower(address[strings.LastIndex(address, "@")+1:])
		if ours, found := imitated(sender); found {
			return warn(ours)
		}
	}
	return decision{facts: []fact{{"found", false}}}
}

func warn(ours string) decision {
	warning := decision{facts: []fact{{"found", true}, {"imitated", ours}}}
	if prefix != "" {
		subject := prefix + strings.Join(headerText("Subject"), " ")
		warning.subject = &subject
	}
	return warning
}

// imitated tells which of our domains a foreign domain could be taken for.
func imitated(sender string) (string, bool) {
	if slices.ContainsFunc(domains, func(ours string) bool {
		return sender == ours || strings.HasSuffix(sender, "."+ours)
	}) {
		return "", false
	}
	for _, ours := range domains {
		if skeleton(sender) == skeleton(ours) || strings.HasPrefix(sender, ours+".") || distance(sender, ours) == 1 {
			return ours, true
		}
	}
	return "", false
}

// Letters and what they are mistaken for: ASCII, the most common Cyrillic and Greek ones.
var confusable = strings.NewReplacer("rn", "m", "vv", "w", "cl", "d", "0", "o", "1", "l", "i", "l", "5", "s", "а", "a",
	"е", "e", "о", "o", "р", "p", "с", "c", "х", "x", "у", "y", "і", "l", "ο", "o", "α", "a", "ν", "v", "-", "")

func skeleton(domain string) string { return confusable.Replace(domain) }

// distance counts letters to add, remove or change, and neighbours to swap, on the way from one word to the other.
func distance(from, to string) int {
	a, b := []rune(from), []rune(to)
	var before []int
	above := make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
