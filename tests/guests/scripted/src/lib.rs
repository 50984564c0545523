//! Does to every message exactly what its configuration says: the tests' way to every verdict and every edit.
//!
//! ```json
//! {
//!   "subject": "only messages whose subject contains this; empty: all",
//!   "verdict": "next",
//!   "edits": [{"add-header": {"name": "X-Seen", "value": "yes"}}],
//!   "facts": {"flag": true, "number": 1.5, "text": "a", "texts": ["a", "b"]},
//!   "fail": {"kind": "internal", "detail": "says that it could not decide"},
//!   "report": false
//! }
//! ```
//!
//! All keys are optional. Verdicts: `"next"`, `"accept"`, `"discard"`, `{"reject": {"code": 550, "enhanced": "5.7.1", "text": "no"}}`,
//! `{"tempfail": {"code": 451, "enhanced": "4.7.1", "text": "later"}}` (all three optional), `{"quarantine": "reason"}`.
//!
//! Edits, in order:
//! - `{"add-header": {"name": "X", "value": "y"}}`, `{"insert-header": {"name": "X", "value": "y"}}`
//! - `{"replace-header": {"name": "X", "occurrence": 1, "value": "y"}}`, `{"remove-header": {"name": "X", "occurrence": 0}}` (`occurrence`: default 1 and 0)
//! - `{"set-subject": "text"}`
//! - `{"replace-part": {"part": 1, …}}` and `{"add-part": {…}}` with `"media_type": "text/plain"`, `"file_name": ""`, `"disposition": ""`, `"content_id": ""` and content
//! - `{"remove-part": 1}`
//! - `{"append-text": {"plain": "text", "html": "<p>text</p>"}}`, `{"prepend-text": {…}}`
//! - `{"replace-content": {"headers": [{"name": "Content-Type", "value": "text/plain"}], …}}` with content
//! - `{"set-sender": {"address": "a@example.org", "arguments": ["RET=HDRS"]}}`, `{"add-recipient": {…}}` (arguments optional)
//! - `{"remove-recipient": "a@example.org"}`
//! - `{"set-client": {"address": "192.0.2.1", "port": 25, "hostname": "", "helo": ""}}` (all but the address optional)
//!
//! Content: `"content": "text"` or `"bytes": [1, 2, 3]`, `"repeat": 1` (so many times), `"blob": false` (through `output`), and with
//! `"entity": 0` in front of it the entity of that part (a blob then, and the grant `body`).
//!
//! `"report": true` publishes what the guest sees as facts: `client`, `hostname`, `helo`, `auth_user`, `tls_version`, `listener`, `connected`,
//! `sender`, `sender_arguments`, `recipients`, `recipient_arguments`, `queue_id`, `header_names`, `subject`.
//!
//! It imports nothing that needs a grant; edits of the content, of the envelope and of the client need theirs.

