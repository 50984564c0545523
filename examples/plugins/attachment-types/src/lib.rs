//! Blocks attachments by what they really are, whatever their names and headers say. See README.md for the configuration.
//!
//! `decide` tells the whole life; `kind` knows what content is, by its first bytes; `rules` says what is not wanted; `archive` looks
//! one level into zip files.

mod archive;
mod kind;
mod rules;

use kind::Kind;
use rules::{Rules, Written};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io::Read;
use wasmilter_sdk::{
    Decision, Failure, Info, Message, MessagePolicy, NewPart, Part, PartEdits, PartKind, PartRole,
    Plugin, Problems, Rejection,
};

/// The plugin, configured.
pub struct AttachmentTypes {
    rules: Rules,
    archives: bool,
    largest_archive: u32,
    action: Action,
    reply: String,
    note: String,
}

/// `[stage.config]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is blocked: a group (program, script, archive, document, image, audio, video, font, book, text, unknown), a media type
    /// (`application/pdf`, `image/*`) or the ending of a name (`.js`). Groups and media types go by the content, endings by the name.
    #[serde(default)]
    deny: Vec<Written>,
    /// When there are any, everything else is blocked.
    #[serde(default)]
    allow: Vec<Written>,
    /// Whether an attachment is blocked when its name or its declared type says something else than its content.
    #[serde(default = "yes")]
    mismatch: bool,
    /// Whether the members of zip files are looked at, too; one level deep.
    #[serde(default = "yes")]
    archives: bool,
    /// Zip files above this size in bytes are not opened; nor are damaged ones. They are blocked by `unreadable`.
    #[serde(default = "largest_archive")]
    #[schemars(range(min = 1, max = 50_000_000))]
    largest_archive: u32,
    /// Whether zip files that can not be opened are blocked.
    #[serde(default)]
    unreadable: bool,
    /// What happens then.
    #[serde(default)]
    #[schemars(extend("default" = "reject"))]
    action: Action,
    /// Text of a rejection; {file} and {why} are filled in.
    #[serde(default = "reply")]
    #[schemars(length(min = 1, max = 300))]
    reply: String,
    /// Text in the place of what is removed; {file} and {why} are filled in.
    #[serde(default = "note")]
    #[schemars(length(min = 1, max = 4000))]
    note: String,
}

/// What happens to a message with a blocked attachment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// It is refused.
    #[default]
    Reject,
    /// It is held back.
    Quarantine,
    /// A note stands where the attachment was; the rest is delivered. Breaks the signature of a signed message.
    Remove,
}

fn yes() -> bool {
    true
}

fn largest_archive() -> u32 {
    10_000_000
}

fn reply() -> String {
    "attachment {file} is not accepted: {why}".to_owned()
}

fn note() -> String {
    "An attachment of this message was removed.\n\nFile: {file}\nReason: {why}\n".to_owned()
}

/// An attachment that is not wanted.
struct Blocked<'m> {
    part: Part<'m>,
    file: String,
    why: String,
}

impl Plugin for AttachmentTypes {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("attachments", "text")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        if config.deny.is_empty() && config.allow.is_empty() && !config.mismatch {
            problems.add(
                "",
                "blocks nothing: deny, allow or mismatch must say something",
            );
        }
        if !(1..=50_000_000).contains(&config.largest_archive) {
            problems.add(
                "/largest_archive",
                format!("must be from 1 to 50000000, is {}", config.largest_archive),
            );
        }
        if config.reply.is_empty() || config.reply.len() > 300 {
            problems.add(
                "/reply",
                format!("must have 1 to 300 bytes, has {}", config.reply.len()),
            );
        }
        if config.note.is_empty() || config.note.len() > 4000 {
            problems.add(
                "/note",
                format!("must have 1 to 4000 bytes, has {}", config.note.len()),
            );
        }
        let rules = Rules::new(
            &config.deny,
            &config.allow,
            config.mismatch,
            config.unreadable,
            &mut problems,
        );
        problems.or_else_ok(|| Self {
            rules,
            archives: config.archives,
            largest_archive: config.largest_archive,
            action: config.action,
            reply: config.reply,
            note: config.note,
        })
    }
}

impl MessagePolicy for AttachmentTypes {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let attachments = message.parts().into_iter().filter(is_attachment);
        let blocked: Vec<Blocked<'_>> = attachments.filter_map(|part| self.judge(part)).collect();
        let Some(first) = blocked.first() else {
            return Ok(Decision::next().with_fact("blocked", false));
        };

        let fill = |text: &str, blocked: &Blocked<'_>| {
            text.replace("{file}", &blocked.file)
                .replace("{why}", &blocked.why)
        };
        let decision = match self.action {
            // 5.7.1: delivery not authorised, message refused (RFC 3463 §3.8).
            Action::Reject => {
                Decision::reject(Rejection::new(&fill(&self.reply, first)).with_enhanced(7, 1))
            }
            Action::Quarantine => {
                Decision::quarantine(&format!("attachment {}: {}", first.file, first.why))
            }
            Action::Remove => Decision::next().with_content(blocked.iter().fold(
                PartEdits::new(),
                |edits, blocked| {
                    edits.replace(
                        &blocked.part,
                        NewPart::text(fill(&self.note, blocked))
                            .with_file_name("removed.txt")
                            .inline(),
                    )
                },
            )),
        };
        let (files, reasons): (Vec<_>, Vec<_>) = blocked
            .into_iter()
            .map(|blocked| (blocked.file, blocked.why))
            .unzip();
        Ok(decision
            .with_fact("blocked", true)
            .with_fact("files", files)
            .with_fact("reasons", reasons))
    }
}

/// Whatever is not the text that people read. A text part with a file name is an attachment, too.
fn is_attachment(part: &Part<'_>) -> bool {
    part.kind == PartKind::Leaf
        && part.encoded_size > 0
        && (part.role != PartRole::Body || !part.file_name.is_empty())
}

impl AttachmentTypes {
    fn judge<'m>(&self, part: Part<'m>) -> Option<Blocked<'m>> {
        let kind = Kind::of(&part.start(kind::ENOUGH));
        let name = if part.file_name.is_empty() {
            "without a name"
        } else {
            &part.file_name
        };
        let (file, why) = match self.rules.judge(&part.file_name, &part.media_type, &kind) {
            Some(why) => (name.to_owned(), why),
            None if self.archives && kind.is_zip() => {
                let (member, why) = self.look_inside(&part)?;
                (
                    if member.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{member} in {name}")
                    },
                    why,
                )
            }
            None => return None,
        };
        Some(Blocked {
            part,
            file: printable(&file),
            why,
        })
    }

    /// The first member that is not wanted, with the reason. No member: the archive itself, because it can not be opened.
    fn look_inside(&self, part: &Part<'_>) -> Option<(String, String)> {
        let mut bytes = Vec::new();
        let limit = u64::from(self.largest_archive);
        let read = part
            .reader()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes);
        if read.is_err() || u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return self
                .rules
                .unreadable("is too large to look into")
                .map(|why| (String::new(), why));
        }
        match archive::members(&bytes) {
            Ok(members) => members.into_iter().find_map(|member| {
                Some((
                    member.name.clone(),
                    self.rules.judge(&member.name, "", &member.kind)?,
                ))
            }),
            Err(what) => self.rules.unreadable(what).map(|why| (String::new(), why)),
        }
    }
}

/// A name for replies and notes.
fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .take(120)
        .collect()
}

wasmilter_sdk::plugin!(AttachmentTypes: message);

#[cfg(test)]
mod tests;
