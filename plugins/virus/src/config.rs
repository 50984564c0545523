//! The configuration. Documented for administrators in `README.md` and in the schema, which is made of this.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use wasmilter_sdk::{FileContent, HeaderName, Problems};

/// `[stage.config]` as written.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Service that speaks clamd's protocol; without it the embedded engine scans.
    #[schemars(length(min = 1))]
    pub service: Option<String>,
    /// Files that are viruses by their SHA-256.
    pub hashes: Vec<KnownHash>,
    /// Files of signatures in ClamAV's formats.
    pub signatures: OneOrMany,
    /// What happens to infected mail.
    #[schemars(extend("default" = "reject"))]
    pub on_virus: OnVirus,
    /// What happens when something is encrypted and nothing was found.
    #[schemars(extend("default" = "pass"))]
    pub on_encrypted: Option<Strictness>,
    /// What happens when a limit was passed and nothing was found.
    #[schemars(extend("default" = "quarantine"))]
    pub on_limit: Option<Strictness>,
    /// What happens when an archive is damaged or of unknown make, and nothing was found.
    #[schemars(extend("default" = "pass"))]
    pub on_unreadable: Option<Strictness>,
    /// Whether, and in which header field, clean mail is marked.
    #[schemars(extend("default" = false))]
    pub stamp: Stamp,
    /// SMTP reply of a rejection; `{virus}` is the name.
    #[schemars(extend("default" = "message contains a virus: {virus}"))]
    pub reply: Option<String>,
    /// Text in the place of an infected part; `{virus}` and `{file}`.
    pub notice: Option<String>,
    /// How far the embedded engine goes.
    pub limits: Limits,
}

/// One known bad file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownHash {
    /// 64 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: String,
    /// Name of the virus.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// `{ file = … }` or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// A single file.
    One(FileContent),
    /// Any number.
    Many(Vec<FileContent>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The files with their places in the configuration.
    pub(crate) fn files(&self) -> Vec<(String, &FileContent)> {
        match self {
            Self::One(file) => vec![("/signatures".to_owned(), file)],
            Self::Many(files) => {
                files.iter().enumerate().map(|(index, file)| (format!("/signatures/{index}"), file)).collect()
            }
        }
    }
}

/// What happens to infected mail.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum OnVirus {
    /// 550.
    #[default]
    Reject,
    /// Answer 250, deliver to nobody.
    Discard,
    /// Hold back.
    Quarantine,
    /// A notice in the place of the infected part; the rest is delivered.
    Replace,
}

/// What happens to mail that could not be scanned as a whole; later ones are stricter.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// Deliver.
    Pass,
    /// 451.
    Tempfail,
    /// Hold back.
    Quarantine,
    /// 550.
    Reject,
}

/// `true`, `false` or the name of a header field.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Stamp {
    /// In the usual field, or not at all.
    Usual(bool),
    /// In this field.
    Named(String),
}

impl Default for Stamp {
    fn default() -> Self {
        Self::Usual(false)
    }
}

/// How far the embedded engine goes. Sizes are bytes after decoding and unpacking.
#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Archives in archives.
    #[schemars(range(max = 32), extend("default" = 8))]
    pub depth: u32,
    /// Things to scan in a message: parts and members.
    #[schemars(range(min = 1), extend("default" = 2000))]
    pub files: u32,
    /// The largest single thing.
    #[serde(deserialize_with = "size")]
    #[schemars(schema_with = "size_schema", extend("default" = "20MB"))]
    pub file_size: u64,
    /// All things of a message together.
    #[serde(deserialize_with = "size")]
    #[schemars(schema_with = "size_schema", extend("default" = "100MB"))]
    pub total_size: u64,
    /// How many times larger a member may be than its packed form, once it is larger than 1 MB.
    #[schemars(range(min = 1), extend("default" = 250))]
    pub ratio: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 8, files: 2000, file_size: 20_000_000, total_size: 100_000_000, ratio: 250 }
    }
}

/// The configuration, checked, defaults filled in.
pub(crate) struct Settings {
    pub(crate) service: Option<String>,
    pub(crate) on_virus: OnVirus,
    pub(crate) on_encrypted: Strictness,
    pub(crate) on_limit: Strictness,
    pub(crate) on_unreadable: Strictness,
    pub(crate) stamp: Option<HeaderName>,
    pub(crate) reply: String,
    pub(crate) notice: String,
    pub(crate) limits: Limits,
}

impl Settings {
    pub(crate) fn check(config: Config, problems: &mut Problems) -> Self {
        if config.service.as_deref() == Some("") {
            problems.add("/service", "must name a service of [services], is empty");
        }
        if config.service.is_some() && !(config.hashes.is_empty() && config.signatures.files().is_empty()) {
            problems.add("/service", "goes with neither hashes nor signatures: clamd has its own");
        }
        let stamp = match config.stamp {
            Stamp::Usual(false) => None,
            Stamp::Usual(true) => Some(HeaderName::from_static("X-Virus-Scanned")),
            Stamp::Named(name) => problems.take("/stamp", HeaderName::new(name)),
        };
        if let Some(reply) = config.reply.as_deref().filter(|reply| !is_reply_text(reply)) {
            problems.add("/reply", format!("must be printable US-ASCII of at most 400 characters, is {reply:?}"));
        }
        let at_least_one = [
            ("/limits/files", u64::from(config.limits.files)),
            ("/limits/file_size", config.limits.file_size),
            ("/limits/total_size", config.limits.total_size),
            ("/limits/ratio", u64::from(config.limits.ratio)),
        ];
        for (path, _) in at_least_one.iter().filter(|(_, value)| *value == 0) {
            problems.add(*path, "must be above 0, is 0");
        }
        if config.limits.depth > 32 {
            problems.add("/limits/depth", format!("must be at most 32, is {}", config.limits.depth));
        }
        Self {
            service: config.service,
            on_virus: config.on_virus,
            on_encrypted: config.on_encrypted.unwrap_or(Strictness::Pass),
            on_limit: config.on_limit.unwrap_or(Strictness::Quarantine),
            on_unreadable: config.on_unreadable.unwrap_or(Strictness::Pass),
            stamp,
            reply: config.reply.unwrap_or_else(|| "message contains a virus: {virus}".to_owned()),
            notice: config.notice.unwrap_or_else(|| {
                "A part of this message was removed because it contains a virus.\n\nVirus: {virus}\nFile: {file}\n"
                    .to_owned()
            }),
            limits: config.limits,
        }
    }

    /// Whether it must be known which part is infected.
    pub(crate) fn replaces(&self) -> bool {
        self.on_virus == OnVirus::Replace
    }
}

fn is_reply_text(text: &str) -> bool {
    (1..=400).contains(&text.len()) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// Bytes as a number, or with a unit: `"20MB"`, `"16MiB"`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        WithUnit(String),
    }
    match Written::deserialize(deserializer).map_err(|_| de::Error::custom(NOT_A_SIZE))? {
        Written::Bytes(bytes) => Ok(bytes),
        Written::WithUnit(text) => {
            parse_size(&text).ok_or_else(|| de::Error::custom(format!("{NOT_A_SIZE}, is {text:?}")))
        }
    }
}

fn size_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+ *(B|[kKMG]B|[KMG]iB)?$" })
}

const NOT_A_SIZE: &str = "must be a size such as 20000000, \"20MB\" or \"16MiB\"";

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
