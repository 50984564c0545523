//! Adds a text to what people read: a disclaimer at the end, a warning at the start. See README.md for the
//! configuration.
//!
//! `decide` tells the whole life; `template` is the text with its variables; `presence` notices that a message carries
//! the text already. Charsets and transfer encodings are the host's business: the edits `append-text` and
//! `prepend-text`.

mod presence;
mod template;

use crate::{
    presence::{Marker, Words},
    template::{Template, Values},
};
use schemars::JsonSchema;
use serde::Deserialize;
use wasmilter_sdk::{
    Annotation, Decision, Failure, Info, Message, MessagePolicy, NewPart, Part, PartEdits, PartRole, Plugin, Problems,
    TextOrFile,
};

/// How much of the readable parts is searched for the text, in bytes of UTF-8, all parts together.
const SEARCHED: u32 = 4 << 20;
/// The longest text. The host takes four times as much, which leaves room for the variables.
const LONGEST: usize = 64 << 10;

/// Letters and digits that a text must have to be looked for: shorter ones occur by chance.
const FEWEST_LETTERS: usize = 20;

/// The plugin, configured.
pub struct Disclaimer {
    plain: Template,
    html: Template,
    position: Position,
    separator: String,
    /// The text to look for when it should be there only once.
    once: Option<Words>,
    marker: Option<Marker>,
    signed: Signed,
}

/// `[stage.config]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For the text/plain parts. Variables: {sender}, {sender_domain}, {from_name}, {date}.
    text: TextOrFile,
    /// For the text/html parts, a fragment; without it, made of `text`.
    html: Option<TextOrFile>,
    /// Where the text goes.
    #[serde(default)]
    #[schemars(extend("default" = "end"))]
    position: Position,
    /// Line between the message and the text.
    #[serde(default)]
    separator: String,
    /// Leave a message alone that already carries the text, its own or quoted. Without: if the text can be told from
    /// others.
    once: Option<bool>,
    /// Name of a header field that marks the message; must start with X-.
    header: Option<String>,
    /// What happens to signed messages.
    #[serde(default)]
    #[schemars(extend("default" = "skip"))]
    signed: Signed,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Position {
    #[default]
    End,
    Start,
}

/// What happens to signed messages, whose signature a changed text would break.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Signed {
    /// They stay as they are.
    #[default]
    Skip,
    /// They get the text as a file beside the signed content, which stays as it is.
    Attach,
}

impl Plugin for Disclaimer {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("envelope", "headers", "text", "attachments")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let text = problems.take("/text", read(&config.text)).unwrap_or_default();
        let html = match config.html {
            Some(html) => {
                let html = read(&html).and_then(fragment).and_then(|html| Template::parse(&html));
                problems.take("/html", html)
            }
            // What is wrong with the text is told at the text.
            None => Template::parse(&template::escape_html(&text).replace('\n', "<br>\n")).ok(),
        };

        let plain = if problems.mentions("/text") { None } else { problems.take("/text", Template::parse(&text)) };
        let words = plain.as_ref().map(Words::of).unwrap_or_default();
        if plain.is_some() && words.is_empty() {
            problems.add("/text", "must contain at least one letter or digit outside its variables");
        }
        if plain.is_some() && config.once == Some(true) && words.len() < FEWEST_LETTERS {
            let message = format!(
                "needs a text of at least {FEWEST_LETTERS} letters and digits outside its variables, has {}",
                words.len()
            );
            problems.add("/once", message);
        }
        if config.separator.contains(['\r', '\n']) {
            problems.add("/separator", "must be one line");
        }
        let marker = config.header.and_then(|name| problems.take("/header", Marker::new(name, &text)));
        let (Some(plain), Some(html), true) = (plain, html, problems.is_empty()) else { return Err(problems) };
        Ok(Self {
            plain,
            html,
            position: config.position,
            separator: config.separator,
            once: (config.once != Some(false) && words.len() >= FEWEST_LETTERS).then_some(words),
            marker,
            signed: config.signed,
        })
    }
}

impl MessagePolicy for Disclaimer {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let parts = message.parts();
        let edit = match self.place(message, &parts) {
            Ok(edit) => edit,
            Err(reason) => return Ok(Decision::next().with_fact("added", false).with_fact("skipped", reason)),
        };
        let decision = Decision::next().with_content(edit).with_fact("added", true);
        Ok(match &self.marker {
            Some(marker) => decision.add_header(marker.name.clone(), marker.value.as_str()),
            None => decision,
        })
    }
}

