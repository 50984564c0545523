//! Postfix and Sendmail alike, for tests that must hold on both.

use crate::{postfix, sendmail, sink::Sink};
use std::{net::SocketAddr, path::PathBuf};

/// Which mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mta {
    /// Postfix.
    Postfix,
    /// Sendmail.
    Sendmail,
}

/// A listener that one test has for itself.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where mail goes in.
    pub smtp: SocketAddr,
    /// Where the mail server expects the milter.
    pub milter: PathBuf,
    listener: Listener,
}

#[derive(Debug, Clone)]
enum Listener {
    Postfix(postfix::Listener),
    Sendmail(sendmail::Listener),
}

impl Mta {
    /// A listener that no other test has.
    #[must_use]
    pub fn door(self) -> Door {
        match self {
            Self::Postfix => {
                let listener = postfix::shared().listener().clone();
                Door { smtp: listener.smtp, milter: listener.milter.clone(), listener: Listener::Postfix(listener) }
            }
            Self::Sendmail => {
                let listener = sendmail::shared().listener().clone();
                Door { smtp: listener.smtp, milter: listener.milter.clone(), listener: Listener::Sendmail(listener) }
            }
        }
    }

    /// The listener without a milter.
    #[must_use]
    pub fn plain(self) -> SocketAddr {
        match self {
            Self::Postfix => postfix::shared().plain(),
            Self::Sendmail => sendmail::shared().plain(),
        }
    }

    /// Where it delivers to.
    #[must_use]
    pub fn sink(self) -> &'static Sink {
        match self {
            Self::Postfix => postfix::shared().sink(),
            Self::Sendmail => sendmail::shared().sink(),
        }
    }
}

impl Door {
    /// Panics when the mail server complained of the milter behind this door: closed sockets, time-outs, malformed
    /// replies. Then it would have used a default action of its own, which no test may ever see.
    #[track_caller]
    pub fn assert_content(&self) {
        match &self.listener {
            Listener::Postfix(listener) => postfix::shared().assert_content_with(listener),
            Listener::Sendmail(listener) => sendmail::shared().assert_content_with(listener),
        }
    }
}
