//! Going through text quickly: most of it is ASCII for long stretches, which need no decoding.

/// A piece of text, as [`stretches`] gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch<'t> {
    /// Characters of ASCII, one or more: one byte each.
    Ascii(&'t str),
    /// One character that is none of ASCII.
    Other(char),
}

/// The text in pieces, in order, so that ASCII can be treated as bytes.
pub fn stretches(text: &str) -> impl Iterator<Item = Stretch<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (ascii, other) = rest.split_at_checked(ascii_length(rest.as_bytes()))?;
        if !ascii.is_empty() {
            rest = other;
            return Some(Stretch::Ascii(ascii));
        }
        let mut others = other.chars();
        let character = others.next()?;
        rest = others.as_str();
        Some(Stretch::Other(character))
    })
}

/// How many bytes of ASCII it begins with.
fn ascii_length(bytes: &[u8]) -> usize {
    /// Looked at at once.
    const MANY: usize = 64;
    let many: usize = bytes.chunks_exact(MANY).take_while(|chunk| chunk.is_ascii()).map(<[u8]>::len).sum();
    let rest = bytes.get(many..).unwrap_or_default();
    many.saturating_add(rest.iter().take_while(|byte| byte.is_ascii()).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_comes_in_one_piece_and_the_rest_by_character() {
        let all: Vec<Stretch<'_>> = stretches("ab\u{e4}\u{4e2d}c").collect();
        assert_eq!(
            all,
            [Stretch::Ascii("ab"), Stretch::Other('\u{e4}'), Stretch::Other('\u{4e2d}'), Stretch::Ascii("c")]
        );
        assert_eq!(stretches("").count(), 0);
    }

    #[test]
    fn nothing_is_lost_wherever_the_other_characters_are() {
        for at in 0..200 {
            let text = format!("{}\u{e9}{}", "x".repeat(at), "y".repeat(200 - at));
            let whole: String = stretches(&text)
                .flat_map(|stretch| match stretch {
                    Stretch::Ascii(ascii) => {
                        assert!(ascii.is_ascii() && !ascii.is_empty());
                        ascii.chars().collect::<Vec<char>>()
                    }
                    Stretch::Other(character) => vec![character],
                })
                .collect();
            assert_eq!(whole, text);
        }
    }
}
