//! The stages that the host runs, and what each does to a message that asks for it: the one table from which the host's
//! configuration is written and the oracle computes what must be answered.
//!
//! A message asks by its field `X-Soak: +insert+ +strip+`. Guests that misbehave do so for a subject with `bad`, which such
//! messages have as well.

use serde_json::{Value, json};
use wasmilter_tests::script::{scripted, stage};

/// The field in which a message asks.
pub(crate) const ASKS: &str = "X-Soak";
/// The field in which the stage `generation` writes which configuration judged the message.
pub(crate) const GENERATION: &str = "X-Generation";
/// What is written by edits, as the oracle knows it and the configuration says it.
pub(crate) const INSERTED: (&str, &str) = ("X-Inserted", "on top");
pub(crate) const LAST: (&str, &str) = ("X-Last", "came to the end");
pub(crate) const NEW_SENDER: &str = "changed@example.com";
pub(crate) const NEW_RECIPIENT: &str = "added@example.com";
pub(crate) const NEW_TYPE: &str = "text/plain; charset=utf-8";
const LINE: &str = "Instead of what was written here, sixty-two characters a line.\r\n";
/// Lines of a small replaced body and of one that does not fit into a socket's buffers.
pub(crate) const SMALL: usize = 3;
pub(crate) const LARGE: usize = 20_000;

/// A body that replaces another.
pub(crate) fn new_body(lines: usize) -> String {
    LINE.repeat(lines)
}

/// A stage.
pub(crate) struct Stage {
    /// Its name, and the word by which messages ask for it.
    pub(crate) name: &'static str,
    /// One message in so many asks for it; 0: none has to ask.
    pub(crate) one_in: u32,
    /// What it does.
    pub(crate) effect: Effect,
}

/// What a stage does to a message that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Looks and changes nothing.
    Nothing,
    /// Adds the field [`GENERATION`].
    Generation,
    /// Changes the message.
    Edits(Change),
    /// Gives no decision, by one of these causes; then its `on_failure` decides.
    Fails(&'static [&'static str], Then),
    /// Ends the message.
    Says(Says),
    /// Asks clamd: refuses what is infected, and tells to come again when clamd does not answer.
    Scans,
}

/// A change of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// [`INSERTED`] above all fields.
    Insert,
    /// All `Received` fields go.
    Strip,
    /// The content becomes so many lines.
    Content(usize),
    /// The envelope's sender becomes [`NEW_SENDER`].
    Sender,
    /// [`NEW_RECIPIENT`] instead of the last recipient.
    Recipients,
    /// [`LAST`] below all fields.
    Last,
}

/// A stage's `on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Tempfail,
    Skip,
    Reject,
    Quarantine,
    Accept,
}

/// A verdict that ends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Accept,
    Reject,
    Tempfail,
    Discard,
    Quarantine,
}

const fn asked(name: &'static str, one_in: u32, effect: Effect) -> Stage {
    Stage { name, one_in, effect }
}

use Effect::{Edits, Fails, Generation, Nothing, Says as Verdict, Scans};

