//! Reading the from-clause of a Received field (RFC 5321 §4.4): which address did the host that wrote it see?
//!
//! ```text
//! from HELO (NAME [ADDRESS]) by …             Postfix, Sendmail, Gmail, Haraka
//! from HELO (USER@NAME [ADDRESS] (may be forged)) by …      Sendmail
//! from NAME ([ADDRESS]:PORT helo=HELO) by …   Exim
//! from [ADDRESS] (helo=HELO) by …             Exim, CommuniGate
//! from NAME (HELO HELO) (ADDRESS) by …        qmail
//! from HELO (ADDRESS) by HOST (ADDRESS) …     Exchange
//! from HELO [ADDRESS] by …                    fetchmail, IMail
//! ```
//!
//! The client chooses what it says at HELO, and not every server cleans that. So this is no search for something that
//! looks like an address: a line must have one of these shapes as a whole and name one address only. Whatever could be
//! read in two ways is [`Line::Unclear`].

use std::net::IpAddr;

/// What a Received field says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The message came from this client.
    From(Peer),
    /// A note of qmail above the field that has the client.
    Note,
    /// The message was made or handed over on the host itself.
    Local,
    /// Not understood, or ambiguous.
    Unclear,
}

/// The client of a hop, as the host saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// 0: not told.
    pub(crate) port: u16,
    /// Name that the host found by DNS; empty when it found none, doubted it, or does not say how it got it.
    pub(crate) hostname: String,
    /// What the client said at HELO; empty when not told.
    pub(crate) helo: String,
}

/// Reads the value of a Received field.
pub(crate) fn read(value: &[u8]) -> Line {
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    if let Some(note) = text.strip_prefix("(qmail ") {
        // The rest of the line is qmail's alone: nothing of the client is in it.
        return if note.contains(" invoked from network)") { Line::Note } else { Line::Local };
    }
    let Some((from, rest)) = text.split_once(char::is_whitespace) else { return Line::Unclear };
    if from.eq_ignore_ascii_case("by") || from.starts_with('(') {
        return Line::Local;
    }
    if !from.eq_ignore_ascii_case("from") {
        return Line::Unclear;
    }
    match Clause::split(rest) {
        Some(clause) => clause.peer().map_or(Line::Unclear, Line::From),
        None => Line::Unclear,
    }
}

/// A from-clause in pieces.
struct Clause<'l> {
    /// First word: what the client said, or its name.
    name: &'l str,
    /// Further words, usually none.
    words: Vec<&'l str>,
    /// What stood in parentheses.
    comments: Vec<&'l str>,
    /// What follows `by`.
    tail: &'l str,
}

