//! The folders of a plugin's `cases/`, run natively. The format is that of `wasmilter plugin test`, documented in
//! `host/cases/FORMAT.md`.

use super::{
    Answer, Ask, Exports, World, configure, edit_line,
    script::{Script, Step, Wanted},
};
use crate::{
    FactValue, Failure, FailureKind, HookVerdict, Message, Reply, ServiceError, Verdict,
    bindings::wasmilter::policy::dns::DnsError, source::mailbox,
};
use data_encoding::BASE64;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};
use toml::Table;

/// Runs every folder of `directory` (usually `concat!(env!("CARGO_MANIFEST_DIR"), "/cases")`) and panics with everything
/// that was not as expected, or when there is no case at all.
///
/// # Panics
/// See above, and when a case can not be read.
pub fn cases<P: Exports>(directory: &str) {
    let mut folders: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{directory}: {error}"))
        .map(|entry| entry.expect("a case").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "no cases in {directory}");
    let mut wrong = Vec::new();
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        wrong.extend(run::<P>(folder).into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}

/// Runs one case and gives what was not as expected.
fn run<P: Exports>(folder: &Path) -> Vec<String> {
    let (surroundings, calls) = transaction(folder);
    let expected = Expected::read(folder);

    let mut config = surroundings.config.clone();
    fill_files(&mut config, folder);
    let config = config.to_string();
    match (configure::<P>(&config), &expected.problems) {
        (Ok(_), None) => {}
        (Ok(_), Some(problems)) => return vec![format!("the configuration was taken, expected {problems:#?}")],
        (Err(problems), wanted) => {
            let lines: Vec<String> = problems
                .into_list()
                .into_iter()
                .map(|problem| format!("{}: {}", problem.path, problem.message))
                .collect();
            let wanted = wanted.clone().unwrap_or_default();
            if same_beginnings(&lines, &wanted) {
                return Vec::new();
            }
            return vec![format!("configuration refused: {lines:#?}, expected {wanted:#?}")];
        }
    }

    let world = surroundings.world(folder);
    let mut differences = Vec::new();
    if calls.len() != expected.calls.len() {
        return vec![format!("{} calls, but {} are expected", calls.len(), expected.calls.len())];
    }
    let several = calls.len() > 1;
    for (number, (call, expectation)) in calls.iter().zip(&expected.calls).enumerate() {
        for _ in 0..call.times {
            world.pass(Duration::from_secs_f64(call.after));
            let plugin = configure::<P>(&config).unwrap_or_else(|problems| panic!("{problems:?}"));
            let found = Outcome::of(call.ask(&plugin, &world, folder)).differences(expectation);
            let place = if several { format!("call {}: ", number + 1) } else { String::new() };
            differences.extend(found.into_iter().map(|difference| format!("{place}{difference}")));
        }
    }
    differences.extend(world.complaints());
    if let Some(store) = &expected.store {
        differences.extend(store.differences(&world));
    }
    differences
}

/// Keys of `transaction.toml` that a call can have, too.
const OF_CALLS: [&str; 17] = [
    "ask",
    "message",
    "client",
    "client_port",
    "client_name",
    "helo",
    "auth",
    "auth_mechanism",
    "tls",
    "tls_cipher",
    "listener",
    "from",
    "rcpt",
    "queue_id",
    "facts",
    "after",
    "times",
];

/// `transaction.toml` without its calls.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Surroundings {
    /// Taken out of the table before the rest is read: times do not survive that.
    #[serde(skip)]
    now: Option<toml::Value>,
    grants: Option<Vec<String>>,
    config: Value,
    services: BTreeMap<String, Service>,
    dns: BTreeMap<String, BTreeMap<String, Records>>,
    store: Before,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            now: None,
            grants: None,
            config: json!({}),
            services: BTreeMap::new(),
            dns: BTreeMap::new(),
            store: Before::default(),
        }
    }
}

