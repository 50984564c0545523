//! One process takes over from another, sockets come from systemd, and systemd is told (`host/decisions/0011-handover.md`).

use crate::{greeted, mail, passed, run};
use nix::{
    errno::Errno,
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde_json::json;
use std::{
    cell::Cell,
    fs,
    net::TcpStream,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    time::Duration,
};
use tokio::task::LocalSet;
use wasmilter_tests::{
    corpus::repository,
    fake_mta::Flavour,
    ports,
    scratch::Scratch,
    script::{scripted, stage},
    server, wait,
    wasmilter::{Wasmilter, binary},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon on a unix and an inet socket, started by a link to the program that a test can turn.
struct Daemon {
    host: Wasmilter,
    scratch: Scratch,
    addresses: Vec<String>,
}

impl Daemon {
    fn start(config: &str) -> Self {
        Self::start_with(config, |_, _| {})
    }

    fn start_with(config: &str, change: impl FnOnce(&mut Command, &Scratch)) -> Self {
        // Processes whose parent has gone become this one's children, so that their end can be seen.
        set_child_subreaper(true).unwrap();
        let scratch = Scratch::new("handover");
        let addresses = vec![
            format!("unix:{}", scratch.join("milter.sock").display()),
            format!("inet:127.0.0.1:{}", ports::free()),
        ];
        symlink(binary(), scratch.join("wasmilter")).unwrap();
        let mut command = Command::new(scratch.join("wasmilter"));
        change(&mut command, &scratch);
        let pid_file = scratch.join("pid");
        let host = Wasmilter::start_by(command, &addresses, config, &["--pid-file", pid_file.to_str().unwrap()]);
        Self { host, scratch, addresses }
    }

    /// The process that takes mail now.
    fn pid(&self) -> Pid {
        Pid::from_raw(fs::read_to_string(self.scratch.join("pid")).unwrap().trim().parse().unwrap())
    }

    /// Puts another program where this one was.
    fn replace_program(&self, by: &Path) {
        fs::remove_file(self.scratch.join("wasmilter")).unwrap();
        symlink(by, self.scratch.join("wasmilter")).unwrap();
    }

    /// A program that does what the shell is told.
    fn script(&self, does: &str) -> PathBuf {
        let script = self.scratch.write("script", format!("#!/bin/sh\n{does}\n"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    fn upgrade(&self) {
        kill(self.pid(), Signal::SIGUSR2).unwrap();
    }

    /// Ends the last of several processes.
    fn stop(self) {
        let last = self.pid();
        if last.as_raw().unsigned_abs() == self.host.pid() {
            return self.host.stop();
        }
        kill(last, Signal::SIGTERM).unwrap();
        ended_well(last);
        self.host.stop();
    }
}

/// Waits for the end of a process that was left to this one. None when its parent learned how it ended.
fn ended(pid: Pid) -> Option<WaitStatus> {
    wait::until("the process to end", PATIENCE, || match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) => None,
        Err(Errno::ECHILD) if kill(pid, None).is_ok() => None,
        Err(Errno::ECHILD) => Some(None),
        status => Some(Some(status.unwrap())),
    })
}

/// Waits for its end, which must be a good one.
fn ended_well(pid: Pid) {
    let status = ended(pid);
    assert!(status.is_none_or(|status| status == WaitStatus::Exited(pid, 0)), "{status:?}");
}

fn marked() -> String {
    scripted("mark", "", &json!({ "edits": [{ "add-header": { "name": "X-Marked", "value": "yes" } }] }))
}

/// Every connection is answered, every message is judged and answered once, on both kinds of sockets, whatever process does it.
#[test]
fn twenty_upgrades_under_load_refuse_nobody_and_lose_nothing() {
    const UPGRADES: u32 = 20;
    let daemon = Daemon::start(&marked());
    let first = daemon.pid();
    let descriptors = server::descriptors(daemon.host.pid());
    let mut processes = vec![first];
    let sent = Rc::new(Cell::new(0_u32));
    run(LocalSet::new().run_until(async {
        let over = Rc::new(Cell::new(false));
        let mut senders = Vec::new();
        for number in 0..6_usize {
            let (over, sent) = (Rc::clone(&over), Rc::clone(&sent));
            let address = daemon.addresses[number % 2].clone();
            let flavour = if number < 3 { Flavour::Postfix } else { Flavour::Sendmail };
            senders.push(tokio::task::spawn_local(async move {
                let mut length = 1;
                while !over.get() {
                    // Sessions of all lengths: some last through several upgrades.
                    length = if length > 400 { 1 } else { length * 3 };
                    let mut mta = greeted(&address, flavour).await;
                    for _ in 0..length {
                        let outcome = mta.send(&mail("upgraded")).await.expect("an answer");
                        assert!(passed(&outcome) && outcome.edits.len() == 1, "{outcome:?}");
                        sent.set(sent.get() + 1);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    mta.quit().await.expect("one answer to each, and a clean end");
                }
            }));
        }
        for _ in 0..UPGRADES {
            let before = daemon.pid();
            daemon.upgrade();
            let limit = tokio::time::Instant::now() + PATIENCE;
            while daemon.pid() == before {
                assert!(tokio::time::Instant::now() < limit, "nobody took over: {}", daemon.host.log());
                assert!(!senders.iter().any(tokio::task::JoinHandle::is_finished), "a sender failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            processes.push(daemon.pid());
        }
        over.set(true);
        for sender in senders {
            sender.await.unwrap();
        }
    }));
    assert!(sent.get() > 100, "{}", sent.get());
    let last = processes.pop().unwrap();
    for pid in &processes {
        if *pid != first {
            ended_well(*pid);
        }
    }
    let now = server::descriptors(last.as_raw().unsigned_abs());
    assert!(now <= descriptors + 2, "sockets pile up: {descriptors} at first, {now} now");
    let log = daemon.host.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    assert!(daemon.scratch.join("milter.sock").exists());
    let socket = daemon.scratch.join("milter.sock");
    let (pid_file, scratch) = (daemon.scratch.join("pid"), daemon.scratch.path().to_owned());
    kill(last, Signal::SIGTERM).unwrap();
    ended_well(last);
    assert!(!socket.exists() && !pid_file.exists(), "the last one takes its files with it: {}", scratch.display());
    daemon.host.stop();
}

#[test]
fn a_message_under_way_is_finished_by_the_process_that_began_it() {
    let slow = json!({ "milliseconds": 4_000, "subject": "slow" });
    let daemon = Daemon::start(&stage("slow", "slow", "grants = [\"headers\", \"clock\"]", &slow));
    let before = daemon.pid();
    run(async {
        let mut mta = greeted(&daemon.addresses[0], Flavour::Postfix).await;
        let message = mail("slow");
        let upgraded = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            daemon.upgrade();
        };
        let (outcome, ()) = tokio::join!(mta.send(&message), upgraded);
        assert!(passed(&outcome.unwrap()));
        wait::until("the upgrade", PATIENCE, || (daemon.pid() != before).then_some(()));
        // The session goes on where it is, and a new one is the other process's.
        assert!(passed(&mta.send(&mail("again")).await.unwrap()));
        let mut other = greeted(&daemon.addresses[0], Flavour::Postfix).await;
        assert!(passed(&other.send(&mail("new")).await.unwrap()));
        other.quit().await.unwrap();
        mta.quit().await.unwrap();
    });
    daemon.stop();
}

#[test]
fn when_the_new_process_can_not_start_the_old_one_goes_on_and_says_why() {
    let daemon = Daemon::start(&marked());
    let pid = daemon.pid();
    let still_serves = |why: &str| {
        wait::until(why, PATIENCE, || daemon.host.log().contains(why).then_some(()));
        assert_eq!(daemon.pid(), pid);
        run(async {
            let mut mta = greeted(&daemon.addresses[1], Flavour::Sendmail).await;
            assert!(passed(&mta.send(&mail("x")).await.unwrap()));
            mta.quit().await.unwrap();
        });
    };
    let config = fs::read_to_string(daemon.host.config()).unwrap();
    fs::write(daemon.host.config(), format!("{config}\nsurprise = 1\n")).unwrap();
    daemon.upgrade();
    still_serves("ended before it was ready (exit status 1)");
    assert!(daemon.host.log().contains("surprise"), "its mistakes are there");
    fs::write(daemon.host.config(), config).unwrap();

    daemon.replace_program(&daemon.script("exit 7"));
    daemon.upgrade();
    still_serves("ended before it was ready (exit status 7)");
    daemon.replace_program(&daemon.scratch.join("nothing"));
    daemon.upgrade();
    still_serves("No such file");

    // Told to stop while a new one gets ready: both end.
    daemon.replace_program(&daemon.script("echo starting $$; exec sleep 1000"));
    daemon.upgrade();
    let starting = wait::until("the new process", PATIENCE, || {
        daemon.host.log().lines().find_map(|line| line.strip_prefix("starting ")?.parse().ok()).map(Pid::from_raw)
    });
    daemon.stop();
    let status = ended(starting);
    assert!(status.is_none_or(|status| matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _))), "{status:?}");
}

/// systemd's own tool passes sockets as systemd does: the program is started by the first connection.
fn activated(scratch: &Scratch, passed: &[String]) -> Command {
    let mut command = Command::new("systemd-socket-activate");
    for address in passed {
        command.args(["-l", address]);
    }
    command.arg("--fdname=wasmilter").arg(scratch.join("wasmilter"));
    command
}

#[test]
fn sockets_from_systemd_are_taken_and_left_to_it() {
    let scratch = Scratch::new("handover");
    let (path, port) = (scratch.join("milter.sock"), ports::free());
    symlink(binary(), scratch.join("wasmilter")).unwrap();
    let listen = [format!("inet:127.0.0.1:{port}"), format!("unix:{}", path.display())];
    let sockets = [path.display().to_string(), format!("127.0.0.1:{port}")];
    let command = activated(&scratch, &sockets);
    // The first connection waits until somebody accepts.
    let client = std::thread::spawn({
        let path = path.clone();
        move || wait::until("systemd's socket", PATIENCE, || UnixStream::connect(&path).ok())
    });
    let host = Wasmilter::start_by(command, &listen, &marked(), &[]);
    drop(client.join().unwrap());
    run(async {
        for address in &listen {
            let mut mta = greeted(address, Flavour::Postfix).await;
            assert!(passed(&mta.send(&mail("x")).await.unwrap()), "{address}");
            mta.quit().await.unwrap();
        }
    });
    host.stop();
    assert!(path.exists(), "it is systemd's");
}

#[test]
fn a_socket_that_is_not_configured_is_a_mistake_with_its_place() {
    let scratch = Scratch::new("handover");
    let (passed, configured) = (ports::free(), ports::free());
    symlink(binary(), scratch.join("wasmilter")).unwrap();
    let config = format!("[milter]\nlisten = \"inet:127.0.0.1:{configured}\"\n{}", marked());
    let config = config.replace("GUESTS", &repository().join("target/guests").display().to_string());
    let file = scratch.write("wasmilter.toml", config);
    let mut command = activated(&scratch, &[format!("127.0.0.1:{passed}")]);
    command.args(["serve", "--config"]).arg(&file);
    let client = std::thread::spawn(move || {
        wait::until("systemd's socket", PATIENCE, || TcpStream::connect(("127.0.0.1", passed)).ok())
    });
    let output = command.output().unwrap();
    drop(client.join().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [&format!("127.0.0.1:{passed}"), "wasmilter.toml:2:10", "milter.listen", "named \"wasmilter\""] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// What systemd hears in a daemon's life, in order.
#[test]
fn the_service_manager_is_told() {
    let heard = std::cell::OnceCell::new();
    let daemon = Daemon::start_with(&marked(), |command, scratch| {
        let socket = UnixDatagram::bind(scratch.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.set(socket).unwrap();
        command.env("NOTIFY_SOCKET", scratch.join("notify")).env("WATCHDOG_USEC", "400000");
    });
    let hear = |expected: &[&str]| {
        let mut bytes = [0; 4096];
        loop {
            let length = heard.get().unwrap().recv(&mut bytes).expect("a word");
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if expected.iter().all(|expected| said.lines().any(|line| line.starts_with(expected))) {
                return;
            }
            // It lives: that comes in between.
            assert!(said.contains("WATCHDOG=1") || said.starts_with("STATUS="), "{expected:?}: {said}");
        }
    };
    hear(&["READY=1", "STATUS=taking mail"]);
    hear(&["WATCHDOG=1"]);
    kill(daemon.pid(), Signal::SIGHUP).unwrap();
    hear(&["RELOADING=1", "MONOTONIC_USEC="]);
    hear(&["READY=1", "STATUS=taking mail, configuration reloaded"]);
    let before = daemon.pid();
    daemon.upgrade();
    // Each is told by another process: they may come in any order.
    let mut left = vec!["READY=1", "MAINPID="];
    while !left.is_empty() {
        let mut bytes = [0; 4096];
        let length = heard.get().unwrap().recv(&mut bytes).expect("a word");
        let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if said.starts_with("MAINPID=") {
            let new = wait::until("the upgrade", PATIENCE, || (daemon.pid() != before).then(|| daemon.pid()));
            assert!(said.contains(&format!("MAINPID={new}\n")), "{said}");
        }
        assert!(!said.contains("STOPPING"), "{said}");
        left.retain(|word| !said.starts_with(word));
    }
    hear(&["WATCHDOG=1"]);
    kill(daemon.pid(), Signal::SIGTERM).unwrap();
    hear(&["STOPPING=1"]);
    daemon.host.stop();
}

/// The units in examples/ are what systemd understands, and say the addresses that they say to configure.
#[test]
fn the_units_of_the_examples_are_valid() {
    let scratch = Scratch::new("handover");
    let units = repository().join("examples/systemd");
    let service = fs::read_to_string(units.join("wasmilter.service")).unwrap();
    let service = service.replace("/usr/bin/wasmilter", &binary().display().to_string());
    let files = [
        scratch.write("wasmilter.service", service),
        scratch.write("wasmilter.socket", fs::read(units.join("wasmilter.socket")).unwrap()),
    ];
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("wasmilter"), "{}: {said}", output.status);
}
