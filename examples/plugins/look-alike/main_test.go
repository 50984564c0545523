package main

import (
	"reflect"
	"testing"

	"github.com/wasmilter/wasmilter/plugins/sdk/go/policy"
	"github.com/wasmilter/wasmilter/plugins/sdk/go/policytest"
)

func TestDomainsThatLookLikeOurs(t *testing.T) {
	plugin, err := New(Config{Own: []string{"Example.org", "abc.de"}, Partners: []string{"widgets.co.uk"}, Allowed: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for domain, wanted := range map[string]finding{
		"example.org":             {},
		"mail.example.org":        {},
		"example.com":             {},
		"other.org":               {},
		"sample.org":              {}, // two letters of seven
		"bcd.de":                  {}, // short names are near to everything
		"abc.com":                 {},
		"exarnple.org":            {imitated: "example.org", kind: "homoglyph", similarity: 1},
		"examp1e.org":             {imitated: "example.org", kind: "homoglyph", similarity: 1},
		"exämple.org":             {imitated: "example.org", kind: "homoglyph", similarity: 1},
		"xn--xample-2of.org":      {imitated: "example.org", kind: "homoglyph", similarity: 1}, // Cyrillic е
		"mail.xn--xample-2of.org": {imitated: "example.org", kind: "homoglyph", similarity: 1},
		"exmaple.org":             {imitated: "example.org", kind: "typo", similarity: 0.86},
		"mail.exmaple.org":        {imitated: "example.org", kind: "typo", similarity: 0.86},
		"wldgets.co.uk":           {imitated: "widgets.co.uk", kind: "homoglyph", similarity: 1},
		"widgetss.co.uk":          {imitated: "widgets.co.uk", kind: "typo", similarity: 0.86},
		"example.net":             {imitated: "example.org", kind: "ending", similarity: newEnding},
		"example-login.net":       {imitated: "example.org", kind: "word", similarity: withWord},
		"secureexample.net":       {imitated: "example.org", kind: "word", similarity: withWord},
		"example.org.evil.test":   {imitated: "example.org", kind: "prefix", similarity: inFront},
		"exаmple.org.login.test":  {imitated: "example.org", kind: "prefix", similarity: inFront}, // Cyrillic а
		// The price of finding example-login: names that are words occur in others. That is what allowed is for.
		"an-example-of-nothing.it": {imitated: "example.org", kind: "word", similarity: withWord},
	} {
		if wanted.kind != "" {
			wanted.domain = domain
		}
		if found := plugin.look(domain); found != wanted {
			t.Errorf("%s is %+v, not %+v", domain, found, wanted)
		}
	}
}

func TestLongNamesMayDifferByTwoLetters(t *testing.T) {
	plugin, err := New(Config{Own: []string{"wonderland.test"}})
	if err != nil {
		t.Fatal(err)
	}
	if found := plugin.look("wondrelnad.test"); found.kind != "typo" || found.similarity != 0.8 {
		t.Errorf("two swaps are %+v", found)
	}
	if found := plugin.look("wndrlnd.test"); found != (finding{}) {
		t.Errorf("three letters less are %+v", found)
	}
}

// The samples are from RFC 3492 §7.1 and from domains that exist.
func TestPunycodeIsDecoded(t *testing.T) {
	for encoded, wanted := range map[string]string{
		"xn--bcher-kva.example":              "bücher.example",
		"xn--egbpdaj6bu4bxfgehfvwxn":         "ليهمابتكلموشعربي؟",
		"xn--ihqwcrb4cv8a8dqg056pqjye":       "他们为什么不说中文",
		"xn--proprostnemluvesky-uyb24dma41a": "pročprostěnemluvíčesky",
		"xn--3b-ww4c5e180e575a65lsy2b":       "3年b組金八先生",
		"xn--80ak6aa92e.com":                 "аррӏе.com",
		"xn--99999999":                       "xn--99999999",
		"xn--a-":                             "a",
		"plain.example":                      "plain.example",
		"xn--bcher-kv\x00.x":                 "xn--bcher-kv\x00.x",
	} {
		if decoded := toUnicode(encoded); decoded != wanted {
			t.Errorf("%s is %q", encoded, decoded)
		}
	}
}

func FuzzPunycode(f *testing.F) {
	f.Add("bcher-kva")
	f.Fuzz(func(t *testing.T, label string) {
		if decoded, valid := decodePunycode(label); valid && len([]rune(decoded)) > longestLabel {
			t.Errorf("%q became longer: %q", label, decoded)
		}
	})
}

func TestAMessageIsMarkedAndHeld(t *testing.T) {
	plugin, err := New(Config{
		Own: []string{"example.org"}, Header: "X-Look-Alike", Banner: "{domain} is not {imitated} & <nobody>", Quarantine: 0.9,
	})
	if err != nil {
		t.Fatal(err)
	}
	message := policytest.Parse("From: a@other.test\nReply-To: b@еxample.org\nX-Look-Alike: none\n\nhello\n")
	decision, err := plugin.Decide(message.Policy())
	if err != nil {
		t.Fatal(err)
	}
	if decision.Verdict != policy.VerdictQuarantine || decision.Reason != "the sender's domain looks like example.org" {
		t.Errorf("the verdict is %s: %s", decision.Verdict, decision.Reason)
	}
	wanted := []policy.Edit{
		policy.RemoveHeader{Name: "X-Look-Alike"},
		policy.AddHeader{Name: "X-Look-Alike", Value: "example.org; kind=homoglyph; similarity=1.00"},
		policy.PrependText{
			Plain: "[U+0435]xample.org is not example.org & <nobody>\n\n",
			HTML:  "<p><strong>[U+0435]xample.org is not example.org &amp; &lt;nobody&gt;</strong></p>",
		},
	}
	if !reflect.DeepEqual(decision.Edits, wanted) {
		t.Errorf("the edits are %q", decision.Lines())
	}
}

func TestDomainsOfTheConfigurationAreChecked(t *testing.T) {
	_, err := New(Config{Own: []string{"example"}, Partners: []string{"bücher.example"}, Header: "X: y"})
	wanted := `/own/0: must be a domain such as example.org, international ones as xn--…, is "example"; ` +
		`/partners/0: must be a domain such as example.org, international ones as xn--…, is "bücher.example"; ` +
		`/header: must be the name of a header field, is "X: y"`
	if err == nil || err.Error() != wanted {
		t.Errorf("the problems are %v", err)
	}
}
