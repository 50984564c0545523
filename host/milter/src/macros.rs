//! The MTA's macros, and how long each lives.
//!
//! A set of macros (`D`) comes before the command that it is for and replaces the set of that stage. A command ends the
//! sets of the stages after it: what was said at MAIL is gone at the next HELO. The newest value of a name wins. Sets
//! for CONNECT and HELO live through all transactions of the session.

use bytes::Bytes;

/// Stages in the order in which they follow each other.
const STAGES: usize = 7;
const MAIL: usize = 2;

fn stage(command: u8) -> Option<usize> {
    match command {
        b'C' => Some(0),
        b'H' => Some(1),
        b'M' => Some(MAIL),
        b'R' => Some(3),
        b'T' => Some(4),
        // Postfix sends sets for every field and every chunk.
        b'L' | b'N' => Some(5),
        b'B' | b'E' => Some(6),
        // `U` belongs to no stage.
        _ => None,
    }
}

/// All macros that are known now.
#[derive(Debug, Default)]
pub(crate) struct Macros([Vec<(Bytes, Bytes)>; STAGES]);

impl Macros {
    /// Takes the set for a command.
    pub(crate) fn define(&mut self, command: u8, macros: Vec<(Bytes, Bytes)>) {
        if let Some(set) = stage(command).and_then(|stage| self.0.get_mut(stage)) {
            *set = macros;
        }
    }

    /// A command has come: sets of later stages have ended.
    pub(crate) fn reached(&mut self, command: u8) {
        if let Some(stage) = stage(command) {
            self.end_from(stage.saturating_add(1));
        }
    }

    /// The transaction has ended; what is known of the session stays.
    pub(crate) fn end_transaction(&mut self) {
        self.end_from(MAIL);
    }

    fn end_from(&mut self, stage: usize) {
        self.0.iter_mut().skip(stage).for_each(Vec::clear);
    }

    /// The newest value of a macro, named without braces; None also when it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let newest = self.0.iter().rev().flatten().find(|(defined, _)| bare(defined) == name.as_bytes());
        newest.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).filter(|value| !value.is_empty())
    }
}

/// `{i}` and `i` are the same.
fn bare(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(macros: &mut Macros, command: u8, pairs: &[(&'static str, &'static str)]) {
        macros.define(command, pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
    }

    #[test]
    fn names_with_and_without_braces_are_the_same() {
        let mut macros = Macros::default();
        set(&mut macros, b'M', &[("i", "4ABC"), ("{client_addr}", "192.0.2.1"), ("{mail_addr}", "")]);
        assert_eq!(macros.get("i").as_deref(), Some("4ABC"));
        assert_eq!(macros.get("client_addr").as_deref(), Some("192.0.2.1"));
        assert_eq!(macros.get("mail_addr"), None, "an empty value is none");
        set(&mut macros, b'M', &[("{i}", "4DEF")]);
        assert_eq!(macros.get("i").as_deref(), Some("4DEF"));
    }

    #[test]
    fn session_macros_outlive_transactions() {
        let mut macros = Macros::default();
        set(&mut macros, b'C', &[("j", "mx.example")]);
        set(&mut macros, b'H', &[("{tls_version}", "TLSv1.3")]);
        for _ in 0..2 {
            macros.reached(b'H');
            set(&mut macros, b'M', &[("i", "4ABC")]);
            macros.reached(b'M');
            set(&mut macros, b'L', &[("i", "4ABC")]);
            macros.end_transaction();
            assert_eq!(macros.get("i"), None);
            assert_eq!(macros.get("j").as_deref(), Some("mx.example"));
            assert_eq!(macros.get("tls_version").as_deref(), Some("TLSv1.3"));
        }
        // STARTTLS undone by a second connection's HELO without macros: an empty set replaces.
        set(&mut macros, b'H', &[]);
        assert_eq!(macros.get("tls_version"), None);
    }

    #[test]
    fn recipients_macros_are_replaced_by_the_next_recipients() {
        let mut macros = Macros::default();
        set(&mut macros, b'R', &[("{rcpt_addr}", "a@x"), ("i", "4ABC")]);
        set(&mut macros, b'R', &[("{rcpt_addr}", "b@x")]);
        assert_eq!(macros.get("rcpt_addr").as_deref(), Some("b@x"));
        assert_eq!(macros.get("i"), None);
        set(&mut macros, b'U', &[("i", "no stage")]);
        assert_eq!(macros.get("i"), None);
    }
}
