//! More mail than the machine can judge, and a service that hangs: what it means for the others. The bounds are wide, the
//! machine may have other things to do; `cargo xtask bench -- --overload` measures.

use crate::{greeted, mail, passed, run};
use futures_util::future::join_all;
use serde_json::json;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use wasmilter_tests::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    scratch::Scratch,
    script::stage,
    wasmilter::{Wasmilter, footprint},
};

/// Each message computes that long; two workers can do 100 in a second.
const COMPUTES: u64 = 20;
/// Each sends the next message as soon as it hears of the last: about 700 in a second when most are told to come again.
const CONNECTIONS: usize = 60;
const LASTS: Duration = Duration::from_secs(4);

#[test]
fn under_overload_some_are_judged_and_all_others_are_told_soon() {
    let scratch = Scratch::new("overload");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let busy = stage("busy", "slow", "grants = [\"headers\", \"clock\"]", &json!({ "milliseconds": COMPUTES }));
    let host = Wasmilter::start_at(&address, &(String::from("[limits]\nworkers = 2\n") + &busy));
    let (mut judged, mut refused, mut negotiated) = (Vec::new(), Vec::new(), Vec::new());
    let memory = run(async {
        let mut mtas = Vec::new();
        for _connection in 0..CONNECTIONS {
            mtas.push(greeted(&address, Flavour::Postfix).await);
        }
        let until = Instant::now() + LASTS;
        let sending = join_all(mtas.iter_mut().map(|mta| send_until(mta, until)));
        let negotiating = async {
            let mut times = Vec::new();
            while Instant::now() < until {
                let began = Instant::now();
                let mta = FakeMta::connect(&address, Flavour::Sendmail, Offer::V6).await.unwrap();
                times.push(began.elapsed());
                mta.quit().await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            times
        };
        let before = footprint(&host).0;
        let (times, connecting) = tokio::join!(sending, negotiating);
        negotiated = connecting;
        for (passed, took) in times.into_iter().flatten() {
            if passed { &mut judged } else { &mut refused }.push(took);
        }
        footprint(&host).0.saturating_sub(before)
    });
    for times in [&mut judged, &mut refused, &mut negotiated] {
        times.sort_unstable();
    }
    let at = |times: &[Duration], percent: usize| times[times.len() * percent / 100];
    eprintln!(
        "{} judged in {:?} / {:?}, {} told to come again in {:?} / {:?}, negotiated in {:?} / {:?} (p50, p99), memory grew by {} kB",
        judged.len(),
        at(&judged, 50),
        at(&judged, 99),
        refused.len(),
        at(&refused, 50),
        at(&refused, 99),
        at(&negotiated, 50),
        at(&negotiated, 99),
        memory / 1024
    );
    assert!(judged.len() >= 40, "{}", judged.len());
    assert!(refused.len() >= judged.len(), "{} were told to come again, {} judged", refused.len(), judged.len());
    assert!(at(&judged, 50) < Duration::from_millis(COMPUTES * 8), "{:?}", at(&judged, 50));
    assert!(at(&refused, 50) < Duration::from_millis(200), "{:?}", at(&refused, 50));
    assert!(at(&negotiated, 99) < Duration::from_secs(1), "{:?}", at(&negotiated, 99));
    assert!(memory < 32 << 20, "{memory}");
    let counted = host.metrics().sum("wasmilter_host_failures_total", &["cause=\"overload\""]);
    assert_eq!(counted, refused.len() as f64);
    host.stop();
}

async fn send_until(mta: &mut FakeMta, until: Instant) -> Vec<(bool, Duration)> {
    let message = mail("one of many");
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let outcome = mta.send(&message).await.unwrap();
        let through = passed(&outcome);
        assert!(through || outcome.reply.text().starts_with("451 4.3.2"), "{outcome:?}");
        times.push((through, began.elapsed()));
    }
    times
}

/// clamd as it is on its worst day: it takes connections and says nothing. Who does not need it does not notice.
#[test]
fn a_service_that_hangs_holds_up_nobody_who_does_not_need_it() {
    let scratch = Scratch::new("overload");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let services = format!("[services.echo]\naddress = \"{}\"\nconnections = 100\n", silent.local_addr().unwrap());
    let scanning =
        "grants = [\"service:echo\"]\ntimeout = \"3s\"\nconcurrency = 20\nwhen = \"header('x-scan') == 'yes'\"";
    let config = services
        + "[limits]\nin_flight = 100\nworkers = 2\n"
        + &stage("scan", "caller", scanning, &json!({}))
        + &stage("look", "noop", "grants = [\"headers\"]", &json!({}));
    let host = Wasmilter::start_at(&address, &config);
    let to_scan = Mail::new(&[("X-Scan", " yes")], "text\r\n");
    run(async {
        let (mut scanned, mut others) = (Vec::new(), Vec::new());
        for _connection in 0..120 {
            scanned.push(greeted(&address, Flavour::Postfix).await);
        }
        for _connection in 0..4 {
            others.push(greeted(&address, Flavour::Postfix).await);
        }
        let hanging = join_all(scanned.iter_mut().map(|mta| mta.send(&to_scan)));
        let others = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let until = Instant::now() + Duration::from_millis(1500);
            join_all(others.iter_mut().map(|mta| send_until(mta, until))).await
        };
        let (hanging, others) = tokio::join!(hanging, others);
        for outcome in hanging {
            let outcome = outcome.unwrap();
            assert!(outcome.reply.text().starts_with("451 4.3."), "{outcome:?}");
        }
        let others: Vec<_> = others.into_iter().flatten().collect();
        let slowest = others.iter().map(|(_, took)| *took).max().unwrap();
        eprintln!("{} others, none slower than {slowest:?}", others.len());
        assert!(others.iter().all(|(passed, _)| *passed), "{others:?}");
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    });
    host.stop();
}
