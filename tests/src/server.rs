//! Programs that run beside the tests, each in a process group of its own, ended by its own pid.
//!
//! A test that panics drops its servers; but the ones that tests share are statics, which Rust never drops, and a test
//! binary can be killed. For those there is a guardian: a shell that reads from a pipe what is running, and when the
//! pipe ends, because the test binary did, ends what is left and removes the directories.

use crate::wait;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to end when told to; then it is killed.
const ENDING: Duration = Duration::from_secs(20);

/// A running program.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts it; what it prints goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}; tests/servers/install.sh installs it"));
        tell_guardian(&format!("started {}", child.id()));
        Self { child, name, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until `ready` says so; panics when the server ends before, or `limit` has passed.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let name = self.name.clone();
        wait::until(&format!("{name} to be ready; its log: {}", self.log.display()), limit, || {
            if let Some(status) = self.ended() {
                panic!("{name} ended with {status}: {}", self.log());
            }
            ready().then_some(())
        });
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.id(), signal).unwrap();
    }

    /// Tells it to end and waits for that; kills it and panics when it takes too long.
    pub fn stop(&mut self) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        let _gone = kill(self.id(), Signal::SIGTERM);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            if start.elapsed() > ENDING {
                let _gone = killpg(self.id(), Signal::SIGKILL);
                let _status = self.child.wait();
                tell_guardian(&format!("ended {}", self.pid()));
                panic!("{} did not end within {ENDING:?} of SIGTERM", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        };
        // Children that it left behind, if any.
        let _gone = killpg(self.id(), Signal::SIGTERM);
        tell_guardian(&format!("ended {}", self.pid()));
        status
    }

    /// Ends it and what it started at once, as a crash would, and waits for that. Nothing when it has ended already.
    pub fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let _gone = killpg(self.id(), Signal::SIGKILL);
        let _status = self.child.wait().unwrap();
        tell_guardian(&format!("ended {}", self.pid()));
    }

    fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            // A second panic would abort the whole test binary.
            let _gone = killpg(self.id(), Signal::SIGTERM);
            thread::sleep(Duration::from_millis(200));
            let _gone = killpg(self.id(), Signal::SIGKILL);
            let _status = self.child.wait();
            tell_guardian(&format!("ended {}", self.pid()));
        } else {
            self.stop();
        }
    }
}

/// Runs a program that ends by itself; panics when it fails. Gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Memory in use (resident set) of a process, in bytes.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// Number of open file descriptors of a process.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

pub(crate) fn remove_at_end(directory: &Path) {
    tell_guardian(&format!("remove {}", directory.display()));
}

pub(crate) fn keep_at_end(directory: &Path) {
    tell_guardian(&format!("keep {}", directory.display()));
}

pub(crate) fn unmount_at_end(directory: &Path) {
    tell_guardian(&format!("mounted {}", directory.display()));
}

/// Reads lines `started PID`, `ended PID`, `mounted DIRECTORY`, `remove DIRECTORY`, `keep DIRECTORY`. When any directory is to be kept, all
/// are: the logs of the servers that tests share belong to the failure too.
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
pids=' '; mounts=''; directories=''; keep=''
while read -r verb what; do
  case $verb in
    started) pids="$pids$what " ;;
    ended) pids=$(printf %s "$pids" | sed "s/ $what / /") ;;
    mounted) mounts="$mounts $what" ;;
    remove) directories="$directories $what" ;;
    keep) keep=yes ;;
  esac
done
# The groups of these processes. (No `--`: dash takes it for a number.)
for pid in $pids; do kill -TERM "-$pid"; done
[ "$pids" = ' ' ] || sleep 2
for pid in $pids; do kill -KILL "-$pid"; done
for directory in $mounts; do umount -l "$directory"; done
[ -n "$keep" ] && exit
for directory in $directories; do rm -rf -- "$directory"; rmdir -- "${directory%/*}"; done
"#;

fn tell_guardian(line: &str) {
    static GUARDIAN_PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let pipe = GUARDIAN_PIPE.get_or_init(|| {
        #[expect(clippy::zombie_processes, reason = "it outlives this process; that is what it is for")]
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Mutex::new(guardian.stdin.take().unwrap())
    });
    let mut pipe = pipe.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(pipe, "{line}").unwrap();
}