/// A word, or what stood in parentheses.
enum Piece<'l> {
    Word(&'l str),
    Comment(&'l str),
}

impl<'l> Clause<'l> {
    /// None when parentheses do not match, or there is not exactly one `by`: then some of the line came from the client.
    fn split(text: &'l str) -> Option<Self> {
        let text = text.trim_start();
        let (name, mut rest) = text.split_once(char::is_whitespace)?;
        let mut clause = Self { name, words: Vec::new(), comments: Vec::new(), tail: "" };
        let mut by = 0_u32;
        while let Some((piece, after)) = next_piece(rest)? {
            match piece {
                Piece::Word(word) if word.eq_ignore_ascii_case("by") => {
                    by = by.saturating_add(1);
                    clause.tail = after;
                }
                Piece::Word(word) if by == 0 => clause.words.push(word),
                Piece::Comment(comment) if by == 0 => clause.comments.push(comment),
                _ => {}
            }
            rest = after;
        }
        (by == 1).then_some(clause)
    }

    /// The one address that the clause names as the client's.
    fn peer(&self) -> Option<Peer> {
        let mut found: Option<Peer> = None;
        let mut said = None;
        for comment in &self.comments {
            let tokens: Vec<&str> = comment.split_whitespace().collect();
            if let Some(helo) = helo_comment(&tokens) {
                said = said.or(Some(helo));
            } else if let Some(peer) = self.peer_comment(&tokens) {
                if found.is_some() {
                    return None;
                }
                found = Some(peer);
            } else if tokens.iter().any(|token| looks_like_address(token)) {
                return None;
            }
        }
        match (self.words.as_slice(), found) {
            ([], Some(mut peer)) => {
                if let Some(helo) = said {
                    // With HELO told apart, the first word is the server's: it must not contradict.
                    if literal(self.name).is_some_and(|(address, _)| address != peer.address) {
                        return None;
                    }
                    peer.helo = clean(helo);
                }
                Some(peer)
            }
            ([], None) => self.peer_named_by_address(said),
            ([word], None) if self.comments.is_empty() => {
                let (address, port) = literal(word)?;
                Some(Peer { address, port, hostname: String::new(), helo: clean(self.name) })
            }
            _ => None,
        }
    }

    /// `(NAME [ADDRESS])`, `([ADDRESS] helo=HELO)`, `(ADDRESS)`.
    fn peer_comment(&self, tokens: &[&str]) -> Option<Peer> {
        let named = tokens.iter().find_map(|token| token.strip_prefix("helo="));
        match tokens {
            [first, ..] if literal(first).is_some() => {
                let (address, port) = literal(first)?;
                let (hostname, helo) = match named {
                    // Exim puts the name that it found in front.
                    Some(helo) => (self.name, helo),
                    None => ("", self.name),
                };
                Some(Peer { address, port, hostname: hostname_of(hostname), helo: clean(helo) })
            }
            [name, second, rest @ ..] if literal(second).is_some() => {
                let (address, port) = literal(second)?;
                let forged = rest.iter().any(|token| token.trim_end_matches(')').eq_ignore_ascii_case("forged"));
                let name = if forged { "" } else { name };
                Some(Peer { address, port, hostname: hostname_of(name), helo: clean(named.unwrap_or(self.name)) })
            }
            [only] => {
                let only = only.rsplit_once('@').map_or(*only, |(_, host)| host);
                let (address, port) = literal(only).or_else(|| bare_address(only).map(|address| (address, 0)))?;
                Some(Peer { address, port, hostname: String::new(), helo: clean(self.name) })
            }
            _ => None,
        }
    }

    /// `from [ADDRESS] (helo=HELO) by`, where the first word is an address only if it can not be the client's HELO: what
    /// that was is told elsewhere, or the server is Exim, which leaves it out when it is the same.
    fn peer_named_by_address(&self, said: Option<&str>) -> Option<Peer> {
        let (address, port) = literal(self.name)?;
        let exim = self.comments.is_empty() && self.tail.contains("(Exim ");
        let helo = match said {
            Some(helo) => helo,
            None if exim => "",
            None => return None,
        };
        Some(Peer { address, port, hostname: String::new(), helo: clean(helo) })
    }
}

/// The next word or comment and what follows it; the outer option is none when a parenthesis has no counterpart.
#[allow(clippy::option_option, reason = "broken is not the same as finished")]
fn next_piece(text: &str) -> Option<Option<(Piece<'_>, &str)>> {
    let text = text.trim_start();
    if text.is_empty() {
        return Some(None);
    }
    let Some(inside) = text.strip_prefix('(') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, after) = text.split_at(end);
        // A word that has a parenthesis in it is either odd or half of a forged comment; `(Exim` and the like begin with
        // it and are comments. Dates and ids have none.
        return if word.contains(['(', ')']) { None } else { Some(Some((Piece::Word(word), after))) };
    };
    let mut depth = 1_u32;
    for (at, character) in inside.char_indices() {
        match character {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let (comment, after) = inside.split_at(at);
            let after = after.get(1..).unwrap_or("");
            // Servers put a space, or the semicolon, behind it; what is glued to it was told by a client.
            let apart = after.is_empty() || after.starts_with(|next: char| next.is_whitespace() || next == ';');
            return apart.then_some(Some((Piece::Comment(comment), after)));
        }
    }
    None
}

/// What the client said, in a comment that tells just that: `helo=x`, `HELO x`, `port=25 helo=x`, `account u HELO x`.
fn helo_comment<'c>(tokens: &[&'c str]) -> Option<&'c str> {
    let first = tokens.first()?;
    let is_word = |token: &str| token.eq_ignore_ascii_case("HELO") || token.eq_ignore_ascii_case("EHLO");
    if is_word(first) {
        return Some(tokens.get(1).copied().unwrap_or(""));
    }
    if let Some((word, helo)) = first.split_once('=')
        && is_word(word)
    {
        return Some(helo);
    }
    if first.starts_with("port=") {
        return Some(tokens.iter().find_map(|token| token.strip_prefix("helo=")).unwrap_or(""));
    }
    if *first == "account" {
        let at = tokens.iter().position(|token| is_word(token))?;
        return Some(tokens.get(at.saturating_add(1)).copied().unwrap_or(""));
    }
    None
}

