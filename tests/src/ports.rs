//! Free ports on loopback.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which the kernel takes ports for outgoing connections, so that none of those can take a port
/// between our look and the server's bind.
const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;

/// A port that is free on 127.0.0.1 and ::1. Every call of a process gives another one; processes begin at different
/// places.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = LAST - FIRST;
    let start = u16::try_from(process::id().wrapping_mul(97) % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % span) % span;
        let v4 = TcpListener::bind(("127.0.0.1", port));
        let v6 = TcpListener::bind(("::1", port));
        if v4.is_ok() && v6.is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}
