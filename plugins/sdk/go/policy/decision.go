package policy

import (
	"fmt"
	"slices"
)

// Verdict is what should happen to the message.
type Verdict uint8

const (
	// VerdictNext goes on with the next stage; after the last one: deliver.
	VerdictNext Verdict = iota
	// VerdictAccept delivers; later stages do not run.
	VerdictAccept
	// VerdictReject refuses for good (5xx).
	VerdictReject
	// VerdictTempfail refuses for now (4xx).
	VerdictTempfail
	// VerdictDiscard answers 250 and delivers to nobody.
	VerdictDiscard
	// VerdictQuarantine holds the message back for the administrator.
	VerdictQuarantine
)

func (verdict Verdict) String() string {
	names := []string{"next", "accept", "reject", "tempfail", "discard", "quarantine"}
	if int(verdict) < len(names) {
		return names[verdict]
	}
	return fmt.Sprintf("verdict %d", uint8(verdict))
}

// Reply is what the SMTP client is told.
type Reply struct {
	// Code 500–599 for a rejection, 400–499 for a temporary failure; 0: the host's default (550, 451).
	Code int
	// Enhanced status code (RFC 3463) such as "5.7.1"; empty: default.
	Enhanced string
	// Text, lines separated by LF; empty: default.
	Text string
}

// Fact is a named value that a stage publishes for later stages, conditions, logs and the explanation.
type Fact struct {
	// Name in lower case letters, digits and _; the host puts the stage's name in front.
	Name string
	// Value: a bool, a float64, a string or a []string.
	Value any
}

// Decision is all that a policy has to say about a message. Begin with [Next] or another verdict and add to it; every method
// gives the decision itself, so that calls can be chained:
//
//	policy.Next().AddHeader("X-Spam", "yes").Number("score", 7.3)
//
// The host checks all edits before it applies the first; a single bad one refuses the decision as a whole.
type Decision struct {
	Verdict Verdict
	// Reply, with VerdictReject and VerdictTempfail.
	Reply Reply
	// Reason, with VerdictQuarantine: at most 100 characters for the administrator.
	Reason string
	Edits  []Edit
	Facts  []Fact
}

// Next goes on with the next stage; after the last one: deliver.
func Next() *Decision { return &Decision{} }

// Accept delivers; later stages do not run.
func Accept() *Decision { return &Decision{Verdict: VerdictAccept} }

// Reject refuses for good, with the default codes.
func Reject(text string) *Decision { return RejectWith(Reply{Text: text}) }

// RejectWith refuses for good.
func RejectWith(reply Reply) *Decision { return &Decision{Verdict: VerdictReject, Reply: reply} }

// Tempfail refuses for now, with the default codes; the client tries again later.
func Tempfail(text string) *Decision { return TempfailWith(Reply{Text: text}) }

// TempfailWith refuses for now.
func TempfailWith(reply Reply) *Decision { return &Decision{Verdict: VerdictTempfail, Reply: reply} }

// Discard answers 250 and delivers to nobody.
func Discard() *Decision { return &Decision{Verdict: VerdictDiscard} }

// Quarantine holds the message back, with a reason of at most 100 characters for the administrator.
func Quarantine(reason string) *Decision {
	return &Decision{Verdict: VerdictQuarantine, Reason: reason}
}

// Flag publishes a fact that is true or false.
func (decision *Decision) Flag(name string, value bool) *Decision { return decision.fact(name, value) }

// Number publishes a number as a fact.
func (decision *Decision) Number(name string, value float64) *Decision {
	return decision.fact(name, value)
}

// Text publishes a text as a fact.
func (decision *Decision) Text(name, value string) *Decision { return decision.fact(name, value) }

// Texts publishes a list of texts as a fact.
func (decision *Decision) Texts(name string, values []string) *Decision {
	return decision.fact(name, slices.Clone(values))
}

func (decision *Decision) fact(name string, value any) *Decision {
	decision.Facts = append(decision.Facts, Fact{name, value})
	return decision
}

