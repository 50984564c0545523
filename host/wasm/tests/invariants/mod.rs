//! What holds for every component and every decision, however broken: the host answers in time with a plugin, a decision or a typed
//! error. Shared by the seeded tests here (`../arbitrary.rs`) and by the fuzz targets (`../../fuzz`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
#![allow(dead_code, reason = "every user needs only some of it")]

#[path = "../../../message/tests/invariants/mod.rs"]
pub(crate) mod messages;

use messages::{ALL, Choices, check_reading, check_tree, only_named_changes};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use wasmilter_message::{
    apply::{ApplyError, apply},
    body::InMemory,
    deadline::Deadline,
    decision::{Decision, Edit, NewPart},
    failure::{Cause, Failure},
    grants::Grants,
    message::{ParsedMessage, ReceivedMessage},
    policy::Policy,
};
use wasmilter_wasm::{
    Isolation, Limits, LoadError, Outside, Plugin, PrepareError, Sandbox, SandboxSettings, StageSettings,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the guest puts what it reads, and so where its answer is.
const BASE: u32 = 65_536;

/// Answers with the bytes of the message's body, whatever they are: a decision as it lies in memory.
const GUEST: &str = r#"(module
  (import "wasmilter:policy/raw@1.0.0" "read" (func $read (param i32 i32 i32)))
  (memory (export "memory") 3)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "wasmilter:policy/lifecycle@1.0.0#describe") (result i32) i32.const 8192)
  (func (export "wasmilter:policy/lifecycle@1.0.0#configure") (param i32 i32) (result i32) i32.const 8192)
  (func (export "wasmilter:policy/message-policy@1.0.0#decide") (result i32)
    ;; The header is empty: two bytes.
    (call $read (i32.const 2) (i32.const 65536) (i32.const 8))
    (i32.const 65536)))"#;

const WORLD: &str = "package test:guest; world guest { import wasmilter:policy/raw@1.0.0; \
    export wasmilter:policy/lifecycle@1.0.0; export wasmilter:policy/message-policy@1.0.0; }";

/// The guest as a component.
pub(crate) fn guest() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let wit = folder.ancestors().map(|folder| folder.join("wit")).find(|wit| wit.join("package.wit").exists());
        let mut resolve = Resolve::default();
        resolve.push_dir(wit.expect("wit/ in the repository")).unwrap();
        let package = resolve.push_str("guest.wit", WORLD).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(GUEST).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    })
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        Sandbox::new(&SandboxSettings { slots: 4, memory_max: 16 << 20, ..SandboxSettings::default() }).unwrap()
    })
}

fn settings() -> StageSettings {
    StageSettings {
        stage: "arbitrary".into(),
        config: "{}".to_owned(),
        grants: Grants { raw: true, ..Grants::default() },
        limits: Limits { memory: 16 << 20, cpu: Duration::from_millis(200), ..Limits::default() },
        isolation: Isolation::Message,
    }
}

