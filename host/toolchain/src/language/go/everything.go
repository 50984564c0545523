// A policy that uses all of the contract and of package policy: for the test that it builds. It makes no sense.
package main

import (
	"fmt"
	"io"
	"time"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
)

type config struct {
	List policy.File      `json:"list,omitzero"`
	Keys policy.Directory `json:"keys,omitzero"`
}

type everything struct{ config }

func init() {
	policy.Register(policy.Info{Name: "everything", Version: "0.1.0", Summary: "Uses everything"}, config{},
		func(config config) (*everything, error) { return &everything{config}, nil })
}

func main() {}

func (*everything) Connect(transaction *policy.Transaction) (*policy.HookDecision, error) {
	return policy.HookNext().Text("address", transaction.Client().Address), nil
}

func (*everything) Helo(transaction *policy.Transaction) (*policy.HookDecision, error) {
	return policy.HookReject(policy.Reply{Code: 550, Text: transaction.Client().Helo}), nil
}

func (*everything) Mail(transaction *policy.Transaction) (*policy.HookDecision, error) {
	return nil, fmt.Errorf("asking for %s: %w", transaction.Sender().Domain, policy.ErrTimedOut)
}

func (*everything) Rcpt(_ *policy.Transaction, recipient policy.Mailbox) (*policy.HookDecision, error) {
	return policy.HookTempfail(policy.Reply{Text: recipient.Domain}).Texts("arguments", recipient.Arguments), nil
}

func (*everything) Decide(message *policy.Message) (*policy.Decision, error) {
	decision := policy.Next()
	say := func(values ...any) { decision.Text("said", fmt.Sprint(values...)) }
	say(message.Client(), message.Connected(), message.Sender(), message.Recipients(), message.QueueID())
	say(message.Headers(), message.HeaderCount("To"), message.Header("To"), message.Subject(), message.Addresses("From"))
	say(message.Fact("spam.score"), message.Now(), message.Random(8))
	message.Log().With("a", 1).Warn("hello", "b", "c d")
	for _, part := range message.Parts() {
		content, err := io.ReadAll(part.Open())
		say(part.Headers(), part.Size(), part.Text(10), content, err)
		content, err = io.ReadAll(part.Entity())
		say(content, err)
	}
	raw, err := io.ReadAll(message.Raw())
	say(raw, message.RawSize(), err)

	stream, err := message.Dial("echo")
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	fmt.Fprint(stream, "hello")
	say(stream.CloseWrite())
	answer, err := io.ReadAll(stream)
	say(answer, err)

	for _, look := range []func(string) ([]string, error){message.LookupHost, message.LookupTXT, message.LookupAddr} {
		found, err := look("example.org")
		say(found, err)
	}
	hosts, err := message.LookupMX("example.org")
	say(hosts, err)

	store := message.Store()
	value, found, err := store.Get("key")
	say(value, found, err, store.Set("key", value, time.Hour), store.Remove("key"))
	sum, err := store.Add("key", 1, time.Minute)
	say(sum, err)

	blob := message.NewBlob()
	say(io.WriteString(blob, "hello"))
	blob.AppendEntity(0)
	part := policy.NewPart{MediaType: "text/plain", FileName: "f", Disposition: "inline", ContentID: "id", Content: blob.Content()}
	return decision.Flag("flag", true).Number("number", 7.5).Texts("texts", []string{"a"}).
		AddHeader("A", "1").InsertHeader("B", "2").ReplaceHeader("C", 3, "x").RemoveHeader("D").SetSubject("ü").
		ReplacePart(1, part).RemovePart(2).AddPart(policy.NewPart{MediaType: "text/html", Content: policy.Text("<p>")}).
		AppendText("plain", "html").PrependText("plain", "").
		ReplaceContent([]policy.NewHeader{{Name: "MIME-Version", Value: "1.0"}}, policy.Bytes(raw)).
		SetSender("").AddRecipient("a@example.org", "NOTIFY=NEVER").RemoveRecipient("b@example.org").
		SetClient(policy.NewClient{Address: "192.0.2.9", Port: 25, Hostname: "h", Helo: "e"}), nil
}