// Edit adds any edit.
func (decision *Decision) Edit(edit Edit) *Decision {
	decision.Edits = append(decision.Edits, edit)
	return decision
}

// AddHeader adds a field below all others. See [NewHeader]. Grant: headers, as with all header fields.
func (decision *Decision) AddHeader(name, value string) *Decision {
	return decision.Edit(AddHeader{name, value})
}

// InsertHeader inserts a field above all others, the place for trace fields. Of several, the first ends on top.
func (decision *Decision) InsertHeader(name, value string) *Decision {
	return decision.Edit(InsertHeader{name, value})
}

// ReplaceHeader replaces the value of one occurrence, counted from 1 at the top.
func (decision *Decision) ReplaceHeader(name string, occurrence int, value string) *Decision {
	return decision.Edit(ReplaceHeader{name, occurrence, value})
}

// RemoveHeader removes all fields of that name. For a single one, see the edit [RemoveHeader].
func (decision *Decision) RemoveHeader(name string) *Decision {
	return decision.Edit(RemoveHeader{Name: name})
}

// SetSubject sets the subject, as people read it; the host encodes it.
func (decision *Decision) SetSubject(text string) *Decision { return decision.Edit(SetSubject{text}) }

// ReplacePart replaces a part and everything below it. Grants: text for role Body, attachments for all others.
func (decision *Decision) ReplacePart(part int, by NewPart) *Decision {
	return decision.Edit(ReplacePart{part, by})
}

// RemovePart removes a part and everything below it. Grants as for ReplacePart.
func (decision *Decision) RemovePart(part int) *Decision { return decision.Edit(RemovePart{part}) }

// AddPart adds a part at the end. Grant: attachments.
func (decision *Decision) AddPart(part NewPart) *Decision { return decision.Edit(AddPart{part}) }

// AppendText puts text after what people read: plain into the readable text/plain parts, html (a fragment) into the
// readable text/html parts; empty leaves that kind alone. Grant: text.
func (decision *Decision) AppendText(plain, html string) *Decision {
	return decision.Edit(AppendText{plain, html})
}

// PrependText puts text before what people read, in the same way. Grant: text.
func (decision *Decision) PrependText(plain, html string) *Decision {
	return decision.Edit(PrependText{plain, html})
}

// ReplaceContent replaces the whole content: MIME header fields and the body as it goes out, encoded, with lines ended by
// CRLF. Goes with no other edit of the content. Grant: raw.
func (decision *Decision) ReplaceContent(headers []NewHeader, body Content) *Decision {
	return decision.Edit(ReplaceContent{headers, body})
}

// SetSender changes the envelope sender; empty for the null sender. Grant: recipients, as with the next two.
func (decision *Decision) SetSender(address string, arguments ...string) *Decision {
	return decision.Edit(SetSender{address, arguments})
}

// AddRecipient adds a recipient to the envelope.
func (decision *Decision) AddRecipient(address string, arguments ...string) *Decision {
	return decision.Edit(AddRecipient{address, arguments})
}

// RemoveRecipient removes a recipient, named as in [Transaction.Recipients]. The last one can not be removed: discard.
func (decision *Decision) RemoveRecipient(address string) *Decision {
	return decision.Edit(RemoveRecipient{address})
}

// SetClient sets the client for all later stages. Grant: set-client.
func (decision *Decision) SetClient(client NewClient) *Decision {
	return decision.Edit(SetClient{client})
}

// Lines gives the edits as cases write them in expected.toml; for tests.
func (decision *Decision) Lines() []string {
	lines := make([]string, len(decision.Edits))
	for at, edit := range decision.Edits {
		lines[at] = edit.String()
	}
	return lines
}

// Get gives the value of a fact of this decision, nil when it has none of that name; for tests.
func (decision *Decision) Get(fact string) any { return get(decision.Facts, fact) }

func get(facts []Fact, name string) any {
	for _, fact := range facts {
		if fact.Name == name {
			return fact.Value
		}
	}
	return nil
}
