//! The little of HTTP/1.1 (RFC 9112) that asking a server needs: one request, one response.

use httparse::{EMPTY_HEADER, Status};
use std::io::{self, Read};

/// Largest response, head included; rspamd's are a few kB.
const LARGEST: usize = 4 << 20;
const MOST_HEADERS: usize = 64;

/// A response, its body put together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// How the end of the body is told (RFC 9112 §6.3).
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Reads one response; stops where it ends, without waiting for the server to close.
pub(crate) fn read_response(mut stream: impl Read) -> Result<Response, String> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).map_err(|error| words(&error))?;
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if let Some(response) = parse(&bytes, read == 0)? {
            return Ok(response);
        }
        if read == 0 {
            return Err("the response is cut off".to_owned());
        }
        if bytes.len() > LARGEST {
            return Err(format!("the response is larger than {LARGEST} bytes"));
        }
    }
}

pub(crate) fn words(error: &io::Error) -> String {
    error.to_string()
}

/// The response in `bytes`; none while it is not complete. `closed`: no more will come.
fn parse(bytes: &[u8], closed: bool) -> Result<Option<Response>, String> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes).map_err(|error| format!("the response is not HTTP: {error}"))? {
        Status::Complete(head) => head,
        Status::Partial => return Ok(None),
    };
    let status = response.code.unwrap_or_default();
    let rest = bytes.get(head..).unwrap_or_default();
    if (100..200).contains(&status) {
        return parse(rest, closed);
    }
    let body = match framing(response.headers)? {
        Framing::Length(length) => rest.get(..length).map(<[u8]>::to_vec),
        Framing::Chunked => chunks(rest)?,
        Framing::UntilClose => closed.then(|| rest.to_vec()),
    };
    Ok(body.map(|body| Response { status, body }))
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, String> {
    let value = |name: &str| {
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    if let Some(coding) = value("transfer-encoding") {
        return if coding == "chunked" { Ok(Framing::Chunked) } else { Err(format!("transfer coding {coding:?}")) };
    }
    match value("content-length") {
        Some(length) => match length.parse() {
            Ok(length) if length <= LARGEST => Ok(Framing::Length(length)),
            _ => Err(format!("content length {length:?}")),
        },
        None => Ok(Framing::UntilClose),
    }
}

/// RFC 9112 §7.1; none while chunks are missing. Trailers are not read.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(rest).map_err(|_| "a chunk's size is not a number".to_owned())?;
        let Status::Complete((start, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let Some(end) =
            usize::try_from(size).ok().filter(|size| *size <= LARGEST).and_then(|size| start.checked_add(size))
        else {
            return Err(format!("a chunk of {size} bytes"));
        };
        let (Some(chunk), Some(behind)) = (rest.get(start..end), rest.get(end.saturating_add(2)..)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn body(response: &str) -> Result<String, String> {
        read_response(Slow(response.as_bytes())).map(|response| String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn bodies_end_where_they_say() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more").unwrap(), "{}");
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\nall").unwrap(), "all");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(body(chunked).unwrap(), "abcde");
        assert_eq!(body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").unwrap(), "x");
    }

    #[test]
    fn what_is_cut_off_or_nonsense_is_an_error() {
        for response in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nab",
            "SSH-2.0-OpenSSH\r\n",
        ] {
            assert!(body(response).is_err(), "{response}");
        }
    }
}
