//! What content is, by its first bytes.

use infer::MatcherType;

/// So many bytes tell: the directories of office documents begin within them.
pub(crate) const ENOUGH: u32 = 16_384;

/// A large family of kinds, as rules name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Program,
    Script,
    Archive,
    Document,
    Image,
    Audio,
    Video,
    Font,
    Book,
    /// Letters, as far as it was looked at.
    Text,
    /// Bytes that say nothing.
    Unknown,
}

impl Group {
    pub(crate) const ALL: [(Self, &'static str); 11] = [
        (Self::Program, "program"),
        (Self::Script, "script"),
        (Self::Archive, "archive"),
        (Self::Document, "document"),
        (Self::Image, "image"),
        (Self::Audio, "audio"),
        (Self::Video, "video"),
        (Self::Font, "font"),
        (Self::Book, "book"),
        (Self::Text, "text"),
        (Self::Unknown, "unknown"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(group, _)| *group == self)
            .map_or("", |(_, name)| name)
    }
}

/// What content really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: Group,
    /// `text/plain` and `application/octet-stream` for what has no mark of its own.
    pub(crate) media_type: &'static str,
    /// Usual ending of its names, without the dot; empty for text and unknown bytes.
    pub(crate) ending: &'static str,
}

impl Kind {
    /// Of the first bytes of the content.
    pub(crate) fn of(start: &[u8]) -> Self {
        if start.starts_with(b"#!") {
            return Self {
                group: Group::Script,
                media_type: "text/x-script",
                ending: "",
            };
        }
        if let Some(found) = infer::get(start) {
            let group = match found.matcher_type() {
                MatcherType::App => Group::Program,
                MatcherType::Archive => Group::Archive,
                MatcherType::Audio => Group::Audio,
                MatcherType::Book => Group::Book,
                MatcherType::Doc => Group::Document,
                MatcherType::Font => Group::Font,
                MatcherType::Image => Group::Image,
                MatcherType::Video => Group::Video,
                MatcherType::Text if found.extension() == "sh" => Group::Script,
                MatcherType::Text => Group::Text,
                MatcherType::Custom => Group::Unknown,
            };
            // PDF and PostScript are among the archives there.
            let group = if matches!(found.extension(), "pdf" | "ps" | "rtf") {
                Group::Document
            } else {
                group
            };
            return Self {
                group,
                media_type: found.mime_type(),
                ending: found.extension(),
            };
        }
        if is_text(start) {
            Self {
                group: Group::Text,
                media_type: "text/plain",
                ending: "",
            }
        } else {
            Self {
                group: Group::Unknown,
                media_type: "application/octet-stream",
                ending: "",
            }
        }
    }

    /// Whether it is a zip file by its first bytes, whatever else it is: office documents are.
    pub(crate) fn is_zip(&self) -> bool {
        self.ending == "zip" || ZIP_BASED.contains(&self.ending)
    }

    /// Whether a name with this ending (lower case) may have this content. An ending that nobody knows may have any.
    pub(crate) fn fits(&self, ending: &str) -> bool {
        let ending = usual(ending);
        if !infer::is_supported(ending) || matches!(ending, "html" | "xml") {
            return true;
        }
        let real = usual(self.ending);
        real == ending
            // Written with its directory in another order than usual, an office document looks like any zip file.
            || (real == "zip" && ZIP_BASED.contains(&ending))
            || (OLE_BASED.contains(&real) && OLE_BASED.contains(&ending))
            || (PROGRAMS.contains(&real) && PROGRAMS.contains(&ending))
            || (MPEG_4.contains(&real) && MPEG_4.contains(&ending))
    }
}

const ZIP_BASED: [&str; 9] = [
    "docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "apk", "jar",
];
const OLE_BASED: [&str; 6] = ["doc", "xls", "ppt", "msi", "msg", "ole"];
const PROGRAMS: [&str; 4] = ["exe", "dll", "sys", "com"];
const MPEG_4: [&str; 5] = ["mp4", "m4v", "m4a", "mov", "3gp"];

/// One ending for those that mean the same.
fn usual(ending: &str) -> &str {
    match ending {
        "jpeg" | "jpe" => "jpg",
        "tiff" => "tif",
        "htm" => "html",
        "midi" => "mid",
        "mpeg" => "mpg",
        "aif" => "aiff",
        "tgz" => "gz",
        other => other,
    }
}

/// No NUL and no control characters but white space; letters of any charset.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|&byte| {
        byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
    })
}