/// All stages in their order.
pub(crate) const STAGES: &[Stage] = &[
    asked("noop", 0, Nothing),
    asked("peer-address", 0, Nothing),
    asked("spam", 0, Nothing),
    asked("embedded", 0, Nothing),
    asked("generation", 0, Generation),
    // Misbehaviour, with every failure policy.
    asked("panics", 60, Fails(&["trap"], Then::Reject)),
    asked("out-of-bounds", 80, Fails(&["trap"], Then::Quarantine)),
    asked("recursion", 120, Fails(&["trap"], Then::Tempfail)),
    asked("endless", 300, Fails(&["timeout", "cpu", "overload"], Then::Skip)),
    asked("memory", 150, Fails(&["memory"], Then::Accept)),
    asked("talkative", 200, Fails(&["limit", "refused", "memory"], Then::Tempfail)),
    asked("forged", 100, Fails(&["refused"], Then::Reject)),
    asked("gives-up", 60, Fails(&["service"], Then::Skip)),
    // The only one whose breaker opens: after its failures, and for what comes meanwhile, the answer is the same.
    asked("tripping", 60, Fails(&["trap", "circuit_open"], Then::Tempfail)),
    // Edits.
    asked("insert", 6, Edits(Change::Insert)),
    asked("strip", 8, Edits(Change::Strip)),
    asked("content", 20, Edits(Change::Content(SMALL))),
    asked("swelling", 150, Edits(Change::Content(LARGE))),
    asked("sender", 20, Edits(Change::Sender)),
    asked("recipients", 20, Edits(Change::Recipients)),
    asked("scan", 12, Scans),
    // Verdicts.
    asked("early", 40, Verdict(Says::Accept)),
    asked("rejects", 40, Verdict(Says::Reject)),
    asked("defers", 60, Verdict(Says::Tempfail)),
    asked("drops", 60, Verdict(Says::Discard)),
    asked("holds", 60, Verdict(Says::Quarantine)),
    asked("last", 0, Edits(Change::Last)),
];

/// The word by which a message asks for a stage; no word is a part of another.
pub(crate) fn word(stage: &Stage) -> String {
    format!("+{}+", stage.name)
}

/// The host's configuration in that generation.
pub(crate) fn configuration(generation: u32, clamd: &str) -> String {
    // A machine with other things to do must not make answers of its own.
    let mut config = format!(
        "[limits]\nbody_in_memory = \"32kB\"\nqueue_time = \"30s\"\n[log]\nlevel = \"warn\"\n[services.clamd]\naddress = {clamd:?}\ntimeout = \"2s\"\n"
    );
    for stage in STAGES {
        config.push_str(&written(stage, generation));
    }
    config
}

/// How a generation stands in the configuration.
pub(crate) fn generation(number: u32) -> String {
    format!("name = \"{GENERATION}\", value = \"{number}\"")
}

