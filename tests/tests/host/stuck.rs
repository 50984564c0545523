//! A worker thread that does not go on: one thread of the real process is stopped by the kernel (ptrace), as a file system
//! that hangs would stop it.

use crate::{greeted, mail, passed, run};
use nix::{
    errno::Errno,
    sys::{
        ptrace,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};
use wasmilter_tests::{
    fake_mta::Flavour,
    scratch::Scratch,
    script::stage,
    wait,
    wasmilter::{Wasmilter, get},
};

/// A thread of another process that this thread holds.
struct Held(Pid);

impl Held {
    /// Stops the first worker of a host: of the threads that actix made, the oldest.
    fn worker(host: &Wasmilter) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap().flatten();
        let mut workers: Vec<i32> = tasks
            .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("actix-rt")))
            .map(|task| task.file_name().to_str().unwrap().parse().unwrap())
            .collect();
        workers.sort_unstable();
        let thread = Pid::from_raw(*workers.first().expect("a thread that is named as an arbiter"));
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        assert!(matches!(
            waitpid(thread, Some(WaitPidFlag::__WALL)),
            Ok(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..))
        ));
        Self(thread)
    }

    fn let_go(self) {
        ptrace::detach(self.0, None).unwrap();
    }

    /// Takes note of its end, without which its process could not end.
    fn buried(&self) -> bool {
        match waitpid(self.0, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => false,
            Ok(_) | Err(Errno::ECHILD) => true,
            Err(error) => panic!("waiting for the thread: {error}"),
        }
    }
}

fn start(scratch: &Scratch, more: &str) -> (Wasmilter, String) {
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let config = format!("[limits]\nworkers = 2\n{more}") + &stage("look", "noop", "", &json!({}));
    (Wasmilter::start_at(&address, &config), address)
}

fn readiness(host: &Wasmilter) -> String {
    let (status, text) = get(host.admin(), "/readyz").expect("an answer from /readyz");
    format!("{status} {}", text.trim())
}

#[test]
fn a_worker_that_hangs_for_a_while_turns_readiness_and_the_others_go_on() {
    let scratch = Scratch::new("stuck");
    let (host, address) = start(&scratch, "");
    let held = Held::worker(&host);
    wait::until("the host to notice", Duration::from_secs(30), || (readiness(&host) == "503 stuck").then_some(()));
    // Connections that the other worker takes are served. Some of them the stopped one had taken already.
    run(async {
        let mut served = 0;
        for _connection in 0..6 {
            let session = async {
                let mut mta = greeted(&address, Flavour::Postfix).await;
                passed(&mta.send(&mail("beside")).await.unwrap())
            };
            served += usize::from(tokio::time::timeout(Duration::from_secs(5), session).await == Ok(true));
        }
        assert!(served > 0, "nobody was served");
    });
    held.let_go();
    wait::until("the host to be ready again", Duration::from_secs(30), || {
        (readiness(&host) == "200 ready").then_some(())
    });
    assert!(
        host.log().contains("worker does not answer") && host.log().contains("worker answers again"),
        "{}",
        host.log()
    );
    host.stop();
}

#[test]
fn a_worker_that_hangs_for_good_ends_the_process_with_an_error() {
    let scratch = Scratch::new("stuck");
    let (mut host, _address) = start(&scratch, "shutdown = \"1s\"\n");
    let held = Held::worker(&host);
    let started = Instant::now();
    let status = wait::until("the process to end", Duration::from_secs(90), || {
        held.buried().then_some(())?;
        host.exit_status()
    });
    eprintln!("ended with {status} after {:.1?}", started.elapsed());
    assert_eq!(status.code(), Some(1), "{}", host.log());
    assert!(host.log().contains("worker 0 does not answer"), "{}", host.log());
}

/// Told to stop while a worker hangs, it ends all the same.
#[test]
fn a_worker_that_hangs_does_not_hold_up_the_end() {
    let scratch = Scratch::new("stuck");
    let (mut host, _address) = start(&scratch, "shutdown = \"1s\"\n");
    let held = Held::worker(&host);
    host.tell_to_stop();
    let started = Instant::now();
    let status = wait::until("the process to end", Duration::from_secs(60), || {
        held.buried().then_some(())?;
        host.exit_status()
    });
    eprintln!("ended with {status} after {:.1?}", started.elapsed());
    assert!(status.success(), "{status}: {}", host.log());
}
