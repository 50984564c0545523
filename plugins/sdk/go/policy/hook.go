package policy

// HookDecision is what an envelope hook answers: begin with [HookNext], [HookReject] or [HookTempfail].
type HookDecision struct {
	// Verdict: VerdictNext, VerdictReject or VerdictTempfail. At connect and HELO it is for the whole session, at MAIL for the
	// transaction, at RCPT for the recipient.
	Verdict Verdict
	Reply   Reply
	// Facts are kept for the rest of the transaction (connect, HELO: of the session).
	Facts []Fact
}

// HookNext goes on.
func HookNext() *HookDecision { return &HookDecision{} }

// HookReject refuses for good, with the default codes unless the reply has some.
func HookReject(reply Reply) *HookDecision {
	return &HookDecision{Verdict: VerdictReject, Reply: reply}
}

// HookTempfail refuses for now, likewise.
func HookTempfail(reply Reply) *HookDecision {
	return &HookDecision{Verdict: VerdictTempfail, Reply: reply}
}

// Flag publishes a fact that is true or false.
func (decision *HookDecision) Flag(name string, value bool) *HookDecision {
	return decision.fact(name, value)
}

// Number publishes a number as a fact.
func (decision *HookDecision) Number(name string, value float64) *HookDecision {
	return decision.fact(name, value)
}

// Text publishes a text as a fact.
func (decision *HookDecision) Text(name, value string) *HookDecision {
	return decision.fact(name, value)
}

// Texts publishes a list of texts as a fact.
func (decision *HookDecision) Texts(name string, values []string) *HookDecision {
	return decision.fact(name, values)
}

func (decision *HookDecision) fact(name string, value any) *HookDecision {
	decision.Facts = append(decision.Facts, Fact{name, value})
	return decision
}

// Get gives the value of a fact of this decision, nil when it has none of that name; for tests.
func (decision *HookDecision) Get(fact string) any { return get(decision.Facts, fact) }
