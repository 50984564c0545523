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
    rc::Rc,
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::task::LocalSet;
use wasmilter_tests::{
    corpus::{self, Specimen},
    fake_mta::{FakeMta, Flavour, Mail, Offer, Outcome},
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
             grants = [\"body\", \"set-client\", \"clock\", \"random\"]\n[stage.config]\n{config}\n"
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
    let specimens: Vec<Specimen> = corpus::own().into_iter().chain(corpus::shared(1)).collect();
    let total = specimens.len();
    assert!(total > 0, "no corpus at all");

    let started = Instant::now();
    let queue = Rc::new(std::cell::RefCell::new(specimens));
    let wrong = Rc::new(std::cell::RefCell::new(Vec::new()));
    run(async |tasks| {
        for number in 0..8 {
            let (queue, wrong) = (Rc::clone(&queue), Rc::clone(&wrong));
            let address = format!("unix:{}", socket.display());
            tasks.spawn_local(async move {
                let flavour = if number % 2 == 0 { Flavour::Postfix } else { Flavour::Sendmail };
                let mut mta = greeted(&address, flavour).await;
                loop {
                    let next = queue.borrow_mut().pop();
                    let Some(specimen) = next else { break };
                    match mta.send(&mail(&specimen.message)).await {
                        Ok(outcome) if untouched(&outcome) => {}
                        Ok(outcome) => {
                            let Outcome { stage, edits, reply, .. } = outcome;
                            let edits = format!("{edits:?}").chars().take(200).collect::<String>();
                            let line = format!("{}: {} {reply:?} {edits}", specimen.name, char::from(stage));
                            wrong.borrow_mut().push(line);
                        }
                        Err(error) => {
                            wrong.borrow_mut().push(format!("{}: {error}", specimen.name));
                            mta = greeted(&address, flavour).await;
                        }
                    }
                }
                mta.quit().await.unwrap();
            });
        }
    });
    let wrong = wrong.borrow();
    eprintln!("{total} messages in {:?}", started.elapsed());
    assert!(wrong.is_empty(), "{} of {total}:\n{}", wrong.len(), wrong.join("\n"));
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

const CONNECTIONS: usize = 200;
const MESSAGES: usize = 10_000;

#[test]
fn ten_thousand_messages_on_two_hundred_connections_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = Scratch::new("load");
    let socket = scratch.join("milter.sock");
    let address = format!("unix:{}", socket.display());
    let mark = json!({ "edits": [{ "add-header": { "name": "X-Marked", "value": "yes" } }] });
    let config = observing() + &scripted("mark", "when = \"envelope.sender.local == 'a'\"", &mark);
    let host = Wasmilter::start(&socket, &config);
    let specimens: Rc<Vec<Mail>> = Rc::new(corpus::own().iter().map(|specimen| mail(&specimen.message)).collect());

    // The allocator's arenas and the sandboxes' pool grow to what the load needs and stay so: the second time counts.
    let settled = || {
        wait::until("connections to close", Duration::from_secs(30), || {
            (host.metrics().sum("wasmilter_connections", &[]) == 0.0).then_some(())
        });
        footprint(&host)
    };
    flood(&address, &specimens, MESSAGES / 2);
    let (memory_before, descriptors_before) = settled();
    let started = Instant::now();
    flood(&address, &specimens, MESSAGES);
    let took = started.elapsed();
    let (memory_after, descriptors_after) = settled();

    let (before, after) = (memory_before / 1_048_576, memory_after / 1_048_576);
    eprintln!(
        "{MESSAGES} messages on {CONNECTIONS} connections in {took:?}; {before} MiB and {descriptors_before} descriptors \
         before, {after} MiB and {descriptors_after} after"
    );
    assert_eq!(descriptors_after, descriptors_before, "descriptors");
    assert!(memory_after < memory_before + memory_before / 10 + 8 * 1_048_576, "from {before} to {after} MiB");
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_messages_total", &[]), (MESSAGES + MESSAGES / 2) as f64);
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

fn untouched(outcome: &Outcome) -> bool {
    outcome.edits.is_empty() && matches!(outcome.reply.command, b'c' | b'a')
}

/// The message as an MTA has it: what is no header field, and all after it, is body.
fn mail(message: &[u8]) -> Mail {
    let letter = Letter::parse(message);
    let mut mail = Mail::new(&[], letter.body);
    mail.headers = letter.fields.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
    mail
}
