//! What the MTA tells, read from its frames.
//!
//! `indymilter` reads all but two: its CONNECT refuses the address as Sendmail writes it for IPv6 (`IPv6:2001:db8::7`),
//! and its macros refuse the empty sets and the stages `L`, `B` and `U` that Postfix sends.

use bytes::{Buf, Bytes};
use indymilter::message::{
    Message,
    command::{Command, OptNegPayload, ParseCommandError},
};
use std::{ffi::CString, net::IpAddr};
use wasmilter_message::{envelope::Mailbox, headers::Field};

/// One command of the MTA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// `O`: the MTA's offer.
    Negotiate(OptNegPayload),
    /// `D`: macros for the command that is named by its byte. There may be none.
    Macros { command: u8, macros: Vec<(Bytes, Bytes)> },
    /// `C`
    Connect(ConnectInfo),
    /// `H`
    Helo(String),
    /// `M`
    Mail(Mailbox),
    /// `R`
    Rcpt(Mailbox),
    /// `T`
    Data,
    /// `L`: a field, its value as it was sent.
    Header(Field),
    /// `N`
    EndOfHeader,
    /// `B`
    Body(Bytes),
    /// `E`, perhaps with a last piece of the body.
    EndOfMessage(Bytes),
    /// `U`: a command that the MTA does not know.
    Unknown,
    /// `A`
    Abort,
    /// `K`: the session ends, the connection stays for another.
    QuitKeepConnection,
    /// `Q`
    Quit,
}

/// Who connected to the MTA, as `C` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnectInfo {
    pub(crate) hostname: String,
    /// None for unix sockets, what the MTA does not know, and what is no address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
}

/// A frame that says nothing sensible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error("command {kind:?}: {error}", kind = char::from(*.kind))]
    Malformed { kind: u8, error: ParseCommandError },
}

impl Event {
    pub(crate) fn parse(frame: Message) -> Result<Self, EventError> {
        let kind = frame.kind;
        let malformed = |error| EventError::Malformed { kind, error };
        match kind {
            b'C' => return ConnectInfo::parse(frame.buffer).map(Self::Connect).map_err(malformed),
            b'D' => return Ok(parse_macros(frame.buffer)),
            _ => {}
        }
        Ok(match Command::parse_command(frame).map_err(malformed)? {
            Command::OptNeg(offer) => Self::Negotiate(offer),
            Command::Helo(helo) => Self::Helo(text(helo.hostname)),
            Command::Mail(mail) => Self::Mail(mailbox(mail.args)),
            Command::Rcpt(rcpt) => Self::Rcpt(mailbox(rcpt.args)),
            Command::Data => Self::Data,
            Command::Header(header) => Self::Header(Field::new(header.name.into_bytes(), header.value.into_bytes())),
            Command::Eoh => Self::EndOfHeader,
            Command::BodyChunk(chunk) => Self::Body(chunk),
            Command::BodyEnd(chunk) => Self::EndOfMessage(chunk),
            Command::Unknown(_) => Self::Unknown,
            Command::Abort => Self::Abort,
            Command::QuitNc => Self::QuitKeepConnection,
            Command::Quit => Self::Quit,
            // Read above.
            Command::ConnInfo(_) | Command::DefMacros(_) => {
                return Err(malformed(ParseCommandError::UnknownCommand(kind)));
            }
        })
    }
}

impl ConnectInfo {
    fn parse(mut data: Bytes) -> Result<Self, ParseCommandError> {
        let hostname = string(&mut data).ok_or(ParseCommandError::NoCStringFound)?;
        let hostname = String::from_utf8_lossy(&hostname).into_owned();
        let family = data.try_get_u8().map_err(|_| ParseCommandError::NoU8Found)?;
        if !matches!(family, b'U' | b'L' | b'4' | b'6') {
            return Err(ParseCommandError::UnknownFamily(family));
        }
        if family == b'U' {
            return Ok(Self { hostname, ..Self::default() });
        }
        let port = data.try_get_u16().map_err(|_| ParseCommandError::NoU16Found)?;
        let address = string(&mut data).ok_or(ParseCommandError::NotNulTerminated)?;
        let address = if family == b'L' { None } else { parse_address(&String::from_utf8_lossy(&address)) };
        Ok(Self { hostname, address, port: Some(port).filter(|port| *port != 0 && address.is_some()) })
    }
}

