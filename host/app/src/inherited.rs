//! Listening sockets that were there before this process (`decisions/0011-handover.md`): from systemd, or from the process that this one
//! replaces. Both pass them in the same way: descriptors from 3 on, as many as `LISTEN_FDS` says, with names in
//! `LISTEN_FDNAMES` (sd_listen_fds(3)). Each belongs to the configured address that it is bound to.

use crate::config::{Config, diagnostic::Diagnostics};
use listenfd::ListenFd;
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
};
use wasmilter_milter::{Address, Listener};

/// Name of the socket over which a process tells the one that it replaces that it is ready.
pub(crate) const PREDECESSOR: &str = "wasmilter-predecessor";
/// Name of a unix socket whose file the process removes at its end. The files of other sockets belong to somebody else.
pub(crate) const OWNER_OF_FILE: &str = "wasmilter-owner";
/// Name of other sockets that a process passes to the one that replaces it.
pub(crate) const SHARED: &str = "wasmilter";
/// The first descriptor that is passed.
pub(crate) const FIRST: i32 = 3;

/// What was passed to this process.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Passed>,
    predecessor: Option<UnixDatagram>,
}

#[derive(Debug)]
struct Passed {
    descriptor: i32,
    name: String,
    listener: Listener,
}

/// A descriptor that was passed can not be used.
#[derive(Debug, thiserror::Error)]
#[error("socket passed as descriptor {descriptor} (LISTEN_FDS, named {name:?}): {error}")]
pub struct InheritError {
    descriptor: i32,
    name: String,
    error: io::Error,
}

