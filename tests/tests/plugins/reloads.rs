//! Thousands of reloads with a plugin in Rust and one in JavaScript: memory and descriptors stay flat.

use std::{fs, io::Write as _, net::TcpStream, time::Duration};
use wasmilter_tests::{
    corpus::repository,
    scratch::Scratch,
    wasmilter::{Wasmilter, footprint},
};

/// How many in every run of the tests, some seconds; `RELOADS=10000` in the environment takes minutes.
const RELOADS: usize = 400;

/// The stages of one round. Every round has other settings for the plugin in Rust, every tenth for the one in JavaScript too, so that
/// they are configured and snapshot anew; what did not change goes over to the new pipeline.
fn stages(round: usize) -> String {
    let examples = repository().join("target/examples");
    let plugin = |name: &str| examples.join(format!("{name}.wasm")).display().to_string();
    // Some settings come again, and none follows itself.
    let (which, seldom) = (round % 7, round / 10 % 7);
    format!(
        "[[stage]]\nname = \"types\"\nplugin = {:?}\ngrants = [\"attachments\"]\n[stage.config]\n{}\n[[stage]]\nname = \"banner\"\nplugin = {:?}\ngrants = [\"envelope\", \"headers\", \"text\"]\n[stage.config]\ndomains = [\"{seldom}.example.org\"]\n",
        plugin("attachment-types"),
        TYPES.replace("WHICH", &which.to_string()),
        plugin("external-banner"),
    )
}

const TYPES: &str = "deny = [\"program\"]\nreply = \"not accepted (WHICH): {file} is {why}\"";

#[test]
fn memory_and_descriptors_stay_flat() {
    let reloads = std::env::var("RELOADS").map_or(RELOADS, |told| told.parse().expect("RELOADS is a number"));
    let scratch = Scratch::new("reloads");
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let host = Wasmilter::start_at(&address, &format!("[log]\nlevel = \"warn\"\n{}", stages(0)));
    let file = host.config();
    let head = fs::read_to_string(&file).unwrap().split("[[stage]]").next().unwrap().to_owned();
    let mut seen: Vec<(usize, u64, usize)> = Vec::new();
    for round in 1..=reloads {
        fs::write(&file, head.clone() + &stages(round)).unwrap();
        post_reload(&host);
        if round % (reloads / 20).max(1) == 0 {
            let (memory, descriptors) = footprint(&host);
            seen.push((round, memory >> 20, descriptors));
        }
    }
    eprintln!("reloads, MiB, descriptors: {seen:?}");
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_config_reloads_total", &["outcome=\"successful\""]), reloads as f64);
    // The first quarter is for pools, caches and the allocator to find their size.
    let (early, late) = seen.split_at(seen.len() / 4);
    let most = |part: &[(usize, u64, usize)]| part.iter().map(|(_, memory, _)| *memory).max().unwrap();
    let descriptors = |part: &[(usize, u64, usize)]| part.iter().map(|(_, _, open)| *open).max().unwrap();
    assert!(most(late) <= most(early) + 48, "memory grew: {seen:?}");
    assert!(descriptors(late) <= descriptors(early) + 8, "descriptors grew: {seen:?}");
    host.stop();
}

/// What `wasmilter reload` does, without a process for each.
fn post_reload(host: &Wasmilter) {
    let admin = host.admin();
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream
        .write_all(format!("POST /reload HTTP/1.0\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n").as_bytes())
        .unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}
