//! Another configuration while mail flows: nothing is lost, nothing is mixed, nothing is left behind.

use crate::{greeted, mail, passed, run};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use wasmilter_tests::{
    fake_mta::{Edit, Flavour, Outcome},
    scratch::Scratch,
    script::scripted,
    wait,
    wasmilter::{Wasmilter, command, footprint},
};

/// Two stages that mark each message with the configuration that they belong to.
fn marking(mark: &str) -> String {
    let stage = |name: &str| {
        let header = format!("X-{name}");
        scripted(name, "", &json!({ "edits": [{ "add-header": { "name": header, "value": mark } }] }))
    };
    stage("first") + &stage("second")
}

/// Which configuration judged a message: both its marks, which must agree.
fn judged_by(outcome: &Outcome) -> String {
    assert!(passed(outcome), "{outcome:?}");
    let mut marks: Vec<String> = outcome
        .edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::AddHeader { name, value } if name.starts_with(b"X-") => {
                Some(String::from_utf8_lossy(value).trim().to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(marks.len(), 2, "{outcome:?}");
    assert_eq!(marks[0], marks[1], "one message was judged by two configurations");
    marks.remove(0)
}

fn rewrite(file: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, change(&text)).unwrap();
}

/// Puts other stages below what stands above the first one.
fn put_stages(file: &Path, stages: &str) {
    let guests = wasmilter_tests::corpus::repository().join("target/guests");
    let stages = stages.replace("GUESTS", &guests.display().to_string());
    rewrite(file, |text| format!("{}{stages}", text.split("[[stage]]").next().unwrap()));
}

fn reload(admin: SocketAddr) -> (bool, String) {
    let output = command(&["reload", "--admin", &admin.to_string()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

struct Running {
    host: Wasmilter,
    address: String,
    file: PathBuf,
    _scratch: Scratch,
}

fn start(config: &str) -> Running {
    let scratch = Scratch::new("reload");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let host = Wasmilter::start_at(&address, config);
    let file = host.config();
    Running { host, address, file, _scratch: scratch }
}

#[test]
fn under_load_every_message_is_judged_wholly_by_one_configuration() {
    const RELOADS: usize = 20;
    let Running { host, address, file, _scratch } = start(&marking("0"));
    let admin = host.admin();
    run(async {
        let reloads = tokio::task::spawn_blocking(move || {
            for number in 1..=RELOADS {
                put_stages(&file, &marking(&number.to_string()));
                let (done, said) = reload(admin);
                assert!(done, "{said}");
            }
        });
        let mut seen = Vec::new();
        let (mut one, mut two) =
            (greeted(&address, Flavour::Postfix).await, greeted(&address, Flavour::Sendmail).await);
        while !reloads.is_finished() {
            // One connection for all, and a new one for each.
            let mut short = greeted(&address, Flavour::Postfix).await;
            let (message, other) = (mail("load"), mail("other"));
            let (a, b, c) = tokio::join!(one.send(&message), two.send(&message), short.send(&other));
            seen.extend([a, b, c].map(|outcome| judged_by(&outcome.unwrap())));
            short.quit().await.unwrap();
        }
        reloads.await.unwrap();
        let last = judged_by(&one.send(&mail("last")).await.unwrap());
        assert_eq!(last, RELOADS.to_string());
        seen.dedup();
        assert!(seen.len() > 3, "reloads happened while mail flowed: {seen:?}");
    });
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_config_reloads_total", &["outcome=\"successful\""]), RELOADS as f64);
    assert_eq!(metrics.sum("wasmilter_stage_failures_total", &[]), 0.0, "{}", metrics.text());
    assert_eq!(metrics.sum("wasmilter_host_failures_total", &[]), 0.0, "{}", metrics.text());
    host.stop();
}

#[test]
fn a_transaction_that_began_ends_with_its_configuration() {
    let Running { host, address, file, _scratch } = start(&marking("old"));
    let admin = host.admin();
    run(async {
        let mut mta = greeted(&address, Flavour::Postfix).await;
        assert_eq!(judged_by(&mta.send(&mail("before")).await.unwrap()), "old");
        mta.command(b'M', b"<ann@example.net>\0").await.unwrap();
        mta.command(b'R', b"<bert@example.org>\0").await.unwrap();
        mta.command(b'L', b"Subject\0 between\0").await.unwrap();
        mta.flush().await.unwrap();
        // The daemon has read what was sent before it reloads: the reload compiles nothing, but is asked for later.
        tokio::time::sleep(Duration::from_millis(300)).await;
        put_stages(&file, &marking("new"));
        let (done, said) = tokio::task::spawn_blocking(move || reload(admin)).await.unwrap();
        assert!(done, "{said}");
        mta.command(b'B', b"body\r\n").await.unwrap();
        assert_eq!(judged_by(&mta.end_of_message().await.unwrap()), "old");
        assert_eq!(judged_by(&mta.send(&mail("after")).await.unwrap()), "new");
        mta.quit().await.unwrap();
    });
    host.stop();
}

#[test]
fn a_mistake_leaves_everything_as_it_was_and_is_told() {
    let Running { host, address, file, _scratch } = start(&marking("good"));
    let whole = fs::read_to_string(&file).unwrap();
    for (wrong, expected) in [
        (whole.replace("[[stage]]", "[[stage]]\ntimeout = 'soon'"), "timeout"),
        (whole.replace("scripted.wasm", "gone.wasm"), "gone.wasm"),
        (whole.replace("milter.sock", "other.sock"), "milter.listen"),
        (format!("[limits]\nworkers = 77\n{whole}"), "limits.workers"),
        (format!("[log]\nlevel = 'debug'\n{whole}"), "restart the daemon"),
        ("[".to_owned(), "not TOML"),
    ] {
        fs::write(&file, wrong).unwrap();
        let (done, said) = reload(host.admin());
        assert!(!done && said.contains(expected), "{expected}: {said}");
        let metrics = host.metrics();
        assert_eq!(metrics.sum("wasmilter_config_last_reload_successful", &[]), 0.0);
        run(async {
            let mut mta = greeted(&address, Flavour::Postfix).await;
            assert_eq!(judged_by(&mta.send(&mail("still")).await.unwrap()), "good");
            mta.quit().await.unwrap();
        });
    }
    fs::write(&file, &whole).unwrap();
    let (done, said) = reload(host.admin());
    assert!(done, "{said}");
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_config_last_reload_successful", &[]), 1.0);
    assert_eq!(metrics.sum("wasmilter_config_reloads_total", &["outcome=\"refused\""]), 6.0);
    assert!(host.log().contains("reload refused"), "{}", host.log());
    host.stop();
}

#[test]
fn sighup_reloads_and_so_does_a_changed_file() {
    let Running { host, address, file, _scratch } = start(&format!("[reload]\nwatch = true\n{}", marking("0")));
    let judged_now = || {
        run(async {
            let mut mta = greeted(&address, Flavour::Postfix).await;
            let by = judged_by(&mta.send(&mail("now")).await.unwrap());
            mta.quit().await.unwrap();
            by
        })
    };
    let limit = Duration::from_secs(60);
    put_stages(&file, &marking("1"));
    wait::until("the changed file to count", limit, || (judged_now() == "1").then_some(()));
    rewrite(&file, |text| text.replace("watch = true", "watch = false"));
    put_stages(&file, &marking("2"));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(host.pid()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    wait::until("SIGHUP to count", limit, || (judged_now() == "2").then_some(()));
    host.stop();
}

/// Stages, services, sandbox and all: whatever changes, what it was before is gone soon.
#[test]
fn nothing_of_an_old_configuration_is_left() {
    let Running { host, address, file, _scratch } = start(&marking("0"));
    let admin = host.admin();
    let round = |number: usize| {
        // Another memory limit is another recipe; every fifth time another sandbox.
        let memory = if number.is_multiple_of(5) { "memory = \"128MB\"" } else { "memory = \"32MB\"" };
        put_stages(&file, &marking(&number.to_string()).replace("grants =", &format!("{memory}\ngrants =")));
        let (done, said) = reload(admin);
        assert!(done, "{said}");
        run(async {
            let mut mta = greeted(&address, Flavour::Postfix).await;
            assert_eq!(judged_by(&mta.send(&mail("round")).await.unwrap()), number.to_string());
            mta.quit().await.unwrap();
        });
    };
    (1..=10).for_each(round);
    let settled = || {
        std::thread::sleep(Duration::from_secs(2));
        footprint(&host)
    };
    let (memory, descriptors) = settled();
    (11..=40).for_each(round);
    let (memory_after, descriptors_after) = settled();
    assert!(descriptors_after <= descriptors, "{descriptors} descriptors became {descriptors_after}");
    assert!(memory_after < memory + (64 << 20), "{memory} bytes became {memory_after}");
    host.stop();
}
