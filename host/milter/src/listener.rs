//! Sockets that the MTA connects to.

use crate::address::Address;
use nix::{
    errno::Errno,
    sys::socket::{getsockopt, sockopt::AcceptConn},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::net::{TcpListener, UnixListener};

/// Connections that wait to be accepted, beyond which the system refuses more. The kernel cuts it to `somaxconn`.
const BACKLOG: i32 = 1024;

/// A bound, listening socket. Clones share it, so that several arbiters can accept from it.
///
/// A unix socket gets mode 0666, because the MTA runs as another user: protect it by the permissions of its directory.
/// Its file is removed when the last clone goes, unless it was handed over. An IPv6 address listens for IPv6 only.
///
/// A socket may also come from outside: from systemd, or from the process that this one replaces ([`Listener::adopt`]).
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    file: Option<Arc<SocketFile>>,
}

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("listen on {0}: another process listens there already")]
    InUse(Address),
    /// There is a file at the path that is not a socket; it is left alone.
    #[error("listen on {0}: there is a file that is not a socket")]
    NotASocket(Address),
    /// Anything else.
    #[error("listen on {address}: {error}")]
    Io {
        /// Where.
        address: Address,
        /// What the system said.
        error: io::Error,
    },
}

impl Listener {
    /// Binds and listens. A unix socket that a dead process left behind is replaced.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(address: &Address) -> Result<Self, BindError> {
        let failed = |error: io::Error| match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            Errno::EADDRINUSE => BindError::InUse(address.clone()),
            _ => BindError::Io { address: address.clone(), error },
        };
        if let Address::Unix(path) = address {
            remove_stale(path, address)?;
        }
        let (socket, file) = match address {
            Address::Unix(path) => bind_unix(path).map(|(socket, file)| (socket, Some(file))),
            Address::Inet(inet) => bind_inet(*inet).map(|socket| (socket, None)),
        }
        .map_err(failed)?;
        let address = match address {
            Address::Unix(_) => address.clone(),
            Address::Inet(inet) => Address::Inet(socket.local_addr().map_err(failed)?.as_socket().unwrap_or(*inet)),
        };
        Ok(Self { socket, address, file: file.map(Arc::new) })
    }

    /// Takes over a socket that listens already. `owns_file` says whether the file of a unix socket is removed at the end.
    ///
    /// # Errors
    /// When it is no listening stream socket, or bound to what is no [`Address`].
    pub fn adopt(socket: impl Into<OwnedFd>, owns_file: bool) -> io::Result<Self> {
        let socket = Socket::from(socket.into());
        if socket.r#type()? != Type::STREAM || !getsockopt(&socket, AcceptConn)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening stream socket"));
        }
        socket.set_nonblocking(true)?;
        let bound = socket.local_addr()?;
        let (address, file) = match (bound.as_socket(), bound.as_pathname()) {
            (Some(inet), _) => {
                if inet.is_ipv6() && inet.ip().is_unspecified() && !socket.only_v6()? {
                    let error =
                        format!("it listens for IPv4 too on {inet}; let it be IPv6 only (BindIPv6Only=ipv6-only)");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
                }
                (Address::Inet(inet), None)
            }
            (None, Some(path)) if path.is_absolute() => {
                let file = owns_file.then(|| SocketFile::of(path)).transpose()?;
                (Address::Unix(path.to_owned()), file)
            }
            (None, _) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "bound to no IP address and to no absolute path",
                ));
            }
        };
        Ok(Self { socket, address, file: file.map(Arc::new) })
    }

    /// A descriptor of the same socket, for another process.
    ///
    /// # Errors
    /// When there is no file descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// Whether the socket's file is removed at the end.
    #[must_use]
    pub fn owns_file(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.left.load(Ordering::Relaxed))
    }

    /// Leaves the socket's file to the process that goes on with the socket. Holds for all clones.
    pub fn leave_file(&self) {
        if let Some(file) = &self.file {
            file.left.store(true, Ordering::Relaxed);
        }
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// When there is no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, address: self.address.clone(), file: self.file.clone() })
    }

    /// Where it listens; for port 0, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Ready to accept in the current runtime.
    pub(crate) fn into_acceptor(self) -> io::Result<Acceptor> {
        Ok(match self.address {
            Address::Unix(_) => Acceptor::Unix(UnixListener::from_std(self.socket.into())?, self.file),
            Address::Inet(_) => Acceptor::Inet(TcpListener::from_std(self.socket.into())?),
        })
    }
}

