//! What is wrong with a configuration, and how people and programs are told.

use super::source::{Located, Source, Spot};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;
use std::ops::Range;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The configuration file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Full key, such as `stage[2].config.thresholds.reject`; stages count from 0. Empty: the file as a whole.
    pub key: String,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Bytes of the file.
    #[serde(skip)]
    span: Range<usize>,
}

/// All mistakes of a configuration, in the order of the file.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    file: Source,
    list: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl Diagnostics {
    /// No mistakes in `file` so far.
    #[must_use]
    pub fn none(file: Source) -> Self {
        Self { file, list: Vec::new() }
    }

    /// Adds a mistake.
    pub fn add(&mut self, at: &Spot, message: impl Into<String>, help: Option<String>) {
        let (line, column) = self.file.line_column(at.span.start);
        let diagnostic = Diagnostic {
            file: self.file.path().display().to_string(),
            line,
            column,
            key: at.key.clone(),
            message: message.into(),
            help,
            span: at.span.clone(),
        };
        // The same mistake seen by two checks is one mistake.
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
            self.list.sort_by_key(|d| (d.span.start, d.span.end));
        }
    }

    /// Adds a mistake at byte `offset` of a string, or about the whole of it.
    pub(crate) fn add_inside(
        &mut self,
        string: &Located<String>,
        offset: Option<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let inside = |offset| self.file.inside_string(&string.at.span, &string.value, offset);
        let start = offset.map_or(string.at.span.start, inside);
        let at = Spot { key: string.at.key.clone(), span: start..string.at.span.end.max(start) };
        self.add(&at, message, help);
    }

    /// The mistakes, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, in words.
    #[must_use]
    pub fn count(&self) -> String {
        let mistakes = if self.list.len() == 1 { "mistake" } else { "mistakes" };
        format!("{}: {} {mistakes}", self.file.path().display(), self.list.len())
    }

    /// For people: each mistake with the lines it is about. `colour`: with ANSI colours, for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.render_as(Level::ERROR, colour)
    }

    /// The same for what is worth a look and no mistake.
    #[must_use]
    pub fn render_warnings(&self, colour: bool) -> String {
        self.render_as(Level::WARNING, colour)
    }

    fn render_as(&self, level: Level<'static>, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for mistake in &self.list {
            text.push_str(&self.render_one(mistake, level.clone(), &renderer));
            text.push_str("\n\n");
        }
        text
    }

    fn render_one(&self, mistake: &Diagnostic, level: Level<'static>, renderer: &Renderer) -> String {
        let title = match mistake.key.as_str() {
            "" => mistake.message.clone(),
            key => format!("{key}: {}", mistake.message),
        };
        let snippet = Snippet::source(self.file.text())
            .path(mistake.file.as_str())
            .annotation(AnnotationKind::Primary.span(self.visible(&mistake.span)));
        let group = level.primary_title(title).element(snippet);
        let group = match &mistake.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        };
        renderer.render(&[group])
    }

    /// The span cut to the text, to whole characters, and to its first line: what follows adds nothing.
    fn visible(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.file.text();
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start = start.saturating_sub(1);
        }
        let mut end = span.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1).max(start);
        }
        let first_line = text.get(start..end).and_then(|s| s.split_once(['\r', '\n'])).map(|(line, _)| line.len());
        start..first_line.map_or(end, |length| start.saturating_add(length))
    }
}
