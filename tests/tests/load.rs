//! Much mail through one host process, from a fake MTA: nothing is changed that nobody asked to change, nothing
//! panics, and nothing is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

use serde_json::json;
use std::{
    cell::RefCell,
    path::Path,
    rc::Rc,
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::task::LocalSet;
use wasmilter_tests::{
    corpus::{self, Specimen},
    fake_mta::{FakeMta, Flavour, Mail, Offer, Outcome, delivered},
    letter::Letter,
    scratch::Scratch,
    script::{scripted, stage},
    wait,
    wasmilter::{Wasmilter, footprint},
};

/// What is measured must not be disturbed by what else this binary tests.
static ALONE: Mutex<()> = Mutex::new(());

/// The bundled plugins look at everything and say what they find; nothing of it is done.
fn observing() -> String {
    let bundled = |name: &str, config: &str| {
        format!(
            "[[stage]]\nname = {name:?}\nplugin = {name:?}\nmode = \"shadow\"\non_failure = \"skip\"\n\
             grants = [\"envelope\", \"headers\", \"body\", \"set-client\", \"clock\", \"random\"]\n[stage.config]\n{config}\n"
        )
    };
    [
        bundled("peer-address", "trusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]"),
        bundled("virus", ""),
        bundled("spam", ""),
        bundled("disclaimer", "text = \"Grüße von allen.\"\nhtml = \"<p>Grüße von allen.</p>\""),
        stage("noop", "noop", "grants = [\"body\"]", &json!({})),
    ]
    .concat()
}

#[test]
fn every_message_of_the_corpus_comes_out_as_it_went_in() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new("load");
    let socket = scratch.join("milter.sock");
    let host = Wasmilter::start(&socket, &observing());
    let total = judge_corpus(&socket, |_mail, outcome, _flavour, _leading_space| {
        let edits = || format!("{:?}", outcome.edits).chars().take(200).collect::<String>();
        let passed = matches!(outcome.reply.command, b'c' | b'a');
        (!passed || !outcome.edits.is_empty()).then(|| format!("{:?} {}", outcome.reply, edits()))
    });
    let metrics = host.metrics();
    let failures: Vec<&str> =
        metrics.text().lines().filter(|line| line.starts_with("wasmilter_stage_failures_total")).collect();
    assert_eq!(metrics.sum("wasmilter_stage_failures_total", &[]), 0.0, "{}", failures.join("\n"));
    assert_eq!(metrics.sum("wasmilter_messages_total", &[]), total as f64);
    for plugin in ["peer-address", "virus", "spam", "disclaimer", "noop"] {
        let decisions = metrics.sum("wasmilter_stage_decisions_total", &[&format!("stage={plugin:?}")]);
        assert_eq!(decisions, total as f64, "{plugin}");
    }
    host.stop();
}

/// On real mail with its repeated, folded and broken fields, and by the rules of both mail servers.
#[test]
fn edits_of_every_message_of_the_corpus_change_only_what_they_name() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new("load");
    let socket = scratch.join("milter.sock");
    let edits = json!({ "edits": [
        { "remove-header": { "name": "Received", "occurrence": 0 } },
        { "insert-header": { "name": "X-Inserted", "value": "on top" } },
        { "add-header": { "name": "X-Added", "value": "below" } },
    ] });
    let change =
        json!({ "edits": [{ "replace-header": { "name": "x-added", "occurrence": 1, "value": "folded\r\n below" } }] });
    let host = Wasmilter::start(
        &socket,
        &(scripted("edits", "", &edits) + &scripted("change", "when = \"'x-added' in headers\"", &change)),
    );
    judge_corpus(&socket, |mail, outcome, flavour, leading_space| {
        let delivered = match delivered(mail, outcome, flavour, leading_space) {
            Ok(Some(delivered)) => delivered,
            other => return Some(format!("{:?} {other:?}", outcome.reply)),
        };
        let named =
            |name: &[u8]| ["received", "x-inserted"].iter().any(|edited| name.eq_ignore_ascii_case(edited.as_bytes()));
        let (before, after) = (&mail.headers, &delivered.headers);
        let kept: Vec<_> = before.iter().filter(|(name, _)| !named(name)).collect();
        let got: Vec<_> = after.iter().skip(1).filter(|(name, _)| !name.eq_ignore_ascii_case(b"x-added")).collect();
        let added = after.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"x-added"));
        let as_wanted = after.first().is_some_and(|(name, value)| name == b"X-Inserted" && value == b" on top")
            && added.is_some_and(|(_, value)| value == b" folded\r\n below")
            && kept == got
            && delivered.body == mail.body;
        (!as_wanted).then(|| format!("{flavour:?}: {} fields became {}", before.len(), after.len()))
    });
    host.stop();
}

