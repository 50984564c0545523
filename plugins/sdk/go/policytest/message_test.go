package policytest_test

import (
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
	"github.com/wasmilter/wasmilter/plugins/sdk/go/policytest"
)

const mixed = `From: "B. O'B" <bob@example.net>
To: Team: a@example.org, b@example.org;
Subject: =?utf-8?q?Geh=C3=A4lter?=
 and more
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe
--x
Content-Type: image/png; name=a.png
Content-Transfer-Encoding: base64

aGVsbG8=
--x
Content-Type: message/rfc822

Subject: inner

text
--x--
`

func TestAMessageIsReadAsAPolicyReadsIt(t *testing.T) {
	message := policytest.Parse(mixed).Policy()
	if subject := message.Subject(); subject != "Gehälter and more" {
		t.Errorf("the subject is %q", subject)
	}
	if from := message.Addresses("from"); !reflect.DeepEqual(from, []policy.Address{{Name: "B. O'B", Address: "bob@example.net"}}) {
		t.Errorf("the sender is %v", from)
	}
	if to := message.Addresses("To"); len(to) != 2 {
		t.Errorf("the group is %v", to)
	}
	parts := message.Parts()
	type shape struct {
		parent    int
		kind      policy.PartKind
		role      policy.PartRole
		mediaType string
	}
	var shapes []shape
	for _, part := range parts {
		shapes = append(shapes, shape{part.Parent, part.Kind, part.Role, part.MediaType})
	}
	if !reflect.DeepEqual(shapes, []shape{
		{0, policy.Multipart, policy.Container, "multipart/mixed"},
		{0, policy.Leaf, policy.Body, "text/plain"},
		{0, policy.Leaf, policy.Attachment, "image/png"},
		{0, policy.Enclosed, policy.Attachment, "message/rfc822"},
		{3, policy.Leaf, policy.Attachment, "text/plain"},
	}) {
		t.Fatalf("the parts are %+v", shapes)
	}
	if text := parts[1].Text(100); text != "Grüße" {
		t.Errorf("the text is %q", text)
	}
	if text := parts[1].Text(3); text != "Gr" {
		t.Errorf("the beginning of the text is %q", text)
	}
	if content, err := io.ReadAll(parts[2].Open()); err != nil || string(content) != "hello" {
		t.Errorf("the picture is %q, %v", content, err)
	}
	if raw, err := io.ReadAll(message.Raw()); err != nil || len(raw) != message.RawSize() {
		t.Errorf("%d of %d bytes, %v", len(raw), message.RawSize(), err)
	}
}

func TestServicesDNSAndStoreAnswerAsTheTestWants(t *testing.T) {
	double := policytest.Parse("Subject: x\n\n")
	double.Services = map[string]policytest.Service{
		"echo": {Answer: func(sent []byte) []byte { return append([]byte("you said "), sent...) }},
		"down": {OpenError: policy.ErrUnreachable},
	}
	double.Hosts = map[string][]string{"example.org": {"192.0.2.7"}}
	message := double.Policy()

	stream, err := message.Dial("echo")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := stream.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(stream); err != nil || string(answer) != "you said hello" {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	if _, err := message.Dial("down"); !errors.Is(err, policy.ErrUnreachable) {
		t.Errorf("the service that is down gives %v", err)
	}
	if _, err := message.Dial("other"); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("the service that is not there gives %v", err)
	}
	if hosts, err := message.LookupHost("example.org"); err != nil || len(hosts) != 1 {
		t.Errorf("the addresses are %v, %v", hosts, err)
	}
	for wanted := 2; wanted < 6; wanted += 2 {
		if sum, err := message.Store().Add("key", 2, time.Hour); err != nil || sum != wanted {
			t.Errorf("the counter is %d, %v", sum, err)
		}
	}
	if _, found, err := message.Store().Get("key"); found || err != nil {
		t.Errorf("a counter is no value: %v, %v", found, err)
	}
}

func TestLogLinesCarryTheirAttributes(t *testing.T) {
	double := policytest.Parse("Subject: x\n\n")
	log := double.Policy().Log().With("stage", 1).WithGroup("list")
	log.Warn("no answer", "host", "a b", "tries", 3)
	log.Debug("done")
	wanted := []string{`WARN no answer stage=1 list.host="a b" list.tries=3`, "DEBUG done stage=1"}
	if !reflect.DeepEqual(double.Logged, wanted) {
		t.Errorf("the log is %q", double.Logged)
	}
}

func TestBlobsAndEditsAreSeen(t *testing.T) {
	double := policytest.Parse("Content-Type: text/plain\nSubject: x\n\nhello\n")
	message := double.Policy()
	blob := message.NewBlob()
	if _, err := io.WriteString(blob, "before "); err != nil {
		t.Fatal(err)
	}
	blob.AppendEntity(0)
	decision := policy.Quarantine("look").
		ReplacePart(0, policy.NewPart{MediaType: "text/plain", FileName: "a", Content: blob.Content()}).
		RemoveHeader("X-A").ReplaceHeader("X-B", 2, "v").AppendText("", "<p>x</p>").
		Flag("seen", true).Number("score", 7.5)
	if wanted := "before Content-Type: text/plain\r\n\r\nhello\r\n"; string(double.Blobs[0]) != wanted {
		t.Errorf("the blob is %q", double.Blobs[0])
	}
	wanted := []string{`replace-part 0 by text/plain "a"`, "remove-header X-A", "replace-header X-B#2: v", "append-text <p>x</p>"}
	if !reflect.DeepEqual(decision.Lines(), wanted) {
		t.Errorf("the edits are %q", decision.Lines())
	}
	if decision.Get("score") != 7.5 || decision.Get("other") != nil {
		t.Errorf("the facts are %v", decision.Facts)
	}
}