impl Inherited {
    /// What the environment says was passed; nothing when it is meant for another process. To be called once, before there are
    /// other threads: the variables are removed, so that no process that is started later takes them for its own.
    ///
    /// # Errors
    /// When one of them is no socket that mail servers or monitoring could connect to.
    pub fn from_environment() -> Result<Self, InheritError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for (index, descriptor) in (0..passed.len()).zip(FIRST..) {
            let name = names.next().unwrap_or_default().to_owned();
            let failed = |error| InheritError { descriptor, name: name.clone(), error };
            if name == PREDECESSOR {
                inherited.predecessor = passed.take_unix_datagram(index).map_err(failed)?;
                close_leftovers();
                continue;
            }
            let socket: OwnedFd = match passed.take_tcp_listener(index) {
                Ok(Some(tcp)) => tcp.into(),
                _ => match passed.take_unix_listener(index).map_err(failed)? {
                    Some(unix) => unix.into(),
                    None => continue,
                },
            };
            let listener = Listener::adopt(socket, name == OWNER_OF_FILE).map_err(failed)?;
            inherited.sockets.push(Passed { descriptor, name, listener });
        }
        Ok(inherited)
    }

    /// The socket that is bound to `address`, if there is one. Port 0 stands for any port that no other address names.
    pub(crate) fn take(&mut self, address: &Address, others: &[Address]) -> Option<Listener> {
        let any_port = |bound: &Address| match (bound, address) {
            (Address::Inet(bound), Address::Inet(wanted)) => wanted.port() == 0 && bound.ip() == wanted.ip(),
            _ => false,
        };
        let exact = self.sockets.iter().position(|passed| passed.listener.address() == address);
        let place = exact.or_else(|| {
            self.sockets.iter().position(|passed| {
                let bound = passed.listener.address();
                any_port(bound) && !others.contains(bound)
            })
        })?;
        Some(self.sockets.remove(place).listener)
    }

    /// What is left when every address of `config` has its socket. From systemd that is a mistake, because nobody would
    /// ever accept what comes there. What the process before listened on was its configuration's, and is closed.
    ///
    /// # Errors
    /// The mistakes.
    pub(crate) fn nothing_is_left(&mut self, config: &Config) -> Result<(), Diagnostics> {
        let mut mistakes = Diagnostics::none(config.source.clone());
        for Passed { descriptor, name, listener } in self.sockets.drain(..) {
            let bound = listener.address();
            if self.predecessor.is_some() {
                tracing::info!(address = %bound, "no longer listened on");
                continue;
            }
            let at = config.milter.listen.first().map(|first| first.at.clone()).unwrap_or_default();
            let message = format!(
                "a socket for {bound} was passed (descriptor {descriptor}, named {name:?}), no address here is that"
            );
            let help = "let ListenStream= of the socket unit and the addresses here (or admin.listen) say the same";
            mistakes.add(&at, message, Some(help.to_owned()));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Tells the process that this one replaces, if there is one, that it can go.
    pub(crate) fn tell_predecessor(&mut self) {
        if let Some(predecessor) = self.predecessor.take()
            && let Err(error) = predecessor.send(b"ready")
        {
            tracing::warn!(%error, "the process before this one can not be told to go");
        }
    }
}

/// Closes what the process before has left open by mistake: wasmtime opens its page map without close-on-exec, and from one process to the
/// next there would be one more of them. To be called before this process opens its own.
fn close_leftovers() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let is_page_map = |path: &Path| std::fs::read_link(path).is_ok_and(|target| target.ends_with("pagemap"));
    let leftovers = open.filter(|entry| is_page_map(&entry.path()));
    let descriptors: Vec<i32> = leftovers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in descriptors {
        if let Err(error) = nix::unistd::close(descriptor) {
            tracing::debug!(descriptor, %error, "a leftover can not be closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Source;

    fn passed(listeners: Vec<Listener>) -> Inherited {
        let sockets = listeners.into_iter().zip(FIRST..);
        let sockets =
            sockets.map(|(listener, descriptor)| Passed { descriptor, name: "x.socket".to_owned(), listener });
        Inherited { sockets: sockets.collect(), predecessor: None }
    }

    fn bound(address: &str) -> Listener {
        Listener::bind(&address.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_address_gets_the_socket_that_is_bound_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = format!("unix:{}", directory.path().join("m.sock").display());
        let mut inherited = passed(vec![bound("127.0.0.1:0"), bound(&path), bound("[::1]:0"), bound("127.0.0.1:0")]);
        let second = inherited.sockets[3].listener.address().clone();
        let unix: Address = path.parse().unwrap();
        assert_eq!(*inherited.take(&unix, &[]).unwrap().address(), unix);
        assert!(inherited.take(&unix, &[]).is_none(), "only once");
        // Port 0 takes none that is named elsewhere.
        let any: Address = "127.0.0.1:0".parse().unwrap();
        assert_ne!(*inherited.take(&any, std::slice::from_ref(&second)).unwrap().address(), second);
        assert!(inherited.take(&any, std::slice::from_ref(&second)).is_none());
        assert_eq!(*inherited.take(&second, &[]).unwrap().address(), second);
        assert!(inherited.take(&"127.0.0.2:0".parse().unwrap(), &[]).is_none());
        assert_eq!(inherited.sockets.len(), 1);
    }

    #[test]
    fn a_socket_that_nobody_configured_is_a_mistake_with_its_place() {
        let text = "[milter]\nlisten = [\"unix:/run/w.sock\"]\n[[stage]]\nname = \"a\"\nplugin = \"virus\"\n";
        let (config, _) = Config::parse(&Source::new("wasmilter.toml", text));
        let listener = bound("127.0.0.1:0");
        let address = listener.address().to_string();
        let mistakes = passed(vec![listener]).nothing_is_left(&config).unwrap_err();
        let mistake = &mistakes.list()[0];
        assert_eq!((mistake.line, mistake.key.as_str()), (2, "milter.listen[0]"), "{mistake:?}");
        assert!(mistake.message.contains(&address) && mistake.message.contains("x.socket"), "{mistake:?}");

        let mut inherited = passed(vec![bound("127.0.0.1:0")]);
        inherited.predecessor = Some(UnixDatagram::unbound().unwrap());
        inherited.nothing_is_left(&config).unwrap();
        assert!(inherited.sockets.is_empty(), "closed");
    }
}
