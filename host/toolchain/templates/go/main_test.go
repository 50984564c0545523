package main

import (
	"testing"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
	"github.com/wasmilter/wasmilter/plugins/sdk/go/policytest"
)

// The code runs natively, too: `go test`. The cases in cases/ run in the host: `wasmilter plugin test`.
func TestCaseDoesNotMatter(t *testing.T) {
	filter, err := New(Config{Phrases: []string{"won the Lottery"}})
	if err != nil {
		t.Fatal(err)
	}
	message := policytest.Parse("Subject: You have WON the lottery!\n\nSend money.\n")
	decision, err := filter.Decide(message.Policy())
	if err != nil {
		t.Fatal(err)
	}
	if decision.Verdict != policy.VerdictReject {
		t.Errorf("the verdict is %s", decision.Verdict)
	}
}

func TestEmptyPhrasesAreRefused(t *testing.T) {
	if _, err := New(Config{Phrases: []string{" "}}); err == nil {
		t.Error("an empty phrase was accepted: every mail would be rejected")
	}
}
