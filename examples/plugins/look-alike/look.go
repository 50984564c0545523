package main

import (
	"math"
	"slices"
	"strings"
)

// protected is a domain that others may imitate.
type protected struct {
	domain   string
	labels   int
	name     string // its first label, which people know it by
	ending   string // the rest
	skeleton string // of the whole
	nameBone string // skeleton of the name
}

func protect(domain string) protected {
	name, ending, _ := strings.Cut(domain, ".")
	return protected{
		domain: domain, labels: strings.Count(domain, ".") + 1, name: name, ending: ending,
		skeleton: skeleton(toUnicode(domain)), nameBone: skeleton(toUnicode(name)),
	}
}

// finding is what a domain looks like. The zero value: like none.
type finding struct {
	domain     string
	imitated   string
	kind       string
	similarity float64 // above 0, at most 1
}

// What the kinds of imitation count.
const (
	alike     = 1.0  // the same to the eye
	inFront   = 0.95 // example.org.evil.test
	withWord  = 0.85 // example-login.org
	newEnding = 0.7  // example.net
)

// Names shorter than this are in too many words to be looked for in longer ones, and too near to others for a typing mistake.
const shortestName = 4

// Names from this length on may differ by two letters.
const longName = 8

// Words that are put before or after a name without a hyphen. With one, any word will do.
var words = []string{
	"account", "accounts", "alert", "billing", "cloud", "corp", "group", "help", "helpdesk", "hr", "info", "invoice", "login", "mail",
	"my", "office", "online", "pay", "payment", "payments", "payroll", "portal", "secure", "security", "service", "services",
	"signin", "sso", "support", "team", "update", "verify", "web",
}

// look finds the protected domain that a sender's domain looks most like.
func (plugin *LookAlike) look(domain string) (worst finding) {
	if domain == "" || slices.ContainsFunc(plugin.known, func(known string) bool {
		return domain == known || strings.HasSuffix(domain, "."+known)
	}) {
		return finding{}
	}
	shown := toUnicode(domain)
	for _, protected := range plugin.protected {
		if kind, similarity := protected.compare(shown); similarity > worst.similarity {
			worst = finding{domain, protected.domain, kind, similarity}
		}
	}
	return worst
}

// compare tells how a domain, as people see it, imitates the protected one.
func (protected protected) compare(domain string) (kind string, similarity float64) {
	if strings.HasPrefix(skeleton(domain), protected.skeleton+".") {
		return "prefix", inFront
	}
	// A subdomain of an imitation is one, too: only as many labels are compared as the protected domain has.
	labels := strings.Split(domain, ".")
	labels = labels[max(0, len(labels)-protected.labels):]
	bone := skeleton(strings.Join(labels, "."))
	if bone == protected.skeleton {
		return "homoglyph", alike
	}
	name, ending, _ := strings.Cut(bone, ".")
	if ending == skeleton(protected.ending) {
		if letters := protected.mistakes(name); letters > 0 {
			return "typo", share(letters, len([]rune(protected.nameBone)))
		}
	}
	if len(protected.name) < shortestName {
		return "", 0
	}
	if name == protected.nameBone {
		return "ending", newEnding
	}
	if protected.hasWord(labels[0]) {
		return "word", withWord
	}
	return "", 0
}

// share of a name that is left when so many letters differ, to two digits.
func share(letters, length int) float64 {
	return math.Round(100*float64(length-letters)/float64(length)) / 100
}

// mistakes counts the letters that differ, when they are few enough for a mistake of the reader; otherwise 0.
func (protected protected) mistakes(name string) int {
	length := len([]rune(protected.nameBone))
	letters := distance(name, protected.nameBone)
	switch {
	case letters == 1 && length >= shortestName, letters == 2 && length >= longName:
		return letters
	default:
		return 0
	}
}

// hasWord tells whether the label is the name with words added.
func (protected protected) hasWord(label string) bool {
	parts := strings.Split(label, "-")
	if len(parts) > 1 && slices.ContainsFunc(parts, func(part string) bool { return skeleton(part) == protected.nameBone }) {
		return true
	}
	for _, word := range words {
		if bone := skeleton(label); bone == protected.nameBone+skeleton(word) || bone == skeleton(word)+protected.nameBone {
			return true
		}
	}
	return false
}

// distance counts letters to add, remove or change, and neighbours to swap, on the way from one word to the other (optimal
// string alignment).
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