use std::collections::BTreeMap;
use wasmilter_sdk::{
    Annotation, Content, Decision, Edit, Entity, FactValue, Failure, HeaderOccurrence, HeaderReplacement, Info,
    Message, NewAddress, NewClient, NewHeader, NewPart, PartReplacement, Policy, Problems, Reply, Verdict, output,
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    subject: String,
    verdict: Says,
    edits: Vec<Change>,
    facts: BTreeMap<String, Value>,
    fail: Option<Fail>,
    report: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            subject: String::new(),
            verdict: Says::Next,
            edits: Vec::new(),
            facts: BTreeMap::new(),
            fail: None,
            report: false,
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Says {
    Next,
    Accept,
    Reject(Answer),
    Tempfail(Answer),
    Discard,
    Quarantine(String),
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    code: u32,
    enhanced: String,
    text: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fail {
    kind: Kind,
    detail: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Service,
    Unsupported,
    Internal,
}

#[derive(Clone, serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    Number(f64),
    Text(String),
    Texts(Vec<String>),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    AddHeader(Field),
    InsertHeader(Field),
    ReplaceHeader(Replacement),
    RemoveHeader(Occurrence),
    SetSubject(String),
    ReplacePart(ReplacedPart),
    RemovePart(u32),
    AddPart(PartOf),
    AppendText(Text),
    PrependText(Text),
    ReplaceContent(WholeContent),
    SetSender(Address),
    AddRecipient(Address),
    RemoveRecipient(String),
    SetClient(Client),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    value: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    name: String,
    #[serde(default = "first")]
    occurrence: u32,
    value: String,
}

fn first() -> u32 {
    1
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Occurrence {
    name: String,
    #[serde(default)]
    occurrence: u32,
}

// `flatten` and `deny_unknown_fields` do not go together; a misspelled key of these is not noticed.
#[derive(serde::Deserialize)]
struct ReplacedPart {
    part: u32,
    #[serde(flatten)]
    with: PartOf,
}

#[derive(serde::Deserialize)]
struct PartOf {
    #[serde(default = "plain")]
    media_type: String,
    #[serde(default)]
    file_name: String,
    #[serde(default)]
    disposition: String,
    #[serde(default)]
    content_id: String,
    #[serde(flatten)]
    bytes: Bytes,
}

fn plain() -> String {
    "text/plain".to_owned()
}

#[derive(serde::Deserialize)]
struct WholeContent {
    headers: Vec<Field>,
    #[serde(flatten)]
    bytes: Bytes,
}

#[derive(serde::Deserialize)]
struct Bytes {
    #[serde(default)]
    content: String,
    #[serde(default)]
    bytes: Vec<u8>,
    #[serde(default = "once")]
    repeat: usize,
    #[serde(default)]
    blob: bool,
    #[serde(default)]
    entity: Option<u32>,
}

fn once() -> usize {
    1
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    plain: String,
    #[serde(default)]
    html: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    address: String,
    #[serde(default)]
    arguments: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    address: String,
    #[serde(default)]
    port: u32,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    helo: String,
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "scripted",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Does what its configuration says",
            grants: &["body", "recipients", "set-client"],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let script = &self.0;
        let subject = || message.header_text("Subject").join(" ");
        if !script.subject.is_empty() && !subject().contains(&script.subject) {
            return Ok(Decision::next());
        }
        if let Some(fail) = &script.fail {
            return Err(match fail.kind {
                Kind::Service => Failure::service(&fail.detail),
                Kind::Unsupported => Failure::unsupported(&fail.detail),
                Kind::Internal => Failure::internal(&fail.detail),
            });
        }
        let mut decision = Decision::verdict(script.verdict.verdict());
        for change in &script.edits {
            decision = decision.with_edit(change.edit());
        }
        for (name, value) in &script.facts {
            decision = decision.with_fact(name, value.value());
        }
        Ok(if script.report { report(decision, message) } else { decision })
    }
}

fn report(decision: Decision, message: &Message) -> Decision {
    let (client, sender, recipients) = (message.client(), message.sender(), message.recipients());
    decision
        .with_fact("client", client.address)
        .with_fact("hostname", client.hostname)
        .with_fact("helo", client.helo)
        .with_fact("auth_user", client.auth_user)
        .with_fact("tls_version", client.tls_version)
        .with_fact("listener", client.listener)
        .with_fact("connected", message.connected().address)
        .with_fact("sender", sender.address)
        .with_fact("sender_arguments", FactValue::Texts(sender.arguments))
        .with_fact("recipients", FactValue::Texts(recipients.iter().map(|mailbox| mailbox.address.clone()).collect()))
        .with_fact(
            "recipient_arguments",
            FactValue::Texts(recipients.into_iter().flat_map(|mailbox| mailbox.arguments).collect()),
        )
        .with_fact("queue_id", message.queue_id())
        .with_fact("header_names", FactValue::Texts(message.headers().into_iter().map(|field| field.name).collect()))
        .with_fact("subject", message.header_text("Subject").join(" "))
}

impl Says {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Next => Verdict::Next,
            Self::Accept => Verdict::Accept,
            Self::Reject(answer) => Verdict::Reject(answer.reply()),
            Self::Tempfail(answer) => Verdict::Tempfail(answer.reply()),
            Self::Discard => Verdict::Discard,
            Self::Quarantine(reason) => Verdict::Quarantine(reason.clone()),
        }
    }
}