/// Sends every message there is over several connections, and panics with what `check` said of them. Gives their
/// number.
fn judge_corpus(socket: &Path, check: impl Fn(&Mail, &Outcome, Flavour, bool) -> Option<String> + 'static) -> usize {
    let specimens: Vec<Specimen> = corpus::own().into_iter().chain(corpus::shared(1)).collect();
    let total = specimens.len();
    assert!(total > 0, "no corpus at all");
    let started = Instant::now();
    let (queue, check, wrong) = (Rc::new(RefCell::new(specimens)), Rc::new(check), Rc::new(RefCell::new(Vec::new())));
    run(async |tasks| {
        for number in 0..8 {
            let (queue, check, wrong) = (Rc::clone(&queue), Rc::clone(&check), Rc::clone(&wrong));
            let address = format!("unix:{}", socket.display());
            tasks.spawn_local(async move {
                let flavour = if number % 2 == 0 { Flavour::Postfix } else { Flavour::Sendmail };
                let mut mta = greeted(&address, flavour).await;
                loop {
                    let next = queue.borrow_mut().pop();
                    let Some(specimen) = next else { break };
                    let mail = Letter::parse(&specimen.message).into_mail();
                    let complaint = match mta.send(&mail).await {
                        Ok(outcome) => check(&mail, &outcome, flavour, mta.leading_space()),
                        Err(error) => {
                            mta = greeted(&address, flavour).await;
                            Some(error.to_string())
                        }
                    };
                    wrong.borrow_mut().extend(complaint.map(|complaint| format!("{}: {complaint}", specimen.name)));
                }
                mta.quit().await.unwrap();
            });
        }
    });
    eprintln!("{total} messages in {:?}", started.elapsed());
    let wrong = wrong.borrow();
    assert!(wrong.is_empty(), "{} of {total}:\n{}", wrong.len(), wrong.join("\n"));
    total
}

const CONNECTIONS: usize = 200;
const ROUND: usize = 5_000;
/// Memory grows in steps to what the load needs (slots of the sandboxes' pool, the allocator's arenas) and then stays. It
/// is seen to stay when it grew by less than this, in kB, …
const STILL: u64 = 512;
/// … in so many rounds in a row …
const STILL_ROUNDS: usize = 3;
/// … within so many. A leak of 100 bytes a message would show in every round.
const ROUNDS: usize = 30;

#[test]
fn tens_of_thousands_of_messages_on_two_hundred_connections_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new("load");
    let socket = scratch.join("milter.sock");
    let address = format!("unix:{}", socket.display());
    let mark = json!({ "edits": [{ "add-header": { "name": "X-Marked", "value": "yes" } }] });
    // All at once is more than the machine can do; here nobody is told to come again.
    let config = String::from("[limits]\nqueue_time = \"2m\"\n")
        + &observing()
        + &scripted("mark", "when = \"envelope.sender.local == 'a'\"", &mark);
    let host = Wasmilter::start(&socket, &config);
    let specimens: Rc<Vec<Mail>> =
        Rc::new(corpus::own().iter().map(|specimen| Letter::parse(&specimen.message).into_mail()).collect());

    let settled = || {
        wait::until("connections to close", Duration::from_secs(30), || {
            (host.metrics().sum("wasmilter_connections", &[]) == 0.0).then_some(())
        });
        footprint(&host)
    };
    flood(&address, &specimens, ROUND);
    let (mut memory, descriptors) = settled();
    let mut growth: Vec<u64> = Vec::new();
    let started = Instant::now();
    let still = |growth: &[u64]| growth.iter().rev().take_while(|grown| **grown < STILL).count() >= STILL_ROUNDS;
    while !still(&growth) {
        assert!(growth.len() < ROUNDS, "memory grew by {growth:?} kB in rounds of {ROUND} messages");
        flood(&address, &specimens, ROUND);
        let now = settled().0;
        growth.push(now.saturating_sub(memory) / 1024);
        memory = now;
    }
    let (took, rounds) = (started.elapsed(), growth.len());
    eprintln!(
        "{} messages on {CONNECTIONS} connections in {took:?}; memory grew by {growth:?} kB to {} MiB",
        ROUND * rounds,
        memory >> 20
    );
    // The connection that asked for the metrics may take a moment to go.
    wait::until("descriptors to be closed", Duration::from_secs(10), || {
        (footprint(&host).1 <= descriptors).then_some(())
    });
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_messages_total", &[]), (ROUND * (rounds + 1)) as f64);
    assert_eq!(metrics.sum("wasmilter_stage_failures_total", &[]), 0.0, "{}", metrics.text());
    assert_eq!(metrics.sum("wasmilter_stage_in_flight", &[]), 0.0);
    host.stop();
}

/// Sends so many messages, evenly over all connections, all of which are open at once.
fn flood(address: &str, specimens: &Rc<Vec<Mail>>, messages: usize) {
    run(async |tasks| {
        let all_open = Rc::new(tokio::sync::Barrier::new(CONNECTIONS));
        for number in 0..CONNECTIONS {
            let (address, specimens, all_open) = (address.to_owned(), Rc::clone(specimens), Rc::clone(&all_open));
            tasks.spawn_local(async move {
                let flavour = if number % 2 == 0 { Flavour::Postfix } else { Flavour::Sendmail };
                let mut mta = greeted(&address, flavour).await;
                all_open.wait().await;
                for round in 0..messages / CONNECTIONS {
                    let mail = &specimens[(number * 7 + round) % specimens.len()];
                    let outcome = mta.send(mail).await.unwrap();
                    assert!(matches!(outcome.reply.command, b'c' | b'a'), "{outcome:?}");
                    assert_eq!(outcome.edits.len(), 1, "{outcome:?}");
                }
                mta.quit().await.unwrap();
            });
        }
    });
}

/// Runs what `start` spawns to its end, on this thread.
fn run(start: impl AsyncFnOnce(&LocalSet)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = LocalSet::new();
    runtime.block_on(start(&tasks));
    runtime.block_on(tasks);
}

async fn greeted(address: &str, flavour: Flavour) -> FakeMta {
    let mut mta = FakeMta::connect(address, flavour, Offer::V6).await.unwrap();
    mta.patience = Duration::from_secs(120);
    let refused = mta.greet("192.0.2.1").await.unwrap();
    assert!(refused.is_none(), "{refused:?}");
    mta
}
