//! The case format of `wasmilter plugin test`, run natively: hooks, DNS, the store, scripted services, grants, several calls; and
//! that what is not as expected is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{Read, Write},
    net::IpAddr,
    panic,
    path::PathBuf,
    time::Duration,
};
use wasmilter_sdk::{
    Decision, Failure, HeaderName, HookDecision, Info, Mailbox, Message, MessagePolicy, OnConnect, OnRcpt, Plugin,
    Problems, Session, Transaction, testing,
};

/// Asks a block list at connect, greylists at RCPT, has subjects scored by a service.
struct Doorman {
    config: Config,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    zone: String,
    #[serde(default = "delay")]
    delay: u32,
}

fn delay() -> u32 {
    300
}

/// What is remembered of a sender.
#[derive(Serialize, Deserialize)]
struct Seen {
    at: f64,
}

impl Plugin for Doorman {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("envelope", "headers", "dns", "store", "clock", "service:score")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        if config.zone.is_empty() {
            problems.add("/zone", "must not be empty");
        }
        problems.or_else_ok(|| Self { config })
    }
}

impl OnConnect for Doorman {
    fn connect(&self, session: &Session) -> Result<HookDecision, Failure> {
        let Ok(address) = session.client().address.parse::<IpAddr>() else { return Ok(HookDecision::next()) };
        let listed = !session.dns().listed(address, &self.config.zone)?.is_empty();
        let decision = if listed { HookDecision::reject("you are on a list") } else { HookDecision::next() };
        Ok(decision.with_fact("listed", listed))
    }
}

impl OnRcpt for Doorman {
    fn rcpt(&self, transaction: &Transaction, recipient: &Mailbox) -> Result<HookDecision, Failure> {
        let key = format!("{} {}", transaction.sender().address, recipient.address);
        let (store, now) = (transaction.store(), transaction.now());
        store.count("asked", 1, Duration::from_secs(3600))?;
        let first = match store.get::<Seen>(&key)? {
            Some(seen) => seen.at,
            None => {
                store.set(&key, &Seen { at: now }, Duration::from_secs(86_400))?;
                now
            }
        };
        let waited = now - first >= f64::from(self.config.delay);
        Ok(if waited { HookDecision::next() } else { HookDecision::tempfail("come back later") })
    }
}

impl MessagePolicy for Doorman {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let mut service = message.service("score")?;
        service.write_all(format!("SCORE {}\n", message.subject()).as_bytes())?;
        let mut answer = String::new();
        service.read_to_string(&mut answer)?;
        const SCORE: HeaderName = HeaderName::from_static("X-Score");
        Ok(Decision::next().add_header(SCORE, answer.trim()))
    }
}

wasmilter_sdk::plugin!(Doorman: connect, rcpt, message);

#[test]
fn cases() {
    testing::cases::<Doorman>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"));
}

/// Runs one case and gives what was wrong with it.
fn wrong(name: &str, transaction: &str, expected: &str) -> String {
    let folder: PathBuf = std::env::temp_dir().join(format!("wasmilter-sdk-{}-{name}", std::process::id()));
    let case = folder.join("case");
    fs::create_dir_all(&case).unwrap();
    fs::write(case.join("message.eml"), "Subject: hello\n\nhello\n").unwrap();
    fs::write(case.join("transaction.toml"), transaction).unwrap();
    fs::write(case.join("expected.toml"), expected).unwrap();
    let directory = folder.to_str().unwrap().to_owned();
    let outcome = panic::catch_unwind(|| testing::cases::<Doorman>(&directory));
    fs::remove_dir_all(&folder).unwrap();
    match outcome {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
    }
}

const ZONE: &str = "[config]\nzone = \"list.example.org\"\n";

#[test]
fn what_is_not_as_expected_is_told() {
    let scored = format!("{ZONE}[services]\nscore = \"7\"\n");
    assert_eq!(wrong("good", &scored, "verdict = \"next\"\nedits = [\"add-header X-Score: 7\"]\n"), "");
    let text =
        wrong("verdict", &scored, "verdict = \"reject\"\nedits = [\"add-header X-Score: 8\"]\n[facts]\nspam = true\n");
    for part in ["verdict is next", "edits are", "fact spam is None"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let text = wrong("problems", "[config]\nzone = \"\"\n", "problems = [\"/zone: must be long\"]\n");
    assert!(text.contains("/zone: must not be empty"), "{text}");
}

#[test]
fn leaving_the_script_is_told() {
    let next = "verdict = \"next\"\nedits = [\"add-header X-Score: 7\"]\n";
    let text = wrong("sent", &format!("{ZONE}[[services.score]]\nsent = \"SCORE bye\\n\"\nanswer = \"7\"\n"), next);
    assert!(text.contains("\"SCORE bye\\n\"") && text.contains("\"SCORE hello\\n\""), "{text}");
    let twice = "[[services.score]]\nanswer = \"7\"\n[[services.score]]\nanswer = \"7\"\n";
    let text = wrong("left", &format!("{ZONE}{twice}"), next);
    assert!(text.contains("1 streams were not opened"), "{text}");
    let text = wrong("dns", &format!("ask = \"connect\"\n{ZONE}"), "verdict = \"next\"\n");
    assert!(text.contains("the case does not say the addresses of 1.2.0.192.list.example.org"), "{text}");
    let unasked = "[dns.texts]\n\"example.org\" = [\"x\"]\n[services]\nscore = \"7\"\n";
    let text = wrong("unasked", &format!("{ZONE}{unasked}"), next);
    assert!(text.contains("nobody asked for the texts of example.org"), "{text}");
    let text = wrong("key", &format!("colour = 1\n{ZONE}"), next);
    assert!(text.contains("colour"), "{text}");
}
