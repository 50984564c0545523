//! Where in an HTML document text can be put before or after all that is shown.
//!
//! Not a parser: a scan over the tags that knows comments, quoted attribute values and the elements whose content is
//! no markup. It needs bytes that contain US-ASCII as such.

use std::ops::ControlFlow;

/// Elements whose content is text up to their end tag.
const RAW_TEXT: [&[u8]; 8] = [b"script", b"style", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes"];

/// The place behind `<body …>`; without one behind `</head>`, `<html …>` or the document type; otherwise the start.
pub(super) fn start(html: &[u8]) -> usize {
    let mut found = 0;
    tags(html, |tag| {
        match tag.name {
            name if name.eq_ignore_ascii_case(b"body") && !tag.closing => {
                found = tag.end;
                return ControlFlow::Break(());
            }
            name if name.eq_ignore_ascii_case(b"head") && tag.closing => found = tag.end,
            name if name.eq_ignore_ascii_case(b"html") && !tag.closing && found == 0 => found = tag.end,
            name if name.eq_ignore_ascii_case(b"!doctype") && found == 0 => found = tag.end,
            _ => {}
        }
        ControlFlow::Continue(())
    });
    found
}

/// The place before the last `</body>`; without one before the last `</html>`; otherwise the end.
pub(super) fn end(html: &[u8]) -> usize {
    let (mut body, mut document) = (None, None);
    tags(html, |tag| {
        if tag.closing && tag.name.eq_ignore_ascii_case(b"body") {
            body = Some(tag.start);
        } else if tag.closing && tag.name.eq_ignore_ascii_case(b"html") {
            document = Some(tag.start);
        }
        ControlFlow::Continue(())
    });
    body.or(document).unwrap_or(html.len())
}

struct Tag<'a> {
    start: usize,
    end: usize,
    closing: bool,
    name: &'a [u8],
}

/// Visits all tags outside comments and raw text, from the top.
fn tags<'a>(html: &'a [u8], mut visit: impl FnMut(Tag<'a>) -> ControlFlow<()>) {
    let mut at = 0;
    while let Some(found) = html.get(at..).and_then(|rest| memchr::memchr(b'<', rest)) {
        let start = at.saturating_add(found);
        let rest = html.get(start..).unwrap_or_default();
        if rest.starts_with(b"<!--") {
            // "<!-->" is a whole comment.
            let inside = start.saturating_add(2);
            let Some(close) = html.get(inside..).and_then(|rest| memchr::memmem::find(rest, b"-->")) else { return };
            at = inside.saturating_add(close).saturating_add(3);
            continue;
        }
        let closing = rest.starts_with(b"</");
        let name_start = start.saturating_add(if closing { 2 } else { 1 });
        let name = html.get(name_start..).unwrap_or_default();
        let length = name.iter().take(16).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'!').count();
        let name = name.get(..length).unwrap_or_default();
        if !name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'!') {
            at = name_start;
            continue;
        }
        let Some(end) = tag_end(html, name_start.saturating_add(length)) else { return };
        if visit(Tag { start, end, closing, name }).is_break() {
            return;
        }
        at = end;
        if !closing && RAW_TEXT.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
            match closing_tag(html, end, name) {
                Some(close) => at = close,
                None => return,
            }
        }
    }
}

/// The place behind the `>` of a tag, quoted attribute values passed over.
fn tag_end(html: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at.checked_add(memchr::memchr3(b'>', b'"', b'\'', html.get(at..)?)?)?;
        let next = found.checked_add(1)?;
        match html.get(found)? {
            b'>' => return Some(next),
            quote => at = next.checked_add(memchr::memchr(*quote, html.get(next..)?)?)?.checked_add(1)?,
        }
    }
}

/// The place of `</name`.
fn closing_tag(html: &[u8], from: usize, name: &[u8]) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at.checked_add(memchr::memmem::find(html.get(at..)?, b"</")?)?;
        let after = found.checked_add(2)?;
        if html.get(after..after.checked_add(name.len())?)?.eq_ignore_ascii_case(name) {
            return Some(found);
        }
        at = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(html: &str) -> String {
        let (start, end) = (start(html.as_bytes()), end(html.as_bytes()));
        let (html, shown) = (html.split_at(start).0, html.split_at(start).1.split_at(end - start));
        format!("{html}^{}${}", shown.0, shown.1)
    }

    #[test]
    fn documents_of_all_sorts() {
        for (html, expected) in [
            ("<p>x", "^<p>x$"),
            ("<html><body class='a>b'>x</body></html>", "<html><body class='a>b'>^x$</body></html>"),
            ("<HTML><BODY>x</BODY\n></HTML>", "<HTML><BODY>^x$</BODY\n></HTML>"),
            ("<html><head></head>x</html>", "<html><head></head>^x$</html>"),
            ("<!DOCTYPE html><p>x", "<!DOCTYPE html>^<p>x$"),
            ("<body>x<!-- </body> --></body>", "<body>^x<!-- </body> -->$</body>"),
            ("<body><script>'</body>'</script>x</body>", "<body>^<script>'</body>'</script>x$</body>"),
            ("<body>a</body><body>b</body>", "<body>^a</body><body>b$</body>"),
            ("<body>1 < 2 <3</body>", "<body>^1 < 2 <3$</body>"),
            ("<!--><body>x</body>", "<!--><body>^x$</body>"),
            ("", "^$"),
            ("<", "^<$"),
        ] {
            assert_eq!(annotated(html), expected);
        }
    }

    #[test]
    fn a_quote_without_end_hides_no_more_than_itself() {
        assert_eq!(annotated("<body>x<a title=\"</body>"), "<body>^x<a title=\"</body>$");
    }
}
