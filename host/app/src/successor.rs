//! The process that takes over from this one (`decisions/0011-handover.md`): the same program, as it is on disk now, with the same
//! arguments and with all listening sockets of this one. It reads its configuration, prepares its plugins and listens; then it says
//! so, and this process goes. If it never does, this one stays.

use crate::inherited::{FIRST, OWNER_OF_FILE, PREDECESSOR, SHARED};
use command_fds::{CommandFdExt, FdMapping};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use std::{
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    process::{Child, Command},
    thread,
    time::Duration,
};
use tokio::{
    net::UnixDatagram,
    sync::oneshot,
    time::{Instant, timeout_at},
};
use wasmilter_milter::Listener;

/// How long it may take to get ready: all its plugins may have to be compiled and fetched.
const START: Duration = Duration::from_secs(600);

/// A successor that was started. Dropping it ends it, unless it is ready.
#[derive(Debug)]
pub(crate) struct Successor {
    pid: Pid,
    says: UnixDatagram,
    /// How it ended; told before its id can be another process's.
    ended: oneshot::Receiver<String>,
    deadline: Instant,
    ready: bool,
}

/// Why there is no successor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("starting {program}: {error}", program = .program.display())]
    Start { program: OsString, error: io::Error },
    #[error("sharing sockets: {0}")]
    Sockets(io::Error),
    #[error("the new process ended before it was ready ({0}); its own messages are in the log above")]
    Ended(String),
    #[error("the new process was not ready within {START:?}")]
    Slow,
}

impl Successor {
    /// Starts the program with these sockets.
    pub(crate) fn start<'l>(listeners: impl IntoIterator<Item = &'l Listener>) -> Result<Self, UpgradeError> {
        let (says, told) = std::os::unix::net::UnixDatagram::pair().map_err(UpgradeError::Sockets)?;
        let says =
            says.set_nonblocking(true).and_then(|()| UnixDatagram::from_std(says)).map_err(UpgradeError::Sockets)?;
        let mut names = vec![PREDECESSOR];
        let mut sockets: Vec<OwnedFd> = vec![told.into()];
        for listener in listeners {
            names.push(if listener.owns_file() { OWNER_OF_FILE } else { SHARED });
            sockets.push(listener.descriptor().map_err(UpgradeError::Sockets)?);
        }
        // Not this process's executable: a package that was upgraded has put another file in its place.
        let mut arguments = std::env::args_os();
        let program = arguments.next().unwrap_or_else(|| OsString::from("wasmilter"));
        let failed = |error| UpgradeError::Start { program: program.clone(), error };
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env("LISTEN_FDS", sockets.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            // Of a process that is not there yet nobody knows the id; without one they are for whoever gets them.
            .env_remove("LISTEN_PID")
            .env_remove("WATCHDOG_PID");
        let mappings = sockets.into_iter().zip(FIRST..).map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).map_err(|error| failed(io::Error::other(error)))?;
        let child = command.spawn().map_err(failed)?;
        // Its copies of the sockets go with it.
        drop(command);
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(|error| failed(io::Error::other(error)))?);
        let (tell, ended) = oneshot::channel();
        // A thread of its own: the runtime would wait for a blocking task at its end, and a successor outlives this process.
        thread::Builder::new().name("successor".to_owned()).spawn(move || wait(child, pid, tell)).map_err(failed)?;
        Ok(Self { pid, says, ended, deadline: Instant::now() + START, ready: false })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Waits until it is ready. May be dropped and called again; not after its end.
    pub(crate) async fn ready(&mut self) -> Result<(), UpgradeError> {
        let mut word = [0; 16];
        let said_or_ended = async {
            tokio::select! {
                biased;
                said = self.says.recv(&mut word) => said.map(drop).map_err(UpgradeError::Sockets),
                ended = &mut self.ended => Err(UpgradeError::Ended(ended.unwrap_or_else(|_| "nobody knows how".to_owned()))),
            }
        };
        timeout_at(self.deadline, said_or_ended).await.unwrap_or(Err(UpgradeError::Slow))?;
        self.ready = true;
        Ok(())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let lives = self.ended.try_recv() == Err(oneshot::error::TryRecvError::Empty);
        if !self.ready
            && lives
            && let Err(error) = kill(self.pid, Signal::SIGKILL)
        {
            tracing::warn!(pid = %self.pid, %error, "the new process can not be ended");
        }
    }
}

/// Tells how the child ended, and only then frees its id.
fn wait(mut child: Child, pid: Pid, tell: oneshot::Sender<String>) {
    let ended = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Exited(_, code)) => break format!("exit status {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => break format!("signal {signal}"),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => break error.to_string(),
        }
    };
    // Nobody listens any more when this process goes; that is the usual end.
    let _nobody = tell.send(ended).is_err();
    if let Err(error) = child.wait() {
        tracing::debug!(%error, "the new process can not be waited for");
    }
}
