//! What is not wanted.

use crate::kind::{Group, Kind};
use schemars::JsonSchema;
use serde::Deserialize;
use wasmilter_sdk::Problems;

/// A rule as written: `program`, `application/pdf`, `image/*`, `.js`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Written(#[schemars(length(min = 2))] String);

/// All rules.
pub(crate) struct Rules {
    deny: Vec<Rule>,
    allow: Vec<Rule>,
    mismatch: bool,
    unreadable: bool,
}

enum Rule {
    Group(Group),
    MediaType(String),
    /// `image/`
    Top(String),
    /// Without the dot.
    Ending(String),
}

impl Rules {
    pub(crate) fn new(
        deny: &[Written],
        allow: &[Written],
        mismatch: bool,
        unreadable: bool,
        problems: &mut Problems,
    ) -> Self {
        let mut all = |place: &str, written: &[Written]| -> Vec<Rule> {
            let rules = written.iter().enumerate();
            rules
                .filter_map(|(at, rule)| {
                    problems.take(&format!("/{place}/{at}"), Rule::parse(&rule.0))
                })
                .collect()
        };
        Self {
            deny: all("deny", deny),
            allow: all("allow", allow),
            mismatch,
            unreadable,
        }
    }

    /// Why a file is not wanted. `declared` is its media type in the message; empty when there is none.
    pub(crate) fn judge(&self, name: &str, declared: &str, kind: &Kind) -> Option<String> {
        // Windows leaves dots and spaces at the end out.
        let name = name.trim_end_matches(['.', ' ']).to_lowercase();
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if let Some(rule) = self.deny.iter().find(|rule| rule.holds(ending, kind)) {
            return Some(rule.reason(kind));
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|rule| rule.holds(ending, kind)) {
            return Some(format!(
                "it is of the kind {} ({}), which is not among those allowed",
                kind.group.name(),
                kind.media_type
            ));
        }
        if self.mismatch && !kind.fits(ending) {
            return Some(format!(
                "its name ends in .{ending}, but it is {}",
                kind.media_type
            ));
        }
        if self.mismatch && !is_declared_well(declared, kind) {
            return Some(format!(
                "it is declared as {declared}, but is {}",
                kind.media_type
            ));
        }
        None
    }

    /// Why an archive is not wanted that can not be looked into; none when it is let through.
    pub(crate) fn unreadable(&self, what: &str) -> Option<String> {
        self.unreadable.then(|| format!("it {what}"))
    }
}

/// Declared types are often `application/octet-stream`; what matters is that nothing is shown as what it is not.
fn is_declared_well(declared: &str, kind: &Kind) -> bool {
    let harmless = [Group::Text, Group::Unknown];
    match declared.split('/').next().unwrap_or_default() {
        "image" => kind.group == Group::Image || harmless.contains(&kind.group),
        "audio" | "video" => [Group::Audio, Group::Video, Group::Unknown].contains(&kind.group),
        "font" => kind.group == Group::Font || kind.group == Group::Unknown,
        "text" => {
            harmless.contains(&kind.group) || kind.group == Group::Script || kind.ending == "rtf"
        }
        _ => declared != "application/pdf" || kind.ending == "pdf",
    }
}

impl Rule {
    fn parse(written: &str) -> Result<Self, String> {
        let rule = written.to_ascii_lowercase();
        if let Some((group, _)) = Group::ALL.iter().find(|(_, name)| *name == rule) {
            return Ok(Self::Group(*group));
        }
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'/')
        };
        if let Some(ending) = rule
            .strip_prefix('.')
            .filter(|ending| is_word(ending) && !ending.contains('.'))
        {
            return Ok(Self::Ending(ending.to_owned()));
        }
        match rule.split_once('/') {
            Some((top, "*")) if is_word(top) => Ok(Self::Top(format!("{top}/"))),
            Some((top, sub)) if is_word(top) && is_word(sub) => Ok(Self::MediaType(rule)),
            _ => {
                let groups = Group::ALL.map(|(_, name)| name).join(", ");
                Err(format!(
                    "must be a media type, an ending such as \".js\" or one of {groups}, is {written:?}"
                ))
            }
        }
    }

    fn holds(&self, ending: &str, kind: &Kind) -> bool {
        match self {
            Self::Group(group) => kind.group == *group,
            Self::MediaType(media_type) => kind.media_type == media_type,
            Self::Top(top) => kind.media_type.starts_with(top.as_str()),
            Self::Ending(denied) => ending == denied,
        }
    }

    fn reason(&self, kind: &Kind) -> String {
        match self {
            Self::Group(group) => {
                format!("it is of the kind {} ({})", group.name(), kind.media_type)
            }
            Self::MediaType(_) | Self::Top(_) => format!("it is {}", kind.media_type),
            Self::Ending(ending) => format!("its name ends in .{ending}"),
        }
    }
}