/// An IP address in the spellings of both MTAs. An IPv4 address inside IPv6 is given as the IPv4 address that it is.
pub(crate) fn parse_address(written: &str) -> Option<IpAddr> {
    let bare = match written.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ipv6:") => rest,
        _ => written,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Macros come in pairs; what is odd at the end is dropped, as libmilter does.
fn parse_macros(mut data: Bytes) -> Event {
    let command = data.try_get_u8().unwrap_or_default();
    let mut macros = Vec::new();
    while let Some(name) = string(&mut data)
        && let Some(value) = string(&mut data)
    {
        macros.push((name, value));
    }
    Event::Macros { command, macros }
}

/// Takes a string that ends in NUL.
fn string(data: &mut Bytes) -> Option<Bytes> {
    let end = data.iter().position(|byte| *byte == 0)?;
    let string = data.split_to(end);
    data.advance(1);
    Some(string)
}

fn mailbox(args: Vec<CString>) -> Mailbox {
    let mut args = args.into_iter().map(text);
    Mailbox { raw: args.next().unwrap_or_default(), arguments: args.collect() }
}

/// What is no UTF-8 becomes U+FFFD; [`crate::reply`] refuses to send such an address back.
fn text(string: CString) -> String {
    string.into_string().unwrap_or_else(|error| error.into_cstring().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: u8, data: &'static [u8]) -> Result<Event, EventError> {
        Event::parse(Message::new(kind, data))
    }

    #[test]
    fn connect_in_every_form() {
        for (data, address, port) in [
            (&b"mx.example\x004\x30\x39192.0.2.1\0"[..], Some("192.0.2.1"), Some(12345)),
            (b"mx.example\x006\x30\x392001:db8::7\0", Some("2001:db8::7"), Some(12345)),
            (b"mx.example\x006\x30\x39IPv6:2001:db8::7\0", Some("2001:db8::7"), Some(12345)),
            (b"mx.example\x006\x30\x39IPv6:::ffff:192.0.2.1\0", Some("192.0.2.1"), Some(12345)),
            (b"localhost\x004\0\x00127.0.0.1\0", Some("127.0.0.1"), None),
            (b"localhost\0U", None, None),
            (b"localhost\0L\0\0/run/x\0", None, None),
            (b"mx.example\x004\x30\x39not an address\0", None, None),
        ] {
            let Event::Connect(info) = parse(b'C', data).unwrap() else { panic!("connect") };
            assert_eq!(info.address.map(|a| a.to_string()).as_deref(), address, "{data:?}");
            assert_eq!(info.port, port, "{data:?}");
        }
    }

    #[test]
    fn macros_without_pairs_are_no_error() {
        for (data, command, count) in [
            (&b"H"[..], b'H', 0),
            (b"U", b'U', 0),
            (b"", 0, 0),
            (b"Mi\x004XYZ\0{mail_addr}\0\0", b'M', 2),
            (b"L\0", b'L', 0),
            (b"Cj\0mx\0odd\0", b'C', 1),
            (b"Cj\0unterminated", b'C', 0),
        ] {
            let Event::Macros { command: found, macros } = parse(b'D', data).unwrap() else { panic!("macros") };
            assert_eq!((found, macros.len()), (command, count), "{data:?}");
        }
    }

    #[test]
    fn malformed_commands_are_errors() {
        for (kind, data) in [
            (b'H', &b"unterminated"[..]),
            (b'M', b"<a@x>"),
            (b'R', b""),
            (b'L', b"Subject\0"),
            (b'L', b"\0value\0"),
            (b'C', b"host"),
            (b'C', b"host\0X"),
            (b'C', b"host\x004\0"),
            (b'C', b"host\x004\0\x19127.0.0.1"),
            (b'O', b"\0\0\0\x06"),
            (b'?', b""),
        ] {
            assert!(parse(kind, data).is_err(), "{} {data:?}", char::from(kind));
        }
    }

    #[test]
    fn addresses_keep_their_arguments() {
        let Event::Mail(mailbox) = parse(b'M', b"<a@x>\0SIZE=10\0BODY=8BITMIME\0").unwrap() else { panic!("mail") };
        assert_eq!(mailbox.raw, "<a@x>");
        assert_eq!(mailbox.arguments, ["SIZE=10", "BODY=8BITMIME"]);
        let Event::Mail(null) = parse(b'M', b"\0").unwrap() else { panic!("mail") };
        assert_eq!(null, Mailbox::default());
    }
}
