//! Programs that run beside the tests, each in a process group of its own, ended by its own pid.
//!
//! A test that panics drops its servers; but the ones that tests share are statics, which Rust never drops, and a test
//! binary can be killed. For those there is a guardian: a shell that reads from a pipe what is running, and when the
//! pipe ends, because the test binary did, ends what is left and removes the directories.

use crate::wait;
use nix::{
    sys::signal::{Signal, kill, killpg},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};
use std::{
    collections::BTreeSet,
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

/// Processor time that a process and everything it started have used so far, children that have ended included.
#[must_use]
pub fn processor_time(pid: u32) -> Duration {
    let ticks_per_second =
        sysconf(SysconfVar::CLK_TCK).unwrap().and_then(|ticks| u32::try_from(ticks).ok()).unwrap_or(100);
    let mut sum = Duration::ZERO;
    let mut ticks = 0_u64;
    for member in family(pid) {
        // The process's own clock has nanoseconds, and the threads that have ended.
        let id = Pid::from_raw(i32::try_from(member).unwrap());
        if let Ok(time) = clock_getcpuclockid(id).and_then(clock_gettime) {
            sum += Duration::from(time);
        }
        // cutime, cstime: fields 16 and 17 (proc_pid_stat(5)), in ticks.
        ticks += stat(member).iter().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    #[allow(clippy::cast_precision_loss, reason = "ticks are far below 2⁵²")]
    let ended = Duration::from_secs_f64(ticks as f64 / f64::from(ticks_per_second));
    sum + ended
}

/// The process and all that descend from it.
#[must_use]
pub fn family(pid: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|process| Some((process, stat(process).get(1)?.parse().ok()?)))
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(process, parent)| family.contains(parent) && !family.contains(process))
            .map(|(process, _)| *process)
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

/// The fields of /proc/PID/stat that follow the name, which may have spaces: state, parent, …
fn stat(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().map(str::to_owned).collect()
}
