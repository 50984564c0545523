//! What a scan found, whichever engine did it.

/// What a scan found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Name of the engine.
    pub(crate) engine: &'static str,
    /// In order of appearance.
    pub(crate) finds: Vec<Find>,
    /// Something could not be read because it is encrypted.
    pub(crate) encrypted: bool,
    /// A limit that kept something from being scanned, in words.
    pub(crate) limit: Option<String>,
    /// An archive is damaged or packed in a way that is not known.
    pub(crate) unreadable: bool,
    /// Things that were scanned: parts and members of archives; with clamd, the message.
    pub(crate) scanned: u32,
    /// Lines of signature files that the embedded engine does not support.
    pub(crate) skipped_signatures: u32,
}

/// A virus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Find {
    /// Name of the virus.
    pub(crate) virus: String,
    /// Where: none when the engine does not tell.
    pub(crate) part: Option<InfectedPart>,
}

/// The part of the message that has the virus in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InfectedPart {
    /// Id of the part.
    pub(crate) id: u32,
    /// Its file name, which may be empty, followed by the names of archive members: `a.zip/b.exe`.
    pub(crate) path: String,
}
