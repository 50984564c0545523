//! Peers that speak another protocol: a scraper or a browser, a mail client, something that wants TLS. They would get silence and a
//! closed connection, and whoever set them up would have to guess.
//!
//! A milter connection begins with a frame's length (see [`crate::connection`]). The first four bytes of these protocols, read as a
//! length, are all beyond the limit, so ordinary connections are never looked at.

use std::fmt;

/// A protocol that is not the milter protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// A monitoring system that was given the wrong port, most likely.
    Http,
    /// Named as a relay or content filter rather than as a milter.
    Smtp,
    Tls,
    /// A load balancer in between that announces its client (PROXY protocol, both versions).
    Proxy,
}

/// How each begins. HTTP/2 begins with `PRI * HTTP/2.0`; RFC 9110 §9 names the methods.
const BEGINNINGS: [(&[u8], Stranger); 19] = [
    (b"GET ", Stranger::Http),
    (b"HEAD", Stranger::Http),
    (b"POST", Stranger::Http),
    (b"PUT ", Stranger::Http),
    (b"DELE", Stranger::Http),
    (b"OPTI", Stranger::Http),
    (b"PATC", Stranger::Http),
    (b"CONN", Stranger::Http),
    (b"TRAC", Stranger::Http),
    (b"PRI ", Stranger::Http),
    (b"EHLO", Stranger::Smtp),
    (b"HELO", Stranger::Smtp),
    (b"LHLO", Stranger::Smtp),
    (b"XCLI", Stranger::Smtp),
    (b"PROX", Stranger::Proxy),
    (b"\r\n\r\n", Stranger::Proxy),
    // A record of type handshake (22), version 3.x: TLS (RFC 8446 §5.1).
    (b"\x16\x03\x01", Stranger::Tls),
    (b"\x16\x03\x02", Stranger::Tls),
    (b"\x16\x03\x03", Stranger::Tls),
];

impl Stranger {
    /// Who speaks, by the first bytes of a connection.
    pub(crate) fn recognise(beginning: &[u8]) -> Option<Self> {
        let upper: Vec<u8> = beginning.iter().take(4).map(u8::to_ascii_uppercase).collect();
        BEGINNINGS.iter().find(|(bytes, _)| upper.starts_with(bytes)).map(|(_, stranger)| *stranger)
    }

    /// What is answered before the connection is closed, in the peer's own protocol; None where nobody would read it.
    pub(crate) fn answer(self) -> Option<&'static [u8]> {
        match self {
            Self::Http => Some(HTTP_ANSWER),
            // An SMTP client waits for a greeting and would take this for one that refuses it, which is what is meant.
            Self::Smtp => Some(b"554 5.3.2 This is a milter port, for mail servers; it does not speak SMTP\r\n"),
            Self::Tls | Self::Proxy => None,
        }
    }
}

const HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 97\r\n\
    Connection: close\r\n\r\nthis is the milter port, for mail servers; metrics and health are at the address of \
    admin.listen\n";

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "an HTTP request came to the milter port; metrics and health are at admin.listen",
            Self::Smtp => {
                "an SMTP client came to the milter port; name it in smtpd_milters or INPUT_MAIL_FILTER, not as a relay or filter"
            }
            Self::Tls => "a TLS handshake came to the milter port, which does not speak TLS",
            Self::Proxy => "a PROXY header came to the milter port, which does not take it; let the load balancer send none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_recognised_by_four_bytes_and_no_mail_server_is() {
        for (beginning, stranger) in [
            (&b"GET /metrics HTTP/1.1\r\n"[..], Some(Stranger::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(Stranger::Http)),
            (b"ehlo mx.example\r\n", Some(Stranger::Smtp)),
            (b"\x16\x03\x01\x02\x00\x01", Some(Stranger::Tls)),
            (b"\r\n\r\n\0\r\nQUIT\n", Some(Stranger::Proxy)),
            (b"PROXY TCP4 192.0.2.1", Some(Stranger::Proxy)),
            (b"\0\0\0\x0dO", None),
            (b"\x16\x03", None),
            (b"noise", None),
            (b"", None),
        ] {
            assert_eq!(Stranger::recognise(beginning), stranger, "{beginning:?}");
        }
        let frames = BEGINNINGS.iter().filter(|(bytes, _)| bytes.starts_with(&[0]));
        assert_eq!(frames.count(), 0, "lengths of frames begin with 0");
    }

    #[test]
    fn the_http_answer_is_as_long_as_it_says() {
        let answer = std::str::from_utf8(HTTP_ANSWER).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{} {answer}", body.len());
        assert_eq!(body.lines().count(), 1);
    }
}