fn ask(plugin: &Plugin, body: Vec<u8>) -> Result<Decision, Failure> {
    let message = ParsedMessage::new(ReceivedMessage { body: body.into(), ..ReceivedMessage::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(plugin.decide(Arc::new(message), Deadline::after(Duration::from_secs(5)))).outcome
}

/// Loads what `bytes` make of a good component, or the bytes themselves; true when it was a plugin that answered.
pub(crate) fn fuzz_component(bytes: &[u8]) -> bool {
    let mut choices = Choices(bytes);
    let component = match choices.byte() % 4 {
        0 => bytes.to_vec(),
        1 => [&guest()[..8], bytes].concat(),
        _ => {
            let mut damaged = guest().to_vec();
            for _ in 0..=choices.below(3) {
                let at = (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % damaged.len();
                damaged[at] = choices.byte();
            }
            damaged
        }
    };
    let start = Instant::now();
    let answered = load_and_ask(&component);
    assert!(start.elapsed() < Duration::from_secs(120), "took {:?}", start.elapsed());
    answered
}

fn load_and_ask(bytes: &[u8]) -> bool {
    let component = match sandbox().load_bytes("arbitrary", bytes) {
        Ok(component) => component,
        Err(LoadError::Invalid { reason, .. }) => {
            assert!(!reason.contains("panicked"), "{reason}");
            return false;
        }
        Err(_) => return false,
    };
    match sandbox().prepare(&component, settings(), &Outside::nothing()) {
        Ok(plugin) => ask(&plugin, vec![0; 64]).is_ok(),
        Err(PrepareError::Link(reason)) => {
            assert!(!reason.contains("panicked"), "{reason}");
            false
        }
        Err(_) => false,
    }
}

/// Has a guest answer with what `bytes` say: a list of edits, good or bad, as a tool chain would lay it out; the same with some bytes
/// damaged; or any bytes at all. True when the decision was taken and its edits applied.
pub(crate) fn fuzz_decision(bytes: &[u8]) -> bool {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    let plugin = PLUGIN.get_or_init(|| {
        let component = sandbox().load_bytes("guest", guest()).unwrap();
        sandbox().prepare(&component, settings(), &Outside::nothing()).unwrap()
    });
    let mut choices = Choices(bytes);
    let kind = choices.byte() % 4;
    let message = a_message();
    let count = choices.below(5);
    let edits: Vec<Edit> = (0..count).map(|_| choices.edit(message.tree().parts().len())).collect();
    let mut image = if kind == 0 { bytes.to_vec() } else { Image::decision(&edits) };
    if kind == 1 {
        for _ in 0..=choices.below(4) {
            let at = (usize::from(choices.byte()) << 8 | usize::from(choices.byte())) % image.len();
            image[at] = choices.byte();
        }
    }
    image.resize(image.len().max(64), 0);
    let decision = match ask(plugin, image) {
        Ok(decision) => decision,
        Err(failure) => {
            let expected = [Cause::Refused, Cause::Limit, Cause::Trap, Cause::Memory, Cause::Failed, Cause::Service];
            assert!(expected.contains(&failure.cause), "{failure}");
            assert!(kind < 2, "a well-formed decision became {failure}");
            assert!(failure.detail.len() < 400 && !failure.detail.contains('\n'), "{failure}");
            return false;
        }
    };
    if kind >= 2 {
        assert_eq!(decision.edits, edits, "a decision arrived as another");
    }
    match apply(&message, &decision.edits, ALL, &InMemory) {
        Ok(edited) => {
            if kind >= 2 {
                only_named_changes(&message, &edited, &edits);
            }
            check_tree(&edited);
            check_reading(&edited);
            true
        }
        Err(ApplyError::Refused { .. }) => false,
        Err(ApplyError::Store(error)) => panic!("{error}"),
    }
}

fn a_message() -> ParsedMessage {
    messages::message(
        b"From: a@example.org\nSubject: hello\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
          --b\nContent-Type: text/plain\n\nhello\n--b\nContent-Type: text/html\n\n<p>hello</p>\n--b\n\
          Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\nx\n--b--\n",
    )
}

/// Memory of the guest from `BASE` on, laid out by the component model's canonical ABI for wit/ 1.0: records in order, each field
/// aligned; a list or string is a pointer and a length.
struct Image(Vec<u8>);

impl Image {
    /// `result<decision, failure>`: ok, the verdict `next`, the edits, no facts.
    fn decision(edits: &[Edit]) -> Vec<u8> {
        let mut image = Self(vec![0; 48]);
        let list = image.room(edits.len() * EDIT);
        // Result 4, verdict 24.
        image.list(28, list, edits.len());
        for (number, edit) in edits.iter().enumerate() {
            image.edit(list + number * EDIT, edit);
        }
        image.0
    }

    fn edit(&mut self, at: usize, edit: &Edit) {
        let (case, body) = match edit {
            Edit::AddHeader(field) => (0, vec![Word::Text(&field.name), Word::Text(&field.value)]),
            Edit::InsertHeader(field) => (1, vec![Word::Text(&field.name), Word::Text(&field.value)]),
            Edit::ReplaceHeader { name, occurrence, value } => {
                (2, vec![Word::Text(name), Word::Number(*occurrence), Word::Text(value)])
            }
            Edit::RemoveHeader { name, occurrence } => (3, vec![Word::Text(name), Word::Number(*occurrence)]),
            Edit::SetSubject(text) => (4, vec![Word::Text(text)]),
            Edit::ReplacePart { part, with } => {
                (5, std::iter::once(Word::Number(*part)).chain(new_part(with)).collect())
            }
            Edit::RemovePart(part) => (6, vec![Word::Number(*part)]),
            Edit::AddPart(part) => (7, new_part(part).to_vec()),
            Edit::AppendText(text) => (8, vec![Word::Text(&text.plain), Word::Text(&text.html)]),
            Edit::PrependText(text) => (9, vec![Word::Text(&text.plain), Word::Text(&text.html)]),
            Edit::SetSender(new) => (11, vec![Word::Text(&new.address), Word::Number(0), Word::Number(0)]),
            Edit::AddRecipient(new) => (12, vec![Word::Text(&new.address), Word::Number(0), Word::Number(0)]),
            Edit::RemoveRecipient(address) => (13, vec![Word::Text(address)]),
            Edit::ReplaceContent { .. } | Edit::SetClient(_) => panic!("not among the choices"),
        };
        self.number(at, case);
        let mut at = at + 4;
        for word in body {
            match word {
                Word::Number(number) => {
                    self.number(at, number);
                    at += 4;
                }
                Word::Text(text) => {
                    self.bytes(at, text.as_bytes());
                    at += 8;
                }
                Word::Bytes(bytes) => {
                    self.bytes(at, bytes);
                    at += 8;
                }
            }
        }
    }

    fn room(&mut self, bytes: usize) -> usize {
        let at = self.0.len().next_multiple_of(8);
        self.0.resize(at + bytes, 0);
        at
    }

    fn number(&mut self, at: usize, number: u32) {
        self.0[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    fn list(&mut self, at: usize, content: usize, length: usize) {
        self.number(at, BASE + u32::try_from(content).unwrap());
        self.number(at + 4, u32::try_from(length).unwrap());
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        let content = self.room(bytes.len());
        self.0[content..content + bytes.len()].copy_from_slice(bytes);
        self.list(at, content, bytes.len());
    }
}

/// Bytes of an edit: its case, and the largest that it can carry (`replace-part`).
const EDIT: usize = 52;

#[derive(Clone, Copy)]
enum Word<'a> {
    Number(u32),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn new_part(part: &NewPart) -> [Word<'_>; 6] {
    [
        Word::Text(&part.media_type),
        Word::Text(&part.file_name),
        Word::Text(&part.disposition),
        Word::Text(&part.content_id),
        // Content: inline.
        Word::Number(0),
        Word::Bytes(&part.content),
    ]
}
