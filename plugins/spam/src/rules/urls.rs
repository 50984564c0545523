//! Addresses of web pages in a text, as far as rules need them.

/// Most that are looked at; a message with more says nothing new.
const MOST: usize = 300;

/// A URL: host and what follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// In lower case, without user, port and `www.`.
    pub(crate) host: String,
    /// Whether something stands before the host: `http://bank.example@203.0.113.1/`.
    pub(crate) user: bool,
}

/// All URLs of `http` and `https` in a text, whatever it is written in.
pub(crate) fn urls(text: &str) -> Vec<Url> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest.as_bytes(), b"://") {
        let (before, behind) = rest.split_at(at);
        let behind = behind.get(3..).unwrap_or_default();
        rest = behind;
        let tail = before.get(before.len().saturating_sub(5)..).unwrap_or_default().to_ascii_lowercase();
        if !(tail.ends_with("http") || tail.ends_with("https")) {
            continue;
        }
        let end = behind.find(|c: char| c.is_whitespace() || "/?#\"'<>()\\,".contains(c)).unwrap_or(behind.len());
        let authority = behind.get(..end).unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((_, host)) => (true, host),
            None => (false, authority),
        };
        let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
        let host = host.trim_end_matches('.').to_lowercase();
        if !host.is_empty() {
            found.push(Url { host: host.strip_prefix("www.").unwrap_or(&host).to_owned(), user });
        }
        if found.len() >= MOST {
            break;
        }
    }
    found
}

impl Url {
    /// Whether the host is a number and not a name.
    pub(crate) fn is_numeric(&self) -> bool {
        self.host.parse::<std::net::Ipv4Addr>().is_ok()
            || self.host.starts_with('[')
            || (self.host.len() > 6 && self.host.bytes().all(|byte| byte.is_ascii_digit()))
            || self.host.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// The part of a host name under which somebody registered: the last two labels, three below `co.uk` and the like.
pub(crate) fn registered(host: &str) -> &str {
    let dots: Vec<usize> = host.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at).collect();
    let labels_from = |count: usize| {
        let at = dots.len().checked_sub(count).and_then(|index| dots.get(index));
        at.and_then(|at| host.get(at.saturating_add(1)..)).unwrap_or(host)
    };
    let two = labels_from(2);
    let second = two.split('.').next().unwrap_or_default();
    if matches!(second, "co" | "com" | "net" | "org" | "ac" | "gov" | "edu" | "gob") { labels_from(3) } else { two }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_found_in_text_and_html() {
        let found =
            urls("see HTTP://www.Example.org/x and <a href=\"https://bank.example@203.0.113.1:80/\">ftp://x.org");
        assert_eq!(found.iter().map(|url| url.host.as_str()).collect::<Vec<_>>(), ["example.org", "203.0.113.1"]);
        assert!(found[1].user && found[1].is_numeric() && !found[0].is_numeric());
        assert!(urls("é://x http://").is_empty());
    }

    #[test]
    fn registered_names() {
        assert_eq!(registered("a.b.example.org"), "example.org");
        assert_eq!(registered("a.example.co.uk"), "example.co.uk");
        assert_eq!(registered("org"), "org");
    }
}
