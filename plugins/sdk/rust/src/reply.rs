//! What the SMTP client is told.

use crate::{Reply, invalid::Invalid};

/// Lines of a reply and bytes of each that the host passes on.
const MOST_LINES: usize = 10;
const LONGEST_LINE: usize = 450;

/// The answer of a rejection: a code of 500 to 599, an enhanced status code (RFC 3463) and a text. What is not set is the
/// host's default, `550 5.7.1`. A text is enough: `"no".into()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection(Answer);

/// The answer of a temporary failure: a code of 400 to 499, an enhanced status code (RFC 3463) and a text. What is not set is
/// the host's default, `451 4.7.1`. A text is enough: `"later".into()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferral(Answer);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Answer {
    code: u16,
    enhanced: String,
    text: String,
}

macro_rules! answer {
    ($name:ident, $class:literal) => {
        impl $name {
            /// A text, lines separated by LF. What SMTP does not allow (other control characters, what is not US-ASCII) becomes
            /// `?`; lines are cut at 450 bytes, after 10 lines the rest is left out. Empty: the host's default.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(Answer { text: lines(text), ..Answer::default() })
            }

            /// Sets the code.
            ///
            /// # Errors
            /// When it is of another class.
            pub fn with_code(mut self, code: u16) -> Result<Self, Invalid> {
                if code / 100 != $class {
                    return Err(Invalid::new(format!("must be from {0}00 to {0}99, is {code}", $class)));
                }
                self.0.code = code;
                Ok(self)
            }

            /// Sets subject and detail of the enhanced status code, at most 999 each; its class is that of the answer.
            #[must_use]
            pub fn with_enhanced(mut self, subject: u16, detail: u16) -> Self {
                self.0.enhanced = format!("{}.{}.{}", $class, subject.min(999), detail.min(999));
                self
            }

            pub(crate) fn into_contract(self) -> Reply {
                Reply { code: u32::from(self.0.code), enhanced: self.0.enhanced, text: self.0.text }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(&text)
            }
        }
    };
}

answer!(Rejection, 5);
answer!(Deferral, 4);

fn lines(text: &str) -> String {
    let line = |line: &str| -> String {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(LONGEST_LINE).collect()
    };
    text.split('\n').take(MOST_LINES).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stays_in_its_class() {
        assert!(Rejection::new("no").with_code(554).is_ok() && Rejection::new("no").with_code(450).is_err());
        assert!(Deferral::new("no").with_code(450).is_ok() && Deferral::new("no").with_code(250).is_err());
        let reply = Rejection::new("a\r\nb\0é").with_enhanced(7, 26).into_contract();
        assert_eq!((reply.code, reply.enhanced.as_str(), reply.text.as_str()), (0, "5.7.26", "a\nb??"));
        assert_eq!(Deferral::new("x").with_enhanced(5000, 1).into_contract().enhanced, "4.999.1");
    }
}
