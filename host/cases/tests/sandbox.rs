//! Cases of the tests' guests, in the sandbox.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::{fs, path::Path};
use tempfile::TempDir;
use wasmilter_cases::{Case, Outcome, Report, Runner, Tested, test};
use wasmilter_wasm::{Component, Sandbox, SandboxSettings};

/// A guest and a folder of cases for it.
struct Fixture {
    sandbox: Sandbox,
    component: Component,
    folder: TempDir,
}

impl Fixture {
    fn new(guest: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{guest}.wasm"));
        assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
        let sandbox = Sandbox::new(&SandboxSettings { slots: 2, ..SandboxSettings::default() }).unwrap();
        let component = sandbox.load(&path).unwrap();
        Self { sandbox, component, folder: tempfile::tempdir().unwrap() }
    }

    fn case(&self, name: &str, transaction: &str, expected: &str) {
        let case = self.folder.path().join(name);
        fs::create_dir_all(&case).unwrap();
        fs::write(case.join("message.eml"), "Subject: hello\nFrom: a@example.org\n\nbody\n").unwrap();
        fs::write(case.join("transaction.toml"), transaction).unwrap();
        if !expected.is_empty() {
            fs::write(case.join("expected.toml"), expected).unwrap();
        }
    }

    async fn test(&self, write: bool) -> Vec<Tested> {
        test(&Runner::new(&self.sandbox, &self.component), self.folder.path(), write).await.unwrap()
    }

    /// The one case's report.
    async fn report(&self, transaction: &str, expected: &str) -> Report {
        self.case("only", transaction, expected);
        self.test(false).await.remove(0).report
    }

    /// What differs in the one case.
    async fn difference(&self, transaction: &str, expected: &str) -> String {
        match self.report(transaction, expected).await {
            Report::Failed { difference, .. } => difference.render(false),
            Report::Passed => String::new(),
            other => panic!("{other:?}"),
        }
    }
}

const SAYS_MUCH: &str = r#"
    auth = "alice"
    tls = "TLSv1.3"
    from = "alice@example.org"
    rcpt = ["bob@example.net", "<carol@example.net>"]
    queue_id = "4ABC"

    [config]
    verdict = { quarantine = "strange" }
    edits = [
        { add-header = { name = "X-A", value = "1" } },
        { remove-header = { name = "Subject" } },
        { append-text = { plain = "bye" } },
        { add-part = { media_type = "text/csv", file_name = "a.csv", content = "1" } },
        { set-client = { address = "192.0.2.9" } },
    ]
    facts = { flag = true, number = 1.5, texts = ["a"] }
    report = true
"#;

#[tokio::test]
async fn everything_that_is_said_is_compared() {
    let fixture = Fixture::new("scripted");
    let expected = r#"
        verdict = "quarantine"
        reply = "strange"
        edits = ["add-header X-A: 1", "remove-header Subject", "append-text bye", "add-part text/csv \"a.csv\"", "set-client 192.0.2.9"]
        [facts]
        flag = true
        number = 1.5
        texts = ["a"]
        auth_user = "alice"
        tls_version = "TLSv1.3"
        sender = "alice@example.org"
        recipients = ["bob@example.net", "carol@example.net"]
        queue_id = "4ABC"
    "#;
    assert_eq!(fixture.difference(SAYS_MUCH, expected).await, "");
    let other = "verdict = \"next\"\nedits = [\"remove-header\"]\n[facts]\nflag = false\n";
    let difference = fixture.difference(SAYS_MUCH, other).await;
    assert!(
        difference.starts_with("verdict\n  expected  next\n  got       quarantine (strange)\nedits\n"),
        "{difference}"
    );
    assert!(difference.contains("  got       add-header X-A: 1\n            remove-header Subject\n"), "{difference}");
    assert!(difference.ends_with("facts.flag\n  expected  false\n  got       true\n"), "{difference}");
}