fn written(this: &Stage, generation: u32) -> String {
    let name = this.name;
    let mut more = String::new();
    if this.one_in > 0 {
        more.push_str(&format!("when = \"header('{ASKS}').contains('{}')\"\n", word(this)));
    }
    if let Fails(_, then) = this.effect {
        let then = match then {
            Then::Tempfail => "tempfail",
            Then::Skip => "skip",
            Then::Reject => "reject",
            Then::Quarantine => "quarantine",
            Then::Accept => "accept",
        };
        more.push_str(&format!("on_failure = {then:?}\n"));
    }
    // Busy machines must not make failures of their own. A breaker would make answers depend on what came before.
    let patient = "timeout = \"60s\"\n";
    let breaker = "breaker = { failures = 0 }\n";
    let guest = |guest: &str, keys: &str, config: &Value| {
        stage(name, guest, &format!("grants = [\"headers\", \"body\"]\n{more}{keys}"), config)
    };
    let script = |edits: Value| scripted(name, &format!("{more}{patient}{breaker}"), &json!({ "edits": [edits] }));
    let verdict = |says: Value| scripted(name, &format!("{more}{patient}{breaker}"), &json!({ "verdict": says }));
    let header = |(name, value): (&str, &str)| json!({ "name": name, "value": value });
    let lenient = format!("{patient}{breaker}");
    match (name, this.effect) {
        ("noop", _) => guest("noop", &lenient, &json!({})),
        ("peer-address" | "spam" | "embedded", _) => bundled(name),
        (_, Generation) => script(json!({ "add-header": header((GENERATION, &generation.to_string())) })),
        ("panics", _) => guest("trap", &lenient, &json!({ "how": "panic" })),
        ("out-of-bounds", _) => guest("trap", &lenient, &json!({ "how": "bounds" })),
        ("recursion", _) => guest("deep-recursion", &lenient, &json!({})),
        ("endless", _) => guest("endless-loop", &format!("timeout = \"200ms\"\n{breaker}"), &json!({})),
        ("memory", _) => {
            guest("memory-bomb", &format!("memory = \"16MB\"\n{lenient}"), &json!({ "bytes": 1_000_000_000 }))
        }
        ("talkative", _) => guest("huge-decision", &lenient, &json!({ "edits": 20_000 })),
        ("forged", _) => guest("forged-edits", &lenient, &json!({ "forge": "crlf" })),
        ("gives-up", _) => guest("trap", &lenient, &json!({ "how": "fail" })),
        ("tripping", _) => {
            let breaker = "breaker = { failures = 5, pause = \"500ms\", longest_pause = \"2s\" }\n";
            guest("trap", &format!("{patient}{breaker}"), &json!({ "how": "unreachable" }))
        }
        (_, Edits(Change::Insert)) => script(json!({ "insert-header": header(INSERTED) })),
        (_, Edits(Change::Last)) => script(json!({ "add-header": header(LAST) })),
        (_, Edits(Change::Strip)) => script(json!({ "remove-header": { "name": "Received" } })),
        (_, Edits(Change::Content(lines))) => script(json!({ "replace-content": {
            "headers": [header(("Content-Type", NEW_TYPE))], "content": LINE, "repeat": lines,
        } })),
        (_, Edits(Change::Sender)) => script(json!({ "set-sender": { "address": NEW_SENDER } })),
        (_, Edits(Change::Recipients)) => scripted(
            name,
            &format!("{more}{lenient}"),
            &json!({ "edits": [
                { "add-recipient": { "address": NEW_RECIPIENT } },
                { "remove-recipient": crate::plan::LAST_RECIPIENT },
            ] }),
        ),
        (_, Scans) => format!(
            "[[stage]]\nname = {name:?}\nplugin = \"virus\"\ngrants = [\"headers\", \"body\", \"service:clamd\"]\n{more}\
             timeout = \"20s\"\non_failure = \"tempfail\"\n\
             breaker = {{ failures = 5, pause = \"500ms\", longest_pause = \"2s\" }}\nconfig = {{ service = \"clamd\" }}\n"
        ),
        (_, Verdict(Says::Accept)) => verdict(json!("accept")),
        (_, Verdict(Says::Reject)) => {
            verdict(json!({ "reject": { "code": 550, "enhanced": "5.7.1", "text": "refused as asked" } }))
        }
        (_, Verdict(Says::Tempfail)) => {
            verdict(json!({ "tempfail": { "code": 450, "enhanced": "4.7.1", "text": "later as asked" } }))
        }
        (_, Verdict(Says::Discard)) => verdict(json!("discard")),
        (_, Verdict(Says::Quarantine)) => verdict(json!({ "quarantine": "held as asked" })),
        (_, Nothing | Fails(..)) => guest("noop", &lenient, &json!({})),
    }
}

/// Bundled plugins look at every message; nothing of what they say is done.
fn bundled(name: &str) -> String {
    let (plugin, config) = match name {
        "peer-address" => ("peer-address", "trusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]"),
        "spam" => ("spam", ""),
        _ => ("virus", ""),
    };
    format!(
        "[[stage]]\nname = {name:?}\nplugin = {plugin:?}\nmode = \"shadow\"\non_failure = \"skip\"\ntimeout = \"60s\"\n\
         grants = [\"envelope\", \"headers\", \"body\", \"set-client\", \"clock\", \"random\"]\nconfig = {{ {config} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_part_of_another() {
        for one in STAGES {
            let parts = STAGES.iter().filter(|other| word(other).contains(&word(one))).count();
            assert_eq!(parts, 1, "{}", one.name);
        }
    }

    #[test]
    fn the_configuration_has_every_stage_once_and_differs_by_generation() {
        let (first, second) = (configuration(1, "unix:/x"), configuration(2, "unix:/x"));
        assert_eq!(first.matches("[[stage]]").count(), STAGES.len());
        assert_eq!(first.matches(&generation(1)).count(), 1, "{first}");
        assert_eq!(first.replace(&generation(1), &generation(2)), second);
    }
}