/// A listener inside a runtime.
pub(crate) enum Acceptor {
    /// With the file, which lives as long as somebody accepts.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its Drop")] Option<Arc<SocketFile>>),
    Inet(TcpListener),
}

fn bind_inet(address: std::net::SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can both be listened on, and an address means what it says.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    listen(socket)
}

fn bind_unix(path: &Path) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    let file = SocketFile::of(path)?;
    Ok((listen(socket)?, file))
}

fn listen(socket: Socket) -> io::Result<Socket> {
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Removes a socket on which nobody listens any more.
fn remove_stale(path: &Path, address: &Address) -> Result<(), BindError> {
    let failed = |error| BindError::Io { address: address.clone(), error };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(BindError::NotASocket(address.clone())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Connected, or the backlog is full: somebody is there.
        Ok(_) => Err(BindError::InUse(address.clone())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(address.clone())),
        Err(error) => Err(failed(error)),
    }
}

/// The file of a unix socket. Removed at the end, unless somebody else put another one there.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    /// Somebody else removes it.
    left: AtomicBool,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), inode: (metadata.dev(), metadata.ino()), left: AtomicBool::new(false) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.left.load(Ordering::Relaxed) {
            return;
        }
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.inode);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove the socket's file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(directory: &tempfile::TempDir) -> (PathBuf, Address) {
        let path = directory.path().join("milter.sock");
        (path.clone(), Address::Unix(path))
    }

    #[test]
    fn port_zero_shows_the_chosen_port() {
        for written in ["inet:127.0.0.1:0", "inet:[::1]:0"] {
            let listener = Listener::bind(&written.parse().unwrap()).unwrap();
            let Address::Inet(address) = listener.address() else { panic!("inet") };
            assert_ne!(address.port(), 0);
            let clone = listener.try_clone().unwrap();
            assert_eq!(clone.address(), listener.address());
            assert!(matches!(Listener::bind(listener.address()), Err(BindError::InUse(_))), "taken");
        }
    }

    #[test]
    fn anybody_may_connect_and_the_file_goes_with_the_last_clone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = unix(&directory);
        let listener = Listener::bind(&address).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let clone = listener.try_clone().unwrap();
        drop(listener);
        assert!(path.exists(), "the clone still listens");
        drop(clone);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_is_handed_over_keeps_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = unix(&directory);
        let first = Listener::bind(&address).unwrap();
        let second = Listener::adopt(first.descriptor().unwrap(), first.owns_file()).unwrap();
        first.leave_file();
        assert_eq!((second.address(), second.owns_file(), first.owns_file()), (&address, true, false));
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists(), "who owns it removes it");

        let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(Listener::adopt(theirs, false).unwrap());
        assert!(path.exists(), "systemd's");
    }

    #[test]
    fn only_listeners_of_this_machine_s_addresses_are_adopted() {
        for written in ["inet:127.0.0.1:0", "inet:[::1]:0"] {
            let listener = Listener::bind(&written.parse().unwrap()).unwrap();
            let adopted = Listener::adopt(listener.descriptor().unwrap(), false).unwrap();
            assert_eq!(adopted.address(), listener.address());
        }
        let adopt = |socket: OwnedFd| Listener::adopt(socket, false).unwrap_err().to_string();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(adopt(udp.into()).contains("not a listening"));
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(adopt(one.into()).contains("not a listening"));
        let both = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        both.set_only_v6(false).unwrap();
        both.bind(&"[::]:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        both.listen(1).unwrap();
        assert!(adopt(both.into()).contains("IPv4 too"));
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = unix(&directory);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        Listener::bind(&address).unwrap();
    }

    #[test]
    fn a_living_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = unix(&directory);
        let living = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(Listener::bind(&address), Err(BindError::InUse(_))));
        assert!(path.exists());
        drop(living);
    }

    #[test]
    fn another_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = unix(&directory);
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&address), Err(BindError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