/// An address literal (RFC 5321 §4.1.3), with a port as Exim and others write it: `[192.0.2.1]`, `[IPv6:2001:db8::1]`,
/// `[192.0.2.1]:25`, `[192.0.2.1:25]`.
fn literal(token: &str) -> Option<(IpAddr, u16)> {
    let (inside, after) = token.strip_prefix('[')?.split_once(']')?;
    let port = match after {
        "" => 0,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    let inside = match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inside.get(5..)?,
        _ => inside,
    };
    if let Some(address) = bare_address(inside) {
        return Some((address, port));
    }
    let (address, inner_port) = inside.split_once(':')?;
    match (bare_address(address)?, inner_port.parse(), port) {
        (address @ IpAddr::V4(_), Ok(port), 0) => Some((address, port)),
        _ => None,
    }
}

fn bare_address(text: &str) -> Option<IpAddr> {
    // A zone (`fe80::1%eth0`) means nothing to others.
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn looks_like_address(token: &str) -> bool {
    let token = token.trim_matches(|character: char| !character.is_ascii_hexdigit() && character != ':');
    bare_address(token).is_some() || literal(token).is_some()
}

/// A DNS name, or nothing; without the user in front that IDENT told.
fn hostname_of(name: &str) -> String {
    let name = name.rsplit_once('@').map_or(name, |(_, host)| host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !is_name || name.eq_ignore_ascii_case("unknown") || name.len() > 253 || bare_address(name).is_some() {
        return String::new();
    }
    name.to_ascii_lowercase()
}

/// What a client said at HELO, fit for a header field.
fn clean(helo: &str) -> String {
    let helo = helo.trim_matches('"');
    if helo.len() > 253 || !helo.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b';')) {
        return String::new();
    }
    helo.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(line: &str) -> (String, u16, String, String) {
        match read(line.as_bytes()) {
            Line::From(peer) => (peer.address.to_string(), peer.port, peer.hostname, peer.helo),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn expected(address: &str, port: u16, hostname: &str, helo: &str) -> (String, u16, String, String) {
        (address.to_owned(), port, hostname.to_owned(), helo.to_owned())
    }

    #[test]
    fn the_shapes_of_many_servers() {
        let cases = [
            (
                "from mail.a.example (mail.a.example [192.0.2.7])\r\n\tby mx.b.example (Postfix) with ESMTP id 4C; x",
                expected("192.0.2.7", 0, "mail.a.example", "mail.a.example"),
            ),
            (
                "from x (unknown [IPv6:2001:db8::1]) (using TLSv1.2 with cipher AES (256/256 bits)) by mx (Postfix); x",
                expected("2001:db8::1", 0, "", "x"),
            ),
            (
                "from a (bob@host.example [192.0.2.7] (may be forged)) by b (8.12.5/8.12.5) with ESMTP id g; x",
                expected("192.0.2.7", 0, "", "a"),
            ),
            (
                "from a (postfix@host.example [192.0.2.7]) by b (8.12.5/8.12.5) with ESMTP id g; x",
                expected("192.0.2.7", 0, "host.example", "a"),
            ),
            (
                "from host.example ([192.0.2.7] helo=a.example) by b with esmtp (Exim 4.92) id 1; x",
                expected("192.0.2.7", 0, "host.example", "a.example"),
            ),
            (
                "from host.example ([2001:db8::1]:48846 helo=a) by b with esmtps (TLS1.3) (Exim) id 1; x",
                expected("2001:db8::1", 48846, "host.example", "a"),
            ),
            (
                "from [192.0.2.7] (helo=[10.0.0.1]) by b with esmtp (Exim 4.44) id 1; x",
                expected("192.0.2.7", 0, "", "[10.0.0.1]"),
            ),
            (
                "from [192.0.2.7] (port=54224 helo=a) by b with esmtp (Exim 4.93) id 1; x",
                expected("192.0.2.7", 0, "", "a"),
            ),
            ("from [192.0.2.7] by b with esmtp (Exim 4.93) id 1; x", expected("192.0.2.7", 0, "", "")),
            (
                "from [192.0.2.7] (account bob HELO [10.0.0.1]) by b (CommuniGate Pro SMTP 5) with ESMTPA id 1; x",
                expected("192.0.2.7", 0, "", "[10.0.0.1]"),
            ),
            (
                "from unknown (HELO a.example) (192.0.2.7) by b with SMTP; 25 Jun 2005",
                expected("192.0.2.7", 0, "", "a.example"),
            ),
            (
                "from h.example (HELO [10.0.0.1]) ([192.0.2.7]) by b with ESMTP; x",
                expected("192.0.2.7", 0, "", "[10.0.0.1]"),
            ),
            (
                "from A.OUTLOOK.COM (2603:10b6:610:56::24) by B.OUTLOOK.COM (2603:10b6:a03:3e3::15) with Microsoft SMTP Server id 15; x",
                expected("2603:10b6:610:56::24", 0, "", "A.OUTLOOK.COM"),
            ),
            (
                "from [10.0.0.1] ([192.0.2.7]) by smtp.gmail.com with ESMTPSA id x; x",
                expected("192.0.2.7", 0, "", "[10.0.0.1]"),
            ),
            (
                "from c.example (h.example. [192.0.2.7]) by smtp-relay.gmail.com with ESMTPS id x; x",
                expected("192.0.2.7", 0, "h.example", "c.example"),
            ),
            (
                "from jalapeno [127.0.0.1] by localhost with IMAP (fetchmail-5.9.0) for z@localhost; x",
                expected("127.0.0.1", 0, "", "jalapeno"),
            ),
            (
                "from h.example ([192.0.2.7]:46356 \"EHLO h.example\" rhost-flags-OK-OK-OK-OK) by v with ESMTP id S; x",
                expected("192.0.2.7", 46356, "", "h.example"),
            ),
            (
                "from [192.0.2.80] ([192.0.2.80:63298] helo=[10.88.49.28]) by i (envelope-from <a@b>) with ESMTP; x",
                expected("192.0.2.80", 63298, "", "[10.88.49.28]"),
            ),
            ("from x (x [::ffff:192.0.2.7]) by b (Postfix); x", expected("192.0.2.7", 0, "x", "x")),
        ];
        for (line, wanted) in cases {
            assert_eq!(peer(line), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_unclear_is_not_guessed() {
        for line in [
            "from relay.example by host with Microsoft SMTPSVC; x",
            // The first word may be what the client said.
            "from [192.0.2.7] by host with SMTP; x",
            "from a (b [192.0.2.7]) (c [192.0.2.8]) by d; x",
            "from a [192.0.2.7] (c [192.0.2.8]) by d; x",
            "from a [192.0.2.7] [192.0.2.8] by d; x",
            "from a (b [192.0.2.7]) (weird: 192.0.2.8) by d; x",
            "from a (192.0.2.7) by b (real [192.0.2.8]) by d; x",
            "from a (192.0.2.7) by b ( (real [192.0.2.8]) by d; x",
            "from a (b [192.0.2.7]; x",
            "from [203.0.113.9] (helo=)([192.0.2.66]) by r with esmtp (Exim 4.92) id 1; x",
            "from [203.0.113.9] (helo=) ([192.0.2.66]) by r with esmtp (Exim 4.92) id 1; x",
            "from a (b [192.0.2.700]) by c; x",
            "from mail pickup service by host with Microsoft SMTPSVC; x",
            "from",
            "",
            "nonsense",
        ] {
            assert_eq!(read(line.as_bytes()), Line::Unclear, "{line}");
        }
    }

    #[test]
    fn mail_of_the_host_itself() {
        assert_eq!(read(b"by mail.example (Postfix, from userid 1002) id 6; x"), Line::Local);
        assert_eq!(read(b"(from bob@localhost) by a (8.12.5/8.12.5/Submit) id g; x"), Line::Local);
        assert_eq!(read(b"(qmail 3435 invoked by uid 0); 7 Apr 2005"), Line::Local);
        assert_eq!(read(b"(qmail 56380 invoked from network); 25 Jun 2005"), Line::Note);
    }
}