impl Answer {
    fn reply(&self) -> Reply {
        Reply { code: self.code, enhanced: self.enhanced.clone(), text: self.text.clone() }
    }
}

impl Value {
    fn value(&self) -> FactValue {
        match self.clone() {
            Self::Flag(flag) => FactValue::Flag(flag),
            Self::Number(number) => FactValue::Number(number),
            Self::Text(text) => FactValue::Text(text),
            Self::Texts(texts) => FactValue::Texts(texts),
        }
    }
}

impl Change {
    fn edit(&self) -> Edit {
        match self {
            Self::AddHeader(field) => Edit::AddHeader(field.header()),
            Self::InsertHeader(field) => Edit::InsertHeader(field.header()),
            Self::ReplaceHeader(field) => Edit::ReplaceHeader(HeaderReplacement {
                name: field.name.clone(),
                occurrence: field.occurrence,
                value: field.value.clone(),
            }),
            Self::RemoveHeader(field) => {
                Edit::RemoveHeader(HeaderOccurrence { name: field.name.clone(), occurrence: field.occurrence })
            }
            Self::SetSubject(subject) => Edit::SetSubject(subject.clone()),
            Self::ReplacePart(part) => {
                Edit::ReplacePart(PartReplacement { part: part.part, replacement: part.with.new_part() })
            }
            Self::RemovePart(part) => Edit::RemovePart(*part),
            Self::AddPart(part) => Edit::AddPart(part.new_part()),
            Self::AppendText(text) => Edit::AppendText(text.annotation()),
            Self::PrependText(text) => Edit::PrependText(text.annotation()),
            Self::ReplaceContent(whole) => Edit::ReplaceContent(Entity {
                headers: whole.headers.iter().map(Field::header).collect(),
                body: whole.bytes.content(),
            }),
            Self::SetSender(sender) => Edit::SetSender(sender.new_address()),
            Self::AddRecipient(recipient) => Edit::AddRecipient(recipient.new_address()),
            Self::RemoveRecipient(recipient) => Edit::RemoveRecipient(recipient.clone()),
            Self::SetClient(client) => Edit::SetClient(NewClient {
                address: client.address.clone(),
                port: client.port,
                hostname: client.hostname.clone(),
                helo: client.helo.clone(),
            }),
        }
    }
}

impl Field {
    fn header(&self) -> NewHeader {
        NewHeader { name: self.name.clone(), value: self.value.clone() }
    }
}

impl PartOf {
    fn new_part(&self) -> NewPart {
        NewPart {
            media_type: self.media_type.clone(),
            file_name: self.file_name.clone(),
            disposition: self.disposition.clone(),
            content_id: self.content_id.clone(),
            content: self.bytes.content(),
        }
    }
}

impl Text {
    fn annotation(&self) -> Annotation {
        Annotation { plain: self.plain.clone(), html: self.html.clone() }
    }
}

impl Address {
    fn new_address(&self) -> NewAddress {
        NewAddress { address: self.address.clone(), arguments: self.arguments.clone() }
    }
}

impl Bytes {
    fn content(&self) -> Content {
        let once = if self.bytes.is_empty() { self.content.as_bytes() } else { &self.bytes };
        if !self.blob && self.entity.is_none() {
            return Content::Inline(once.repeat(self.repeat));
        }
        let blob = output::create();
        if let Some(part) = self.entity {
            output::append_entity(blob, part);
        }
        for _ in 0..self.repeat {
            output::append(blob, once);
        }
        Content::Blob(blob)
    }
}

wasmilter_sdk::plugin!(Guest);