#[tokio::test]
async fn what_is_updated_passes() {
    let fixture = Fixture::new("scripted");
    let comments = "# Why this matters.\n\n# And more.\n";
    fixture.case("much", SAYS_MUCH, &format!("{comments}verdict = \"next\" # gone\n"));
    fixture.case("new", "[config]\nverdict = { reject = { code = 554, text = \"no\" } }\n", "");
    fixture.case("fails", "[config]\nfail = { kind = \"service\", detail = \"no answer\" }\n", "verdict = 1\n");
    fixture.case("passes", "", "verdict  =  \"next\"\n");
    fixture.case("refused", "[config]\nnonsense = 1\n", "");
    let good = |tested: &[Tested]| {
        tested.iter().map(|tested| format!("{}:{}", tested.name, tested.is_good())).collect::<Vec<_>>().join(" ")
    };
    let before = fixture.test(false).await;
    assert_eq!(good(&before), "fails:false much:false new:false passes:true refused:false");
    let updated = fixture.test(true).await;
    assert_eq!(good(&updated), "fails:true much:true new:true passes:true refused:true");
    assert_eq!(updated.iter().filter(|tested| tested.report == Report::Updated).count(), 4);
    assert!(fixture.test(false).await.iter().all(|tested| tested.report == Report::Passed));

    let read = |case: &str| fs::read_to_string(fixture.folder.path().join(case).join("expected.toml")).unwrap();
    assert!(read("much").starts_with(&format!("{comments}verdict = \"quarantine\"\n")), "{}", read("much"));
    assert_eq!(read("new"), "verdict = \"reject\"\ncode = 554\nreply = \"no\"\n");
    assert_eq!(read("fails"), "verdict = \"failure\"\nreply = \"no answer\"\nfailure = \"service\"\n");
    assert_eq!(read("passes"), "verdict  =  \"next\"\n", "left as it was");
    assert!(read("refused").starts_with("problems = ["), "{}", read("refused"));
}

#[tokio::test]
async fn what_was_not_granted_is_refused() {
    let fixture = Fixture::new("scripted");
    let edit = "[config]\nedits = [{ set-sender = { address = \"a@x\" } }]\n";
    let refused = "verdict = \"failure\"\nfailure = \"refused\"\n";
    let grants = |more: &str| format!("grants = [\"envelope\", \"headers\"{more}]\n{edit}");
    assert_eq!(fixture.difference(&grants(""), refused).await, "");
    let granted = "verdict = \"next\"\nedits = [\"set-sender a@x\"]";
    assert_eq!(fixture.difference(&grants(", \"recipients\""), granted).await, "");
    let asker = Fixture::new("asker");
    let difference = asker.difference("grants = [\"dns\"]", "verdict = \"next\"").await;
    assert_eq!(difference, "plugin\n  got       the plugin needs grants that the stage does not have: store\n");
}

#[tokio::test]
async fn hooks_are_asked_one_after_the_other() {
    let fixture = Fixture::new("hooks");
    let transaction = r#"
        client = "198.51.100.7"
        helo = "mx.example.net"
        from = "bad@example.net"
        [config]
        connect = { when = "192.0.2.", verdict = "reject" }
        mail = { when = "bad@", verdict = "reject", code = 554, text = "go away" }
        rcpt = { when = "carol", verdict = "tempfail" }
        [[call]]
        ask = "connect"
        [[call]]
        ask = "connect"
        client = "192.0.2.1"
        [[call]]
        ask = "helo"
        [[call]]
        ask = "mail"
        [[call]]
        ask = "rcpt"
        rcpt = ["bob@x", "carol@x"]
        [[call]]
        ask = "rcpt"
        rcpt = ["carol@x", "bob@x"]
        [[call]]
        rcpt = ["bob@x", "carol@x"]
    "#;
    let expected = r#"
        call = [
            { verdict = "next", facts = { connect = "198.51.100.7" } },
            { verdict = "reject", facts = { connect = "192.0.2.1" } },
            { verdict = "next", facts = { helo = "mx.example.net" } },
            { verdict = "reject", code = 554, reply = "go away" },
            { verdict = "tempfail", facts = { rcpt = "carol@x" } },
            { verdict = "next" },
            { verdict = "next" },
        ]
    "#;
    assert_eq!(fixture.difference(transaction, expected).await, "");
    let scripted = Fixture::new("scripted");
    let difference = scripted.difference("ask = \"connect\"", "verdict = \"next\"").await;
    assert!(difference.ends_with("the case asks for on-connect, which the plugin does not export\n"), "{difference}");
}