/// A call of the plugin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Call {
    ask: String,
    message: Option<String>,
    client: String,
    client_port: u32,
    client_name: String,
    helo: String,
    auth: String,
    auth_mechanism: String,
    tls: String,
    tls_cipher: String,
    listener: String,
    from: String,
    rcpt: Vec<String>,
    queue_id: String,
    facts: BTreeMap<String, Value>,
    after: f64,
    times: u32,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            ask: "message".to_owned(),
            message: None,
            client: "192.0.2.1".to_owned(),
            client_port: 0,
            client_name: String::new(),
            helo: String::new(),
            auth: String::new(),
            auth_mechanism: "PLAIN".to_owned(),
            tls: String::new(),
            tls_cipher: String::new(),
            listener: String::new(),
            from: "sender@example.net".to_owned(),
            rcpt: vec!["recipient@example.org".to_owned()],
            queue_id: String::new(),
            facts: BTreeMap::new(),
            after: 0.0,
            times: 1,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Service {
    /// Answers so to everybody, whatever it is asked.
    Always(String),
    Streams(Vec<Stream>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    sent: Option<String>,
    sent_file: Option<String>,
    has: Option<Vec<String>>,
    answer: Option<String>,
    answer_file: Option<String>,
    fails: Option<String>,
    steps: Option<Vec<Turn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    sent: Option<String>,
    sent_file: Option<String>,
    has: Option<Vec<String>>,
    answer: Option<String>,
    answer_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Records {
    There(Vec<String>),
    Fails(String),
}

/// The store before the first call.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Before {
    values: BTreeMap<String, Stored>,
    counters: BTreeMap<String, Counted>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Entry(StoredEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry {
    value: Option<String>,
    base64: Option<String>,
    seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Counted {
    Plain(u32),
    Entry(CountedEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountedEntry {
    value: u32,
    seconds: Option<f64>,
}

impl Stored {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Entry(StoredEntry { base64: Some(base64), value: None, .. }) => {
                BASE64.decode(base64.as_bytes()).expect("base64")
            }
            Self::Entry(entry) => entry.value.clone().expect("value or base64").into_bytes(),
        }
    }
}

/// Reads `transaction.toml`.
fn transaction(folder: &Path) -> (Surroundings, Vec<Call>) {
    let (path, mut all) = table(folder, "transaction.toml");
    let calls = all.remove("call");
    let now = all.remove("now");
    let (shared, rest): (Table, Table) = all.into_iter().partition(|(key, _)| OF_CALLS.contains(&key.as_str()));
    let calls: Vec<Table> = calls.map_or_else(|| vec![Table::new()], |calls| typed(&path, calls));
    let calls = calls.into_iter().map(|own| {
        let mut call = shared.clone();
        call.extend(own);
        typed(&path, toml::Value::Table(call))
    });
    let calls = calls.collect();
    let surroundings = Surroundings { now, ..typed(&path, toml::Value::Table(rest)) };
    (surroundings, calls)
}

fn table(folder: &Path, name: &str) -> (PathBuf, Table) {
    let path = folder.join(name);
    let text = if path.exists() { fs::read_to_string(&path) } else { Ok(String::new()) };
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, table)
}

fn typed<T: DeserializeOwned>(path: &Path, value: toml::Value) -> T {
    value.try_into().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Surroundings {
    fn world(self, folder: &Path) -> World {
        let mut world = World::new();
        if let Some(now) = &self.now {
            world = world.with_now(seconds_since_1970(now));
        }
        if let Some(grants) = &self.grants {
            world = world.with_grants(grants);
        }
        for (name, service) in self.services {
            world = match service {
                Service::Always(answer) => world.with_service(&name, move |_| answer.clone().into_bytes()),
                Service::Streams(streams) => {
                    let scripts = streams.into_iter().map(|stream| stream.script(folder)).collect();
                    world.with_scripts(&name, scripts)
                }
            };
        }
        for (question, names) in self.dns {
            let known = ["addresses", "texts", "mail_exchangers", "names"];
            let question = known.into_iter().find(|known| *known == question);
            let question = question.unwrap_or_else(|| panic!("[dns] has {known:?} and nothing else"));
            for (name, records) in names {
                world = world.answer(question, &name, records.answer());
            }
        }
        for (key, stored) in &self.store.values {
            let seconds = match stored {
                Stored::Entry(StoredEntry { seconds: Some(seconds), .. }) => *seconds,
                _ => f64::INFINITY,
            };
            world.put_value(key, &stored.bytes(), seconds);
        }
        for (key, counted) in &self.store.counters {
            let (value, seconds) = match counted {
                Counted::Plain(value) => (*value, None),
                Counted::Entry(entry) => (entry.value, entry.seconds),
            };
            world.put_counter(key, value, seconds.unwrap_or(f64::INFINITY));
        }
        world.be_strict();
        world
    }
}

/// A date and time with offset, or seconds.
fn seconds_since_1970(value: &toml::Value) -> f64 {
    let time = match value {
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2⁵³")]
        toml::Value::Integer(seconds) => return *seconds as f64,
        toml::Value::Float(seconds) => return *seconds,
        toml::Value::Datetime(time) => time,
        other => panic!("now must be a date and time or a number, is {other}"),
    };
    let (Some(date), Some(clock), Some(offset)) = (time.date, time.time, time.offset) else {
        panic!("now must have a date, a time and an offset, is {time}");
    };
    // Days from the civil calendar: years begin in March, so that the leap day is the last.
    let (month, year) = (i64::from(date.month), i64::from(date.year) - i64::from(date.month < 3));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(date.day) - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    let minutes = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let clock_seconds =
        i64::from(clock.hour) * 3600 + i64::from(clock.minute) * 60 + i64::from(clock.second.unwrap_or_default());
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2⁵³")]
    let seconds = (days * 86_400 + clock_seconds - minutes * 60) as f64;
    seconds + f64::from(clock.nanosecond.unwrap_or_default()) / 1e9
}

impl Stream {
    fn script(self, folder: &Path) -> Script {
        let fails = self.fails.as_deref().map(|error| match error {
            "unreachable" => ServiceError::Unreachable("scripted".to_owned()),
            "timed-out" => ServiceError::TimedOut,
            "closed" => ServiceError::Closed,
            other => panic!("fails must be unreachable, timed-out or closed, is {other:?}"),
        });
        let turns = self.steps.unwrap_or_else(|| {
            let says = self.sent.is_some() || self.sent_file.is_some() || self.has.is_some();
            let answers = self.answer.is_some() || self.answer_file.is_some();
            if fails.is_some() && !says && !answers {
                return Vec::new();
            }
            vec![Turn {
                sent: self.sent,
                sent_file: self.sent_file,
                has: self.has,
                answer: self.answer,
                answer_file: self.answer_file,
            }]
        });
        Script { steps: turns.into_iter().map(|turn| turn.step(folder)).collect(), fails }
    }
}

impl Turn {
    fn step(self, folder: &Path) -> Step {
        let wanted = match (self.sent, self.sent_file, self.has) {
            (Some(text), None, None) => Wanted::Exactly(text.into_bytes()),
            (None, Some(file), None) => Wanted::Exactly(read(folder, &file)),
            (None, None, Some(pieces)) => Wanted::Pieces(pieces),
            (None, None, None) => Wanted::Anything,
            _ => panic!("sent, sent_file and has exclude each other"),
        };
        let answer = match (self.answer, self.answer_file) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(file)) => read(folder, &file),
            (None, None) => Vec::new(),
            _ => panic!("answer and answer_file exclude each other"),
        };
        Step { wanted, answer }
    }
}

impl Records {
    fn answer(self) -> Result<Vec<String>, DnsError> {
        match self {
            Self::There(records) => Ok(records),
            Self::Fails(error) if error == "timed-out" => Err(DnsError::TimedOut),
            Self::Fails(error) if error == "failed" => Err(DnsError::Failed("scripted".to_owned())),
            Self::Fails(other) => panic!("a name fails with timed-out or failed, not {other:?}"),
        }
    }
}

impl Call {
    /// What the plugin answers; a panic is a trap.
    fn ask<P: Exports>(&self, plugin: &P, world: &World, folder: &Path) -> Result<Answer, Failure> {
        let (message, ask) = self.message(world, folder);
        let answer = catch_unwind(AssertUnwindSafe(|| P::ask(plugin, &ask, &message)));
        answer
            .unwrap_or_else(|_| Some(Err(Failure::internal("the plugin panicked"))))
            .unwrap_or_else(|| panic!("the plugin does not export what is asked: {ask:?}"))
    }

    fn message(&self, world: &World, folder: &Path) -> (Message, Ask) {
        let mut accepted: Vec<&str> = self.rcpt.iter().map(String::as_str).collect();
        let ask = match self.ask.as_str() {
            "message" => Ask::Message,
            "connect" => Ask::Connect,
            "helo" => Ask::Helo,
            "mail" => Ask::Mail,
            "rcpt" => Ask::Rcpt(mailbox(accepted.pop().expect("the recipient in question"))),
            other => panic!("ask must be message, connect, helo, mail or rcpt, is {other:?}"),
        };
        if matches!(ask, Ask::Connect | Ask::Helo | Ask::Mail) {
            accepted.clear();
        }
        let eml = match (&ask, &self.message) {
            (Ask::Message, file) => read(folder, file.as_deref().unwrap_or("message.eml")),
            _ => Vec::new(),
        };
        let mut message = world
            .message(&eml)
            .with_client(|client| {
                client.address.clone_from(&self.client);
                client.port = self.client_port;
                client.hostname.clone_from(&self.client_name);
                client.listener.clone_from(&self.listener);
                // What a real session has by then.
                if matches!(ask, Ask::Connect) {
                    for later in [&mut client.helo, &mut client.tls_version, &mut client.tls_cipher] {
                        later.clear();
                    }
                } else {
                    client.helo.clone_from(&self.helo);
                    client.tls_version.clone_from(&self.tls);
                    client.tls_cipher.clone_from(&self.tls_cipher);
                }
                if !self.auth.is_empty() && !matches!(ask, Ask::Connect | Ask::Helo) {
                    client.auth_user.clone_from(&self.auth);
                    client.auth_mechanism.clone_from(&self.auth_mechanism);
                }
            })
            .with_sender(if matches!(ask, Ask::Connect | Ask::Helo) { "" } else { &self.from })
            .with_recipients(&accepted)
            .with_queue_id(&self.queue_id);
        for (name, value) in &self.facts {
            message = match value {
                Value::Bool(flag) => message.with_known_fact(name, *flag),
                Value::Number(number) => message.with_known_fact(name, number.as_f64().unwrap_or_default()),
                Value::String(text) => message.with_known_fact(name, text.as_str()),
                other => message.with_known_fact(name, texts(other)),
            };
        }
        (message, ask)
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the host does with `{ file = … }` and `{ directory = … }`; paths are relative to the case.
fn fill_files(config: &mut Value, folder: &Path) {
    let content = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match String::from_utf8(bytes) {
            Ok(text) => ("content", text),
            Err(error) => ("base64", BASE64.encode(error.as_bytes())),
        }
    };
    match config {
        Value::Array(list) => list.iter_mut().for_each(|value| fill_files(value, folder)),
        Value::Object(map) if map.len() == 1 && map.get("file").is_some_and(Value::is_string) => {
            let path = folder.join(map["file"].as_str().unwrap_or_default());
            let (key, text) = content(&path);
            map.insert(key.to_owned(), Value::String(text));
        }
        Value::Object(map) if map.len() == 1 && map.get("directory").is_some_and(Value::is_string) => {
            let path = folder.join(map["directory"].as_str().unwrap_or_default());
            let mut files: Vec<_> = fs::read_dir(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                .map(|entry| entry.expect("a file").path())
                .collect();
            files.sort();
            let files = files.iter().map(|file| {
                let (key, text) = content(file);
                json!({ "name": file.file_name().unwrap_or_default().to_string_lossy(), key: text })
            });
            map.insert("files".to_owned(), files.collect());
        }
        Value::Object(map) => map.values_mut().for_each(|value| fill_files(value, folder)),
        _ => {}
    }
}

/// `expected.toml`
struct Expected {
    /// The configuration must be refused, so.
    problems: Option<Vec<String>>,
    calls: Vec<Expectation>,
    store: Option<After>,
}

/// What is expected of a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    verdict: String,
    code: Option<u32>,
    reply: Option<String>,
    failure: Option<String>,
    #[serde(default)]
    edits: Vec<String>,
    #[serde(default)]
    facts: BTreeMap<String, Value>,
}

/// The store after the last call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    values: Option<BTreeMap<String, Stored>>,
    counters: Option<BTreeMap<String, u32>>,
}

impl Expected {
    fn read(folder: &Path) -> Self {
        let (path, mut all) = table(folder, "expected.toml");
        let store = all.remove("store").map(|store| typed(&path, store));
        if let Some(problems) = all.remove("problems") {
            assert!(all.is_empty(), "{}: problems go with nothing else", path.display());
            return Self { problems: Some(typed(&path, problems)), calls: Vec::new(), store };
        }
        let calls = match all.remove("call") {
            Some(calls) => typed(&path, calls),
            None => vec![typed(&path, toml::Value::Table(all))],
        };
        Self { problems: None, calls, store }
    }
}

impl After {
    fn differences(&self, world: &World) -> Vec<String> {
        let mut differences = Vec::new();
        if let Some(wanted) = &self.values {
            let wanted: BTreeMap<String, Vec<u8>> =
                wanted.iter().map(|(key, value)| (key.clone(), value.bytes())).collect();
            let shown = |values: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, String> {
                values.iter().map(|(key, value)| (key.clone(), String::from_utf8_lossy(value).into_owned())).collect()
            };
            let found = world.values();
            if found != wanted {
                differences.push(format!(
                    "the store has the values {:?}, expected {:?}",
                    shown(&found),
                    shown(&wanted)
                ));
            }
        }
        if let Some(wanted) = &self.counters {
            let found = world.counters();
            if found != *wanted {
                differences.push(format!("the store has the counters {found:?}, expected {wanted:?}"));
            }
        }
        differences
    }
}

/// What a call came to, in the words of `expected.toml`.
struct Outcome {
    verdict: &'static str,
    code: u32,
    text: String,
    failure: Option<&'static str>,
    edits: Vec<String>,
    facts: BTreeMap<String, Value>,
}

impl Outcome {
    fn of(answer: Result<Answer, Failure>) -> Self {
        let plain = |verdict: &'static str, text: &str| (verdict, 0, text.to_owned(), None);
        let reply = |verdict: &'static str, reply: &Reply| (verdict, reply.code, reply.text.clone(), None);
        let ((verdict, code, text, failure), edits, facts) = match &answer {
            Err(failure) => {
                let kind = if failure.kind == FailureKind::Service { "service" } else { "failed" };
                (("failure", 0, failure.detail.clone(), Some(kind)), Vec::new(), &[][..])
            }
            Ok(Answer::Decision(decision)) => {
                let verdict = match decision.verdict() {
                    Verdict::Next => plain("next", ""),
                    Verdict::Accept => plain("accept", ""),
                    Verdict::Reject(answer) => reply("reject", answer),
                    Verdict::Tempfail(answer) => reply("tempfail", answer),
                    Verdict::Discard => plain("discard", ""),
                    Verdict::Quarantine(reason) => plain("quarantine", reason),
                };
                (verdict, decision.edits().iter().map(edit_line).collect(), decision.facts())
            }
            Ok(Answer::Hook(decision)) => {
                let verdict = match decision.verdict() {
                    HookVerdict::Next => plain("next", ""),
                    HookVerdict::Reject(answer) => reply("reject", answer),
                    HookVerdict::Tempfail(answer) => reply("tempfail", answer),
                };
                (verdict, Vec::new(), decision.facts())
            }
        };
        let facts = facts.iter().map(|fact| (fact.name.clone(), as_json(&fact.value))).collect();
        Self { verdict, code, text, failure, edits, facts }
    }

    fn differences(&self, expected: &Expectation) -> Vec<String> {
        let mut differences = Vec::new();
        if self.verdict != expected.verdict {
            differences.push(format!("verdict is {} ({}), expected {}", self.verdict, self.text, expected.verdict));
        }
        if let Some(code) = expected.code
            && code != self.code
        {
            differences.push(format!("code is {}, expected {code}", self.code));
        }
        if let Some(part) = &expected.reply
            && !self.text.contains(part.as_str())
        {
            differences.push(format!("reply is {:?}, expected {part:?} in it", self.text));
        }
        // The others are the sandbox's; here they are panics or failures of any kind.
        if let Some(wanted @ ("service" | "failed")) = expected.failure.as_deref()
            && self.failure != Some(wanted)
        {
            differences.push(format!("failure is {:?}, expected {wanted}", self.failure));
        }
        if !same_beginnings(&self.edits, &expected.edits) {
            differences.push(format!("edits are {:#?}, expected {:#?}", self.edits, expected.edits));
        }
        for (name, value) in &expected.facts {
            let found = self.facts.get(name);
            if found.is_none_or(|found| !equal(found, value)) {
                differences.push(format!("fact {name} is {found:?}, expected {value}"));
            }
        }
        differences
    }
}

fn same_beginnings(lines: &[String], beginnings: &[String]) -> bool {
    lines.len() == beginnings.len()
        && lines.iter().zip(beginnings).all(|(line, start)| line.starts_with(start.as_str()))
}

fn as_json(value: &FactValue) -> Value {
    match value {
        FactValue::Flag(flag) => json!(flag),
        FactValue::Number(number) => json!(number),
        FactValue::Text(text) => json!(text),
        FactValue::Texts(texts) => json!(texts),
    }
}

/// 7 and 7.0 are the same number.
fn equal(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
        _ => found == expected,
    }
}