impl Disclaimer {
    /// The edit that fits the message, or why there is none.
    fn place(&self, message: &Message, parts: &[Part<'_>]) -> Result<PartEdits, &'static str> {
        let root = parts.first().ok_or("no-text")?;
        if self.marker.as_ref().is_some_and(|marker| marker.is_on(&message.header_text(marker.name.as_str()))) {
            return Err("present");
        }
        match root.role {
            PartRole::Encrypted => return Err("encrypted"),
            PartRole::Signed if self.signed == Signed::Attach => return Ok(self.attachment(message)),
            PartRole::Signed => return Err("signed"),
            _ => {}
        }
        // Bounces and receipts are for programs first.
        if root.media_type == "multipart/report" {
            return Err("report");
        }
        let readable = readable(parts);
        if readable.is_empty() {
            return Err("no-text");
        }
        if readable.iter().any(|(_, text)| presence::is_inline_pgp(text)) {
            return Err("signed");
        }
        if self.once.as_ref().is_some_and(|words| readable.iter().any(|(html, text)| words.are_in(text, *html))) {
            return Err("present");
        }
        self.annotation(message).ok_or("too-long")
    }

    fn annotation(&self, message: &Message) -> Option<PartEdits> {
        let values = Values::of(message);
        let plain = self.plain.render(&values);
        let html = self.html.render(&values.escaped());
        let text = match (self.position, self.separator.as_str()) {
            (Position::End, "") => (format!("\n{plain}\n"), format!("<div>{html}</div>\n")),
            (Position::End, line) => (format!("\n{line}\n{plain}\n"), format!("<hr>\n<div>{html}</div>\n")),
            (Position::Start, "") => (format!("{plain}\n\n"), format!("<div>{html}</div>\n")),
            (Position::Start, line) => (format!("{plain}\n{line}\n\n"), format!("<div>{html}</div>\n<hr>\n")),
        };
        // Variables can make it longer than the host takes.
        let annotation = Annotation::new(text.0, text.1).ok()?;
        Some(match self.position {
            Position::End => PartEdits::new().append_text(annotation),
            Position::Start => PartEdits::new().prepend_text(annotation),
        })
    }

    fn attachment(&self, message: &Message) -> PartEdits {
        let text = self.plain.render(&Values::of(message));
        PartEdits::new().add_part(NewPart::text(format!("{text}\n")).with_file_name("disclaimer.txt"))
    }
}

/// The text with line ends made LF and without empty lines around it.
fn read(text: &TextOrFile) -> Result<String, String> {
    let text = text.text()?.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_start_matches('\u{feff}').trim_matches('\n').trim_end();
    if text.len() > LONGEST {
        return Err(format!("must have at most {LONGEST} bytes, has {}", text.len()));
    }
    if text.contains('\0') {
        return Err("must not contain NUL".to_owned());
    }
    Ok(text.to_owned())
}

/// Checks that `html` is a fragment: it goes into documents that have their own head and body.
fn fragment(html: String) -> Result<String, String> {
    let lower = html.to_ascii_lowercase();
    match ["<html", "<head>", "<body", "<!doctype"].iter().find(|tag| lower.contains(**tag)) {
        Some(tag) => Err(format!("must be a fragment without {tag:?}")),
        None => Ok(html),
    }
}

/// Texts of the parts that people read and that can be annotated, with whether they are HTML.
fn readable(parts: &[Part<'_>]) -> Vec<(bool, String)> {
    let mut left = SEARCHED;
    let mut texts = Vec::new();
    for part in parts.iter().filter(|part| part.role == PartRole::Body) {
        let html = match part.media_type.as_str() {
            "text/plain" => false,
            "text/html" => true,
            // text/calendar and others are for programs.
            _ => continue,
        };
        let text = part.text(left);
        left = left.saturating_sub(u32::try_from(text.len()).unwrap_or(u32::MAX));
        texts.push((html, text));
    }
    texts
}

wasmilter_sdk::plugin!(Disclaimer: message);

#[cfg(test)]
mod tests;