#[tokio::test]
async fn the_store_lives_on_between_calls_and_time_passes() {
    let fixture = Fixture::new("asker");
    let transaction = r#"
        config = { ask = ["store", "add", "key", "1", "60"] }
        store.counters = { key = { value = 5, seconds = 10 }, other = 1 }
        store.values = { a = "x", b = { base64 = "/w==", seconds = 200 } }
        call = [{}, { after = 9 }, { after = 1 }, { after = 30, times = 2 }]
    "#;
    let expected = |last: &str| {
        format!(
            r#"
            call = [
                {{ verdict = "next", facts = {{ answer = "Ok(6)" }} }},
                {{ verdict = "next", facts = {{ answer = "Ok(7)" }} }},
                {{ verdict = "next", facts = {{ answer = "Ok(1)" }} }},
                {{ verdict = "next" }},
            ]
            store.counters = {{ other = 1{last} }}
            store.values = {{ a = "x", b = {{ base64 = "/w==" }} }}
            "#
        )
    };
    // 30 seconds later it is 2; after 60 the window is over.
    assert_eq!(fixture.difference(transaction, &expected(", key = 1")).await, "");
    let difference = fixture.difference(transaction, &expected("")).await;
    assert_eq!(difference, "store.counters.\"key\"\n  expected  nothing\n  got       1\n");
    let wrong = expected(", key = 1")
        .replace("{ verdict = \"next\" }", "{ verdict = \"next\", facts = { answer = \"Ok(2)\" } }");
    let difference = fixture.difference(transaction, &wrong).await;
    assert_eq!(difference, "call 4: time 2: facts.answer\n  expected  \"Ok(2)\"\n  got       \"Ok(1)\"\n");
    fixture.case("only", transaction, "");
    let Report::Failed { not_updated: Some(reason), .. } = fixture.test(true).await.remove(0).report else {
        panic!("two answers of one call")
    };
    assert!(reason.contains("call 4 has another answer at its time 2"), "{reason}");
}

#[tokio::test]
async fn dns_is_strict() {
    let fixture = Fixture::new("asker");
    let asks = "[config]\nask = [\"dns\", \"addresses\", \"Mail.example.org\"]\n";
    let says = |answer: &str| format!("verdict = \"next\"\n[facts]\nanswer = {answer:?}\n");
    let scripted = format!("{asks}[dns.addresses]\n\"mail.example.org.\" = [\"192.0.2.7\"]\n");
    assert_eq!(fixture.difference(&scripted, &says("Ok([\"192.0.2.7\"])")).await, "");
    let slow = format!("{asks}[dns.addresses]\n\"mail.example.org\" = \"timed-out\"\n");
    let difference = fixture.difference(&slow, &says("")).await;
    assert!(difference.to_lowercase().contains("timedout"), "{difference}");
    assert_eq!(
        fixture.difference(asks, &says("Ok([])")).await,
        "script\n  got       dns.addresses: \"Mail.example.org\" was asked and is not in the script\n"
    );
    let never = format!("{scripted}[dns.texts]\n\"example.org\" = []\n");
    assert_eq!(
        fixture.difference(&never, &says("Ok([\"192.0.2.7\"])")).await,
        "script\n  got       dns.texts: \"example.org\" is in the script and was never asked\n"
    );
}

#[tokio::test]
async fn mistakes_are_not_the_plugins() {
    let fixture = Fixture::new("noop");
    for (transaction, expected, mistake) in [
        ("x = 1", "verdict = \"next\"", "transaction.toml:1:1: unknown field `x`"),
        ("", "verdict = \"nxt\"", "expected.toml:1:11: must be one of next, accept"),
        ("", "edits = []", "expected.toml:1:1: `verdict` is missing"),
        (
            "ask = \"mail\"",
            "verdict = \"accept\"",
            "expected.toml:1:11: must be one of next, reject, tempfail, failure",
        ),
        ("", "verdict = \"failure\"\nfailure = \"traps\"", "expected.toml:2:11: must be one of failed, service, trap"),
        ("", "verdict = \"next\"\nfailure = \"trap\"", "expected.toml:2:11: goes with verdict = \"failure\""),
        ("", "verdict = \"next\"\nproblems = []", "expected.toml:2:12: `problems` stands alone"),
        ("call = [{}, {}]", "verdict = \"next\"", "expected.toml:1:1: the case makes 2 calls"),
        ("", "[[call]]\nverdict = \"next\"\n[[call]]\nverdict = \"next\"", "2 calls, but the case makes 1"),
        ("", "verdict = \"next\"\n[facts]\na = \n", "expected.toml:3:"),
    ] {
        match fixture.report(transaction, expected).await {
            Report::Mistake { mistake: found } => {
                assert!(found.to_string().contains(mistake), "{found}, expected {mistake}")
            }
            other => panic!("{transaction} {expected}: {other:?}"),
        }
    }
    fs::remove_file(fixture.folder.path().join("only/expected.toml")).unwrap();
    let found = serde_json::to_value(fixture.test(false).await).unwrap();
    assert_eq!(found[0]["result"], "mistake");
    assert!(found[0]["mistake"]["message"].as_str().unwrap().contains("can not be read"), "{found}");
}

#[tokio::test]
async fn results_are_for_machines_too() {
    let fixture = Fixture::new("scripted");
    fixture.case("only", "", "verdict = \"reject\"\n");
    let found = serde_json::to_value(fixture.test(false).await).unwrap();
    let expected = serde_json::json!([{
        "name": "only",
        "result": "failed",
        "difference": [{
            "what": "verdict",
            "lines": [{ "mark": "expected", "text": "reject" }, { "mark": "got", "text": "next" }],
        }],
        "outcome": { "said": {
            "calls": [[{ "verdict": "next", "code": 0, "reply": "", "edits": [], "facts": {} }]],
            "store": { "values": {}, "counters": {} },
            "strayed": [],
        } },
    }]);
    assert_eq!(found, expected);
    let case = Case::load(&fixture.folder.path().join("only")).unwrap();
    assert_eq!(case.name(), "only");
    let outcome = Runner::new(&fixture.sandbox, &fixture.component).run(&case).await;
    assert!(matches!(outcome, Outcome::Said { .. }));
}

/// `WASMILTER_CASES=PLUGIN.wasm:CASES cargo test -p wasmilter-cases --test sandbox -- --ignored --nocapture`
#[tokio::test]
#[ignore = "for a plugin of one's own, while there is no command line"]
async fn cases_of_a_plugin() {
    let named = std::env::var("WASMILTER_CASES").unwrap();
    let mut wrong = String::new();
    for pair in named.split(',') {
        let (plugin, cases) = pair.split_once(':').unwrap();
        let sandbox = Sandbox::new(&SandboxSettings { slots: 2, ..SandboxSettings::default() }).unwrap();
        let component = sandbox.load(Path::new(plugin)).unwrap();
        for tested in test(&Runner::new(&sandbox, &component), Path::new(cases), false).await.unwrap() {
            match &tested.report {
                Report::Passed => {}
                Report::Failed { difference, .. } => wrong += &format!("{plugin} {}:\n{difference}\n", tested.name),
                other => wrong += &format!("{plugin} {}: {other:?}\n", tested.name),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
