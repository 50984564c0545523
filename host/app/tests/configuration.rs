//! Sample configurations: `config/NAME.toml` must give the mistakes in `config/NAME.err`, and none where there is no such
//! file. Looks at the text alone. With `UPDATE_EXPECTED=1` in the environment the expectations are written instead; read
//! the difference before you commit it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

use std::{fs, path::Path, time::Duration};
use wasmilter_app::config::{Config, source::Source};

#[test]
fn every_sample_gives_the_expected_mistakes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut samples = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        samples += 1;
        let name = path.file_name().unwrap();
        let (_, mistakes) = Config::parse(&Source::new(name, fs::read_to_string(&path).unwrap()));
        let expected_file = path.with_extension("err");
        let got = mistakes.render(false);
        if update {
            match got.is_empty() {
                true => drop(fs::remove_file(&expected_file)),
                false => fs::write(&expected_file, &got).unwrap(),
            }
        } else if got != fs::read_to_string(&expected_file).unwrap_or_default() {
            wrong.push(format!("{}:\n{got}", name.display()));
        }
    }
    assert!(samples >= 10, "{samples} samples");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let text = include_str!("config/smallest.toml");
    let (config, mistakes) = Config::parse(&Source::new("smallest.toml", text));
    assert!(mistakes.is_empty(), "{mistakes}");
    assert!(config.admin.is_none());
    assert_eq!((config.limits.in_flight, config.limits.message_size), (256, 100_000_000));
    assert_eq!(config.limits.message_deadline.as_secs(), 60);
    assert_eq!((config.limits.body_in_memory, config.limits.bodies_in_memory), (8_000_000, 64_000_000));
    assert_eq!(config.limits.bodies_in_flight, 64_000_000);
    assert_eq!(config.limits.queue_time.as_millis(), 80);
    let stage = &config.stages[0];
    assert_eq!((stage.timeout.as_secs(), stage.limits.memory, stage.concurrency), (10, 64_000_000, 16));
    assert_eq!(stage.limits, wasmilter_wasm::Limits { memory: 64_000_000, ..wasmilter_wasm::Limits::default() });
    assert_eq!(stage.breaker, wasmilter_pipeline::BreakerSettings::default());
    assert_eq!((config.dns.servers.len(), config.dns.timeout.as_secs(), config.dns.cache), (0, 5, 10_000));
    assert_eq!((config.store.file.is_none(), config.store.entries, config.reload.watch), (true, 100_000, false));
    assert_eq!(stage.on_failure, wasmilter_pipeline::OnFailure::Tempfail);
    assert_eq!(stage.mode, wasmilter_pipeline::Mode::Enforce);
    assert_eq!(stage.isolation, wasmilter_wasm::Isolation::Message);
    assert_eq!(stage.grants.names(), ["text", "attachments", "raw"]);
}

#[test]
fn every_key_arrives() {
    let text = include_str!("config/everything.toml");
    let (config, mistakes) = Config::parse(&Source::new("/etc/w/everything.toml", text));
    assert!(mistakes.is_empty(), "{mistakes}");
    let listen: Vec<String> = config.milter.listen.iter().map(|address| address.value.to_string()).collect();
    assert_eq!(listen, ["unix:/run/wasmilter/milter.sock", "inet:127.0.0.1:8891", "inet:127.0.0.1:8892"]);
    assert_eq!(config.limits.message_deadline.as_secs(), 90);
    assert_eq!((config.limits.body_in_memory, config.limits.workers), (1 << 20, 4));
    assert_eq!(config.limits.bodies_in_flight, 100_000_000);
    assert_eq!(config.limits.queue_time.as_millis(), 200);
    let routes: Vec<_> =
        config.routes.iter().map(|route| (route.name.as_str(), route.when.is_some(), route.stages.len())).collect();
    assert_eq!((routes, config.local.is_some()), (vec![("inbound", true, 1), ("rest", false, 0)], true));
    assert_eq!(config.stages[0].group.as_ref().map(|group| group.value.as_str()), Some("scan"));
    assert_eq!(config.services["clamd"].address.to_string(), "unix:/run/clamav/clamd.ctl");
    assert_eq!((config.services["clamd"].connections, config.services["rspamd"].connections), (8, 16));
    assert_eq!(config.plugins.directory.unwrap(), Path::new("/etc/w/plugins"));
    let stage = &config.stages[0];
    let grants = stage.grants.names().join(" ");
    let expected =
        "envelope headers text attachments raw recipients set-client service:clamd dns store:shared clock random";
    assert_eq!(grants, expected);
    let limits = wasmilter_wasm::Limits {
        cpu: Duration::from_secs(2),
        memory: 64_000_000,
        inline_bytes: 1_000_000,
        output_bytes: 10_000_000,
        host_calls: 1_000,
        log_lines: 10,
        log_bytes: 2_000,
        edits: 20,
        facts: 5,
        fact_bytes: 4_000,
        open_streams: 2,
        service_bytes: 5_000_000,
        dns_queries: 7,
        store_calls: 9,
    };
    assert_eq!(stage.limits, limits);
    let (pause, longest_pause) = (Duration::from_secs(10), Duration::from_secs(60));
    assert_eq!(stage.breaker, wasmilter_pipeline::BreakerSettings { failures: 3, pause, longest_pause });
    let servers: Vec<String> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:5353"]);
    assert_eq!((config.dns.timeout.as_secs(), config.dns.cache), (2, 500));
    assert_eq!(config.store.file.as_ref().unwrap().value, Path::new("/etc/w/store.redb"));
    assert_eq!((config.store.entries, config.reload.watch), (5_000, true));
    assert_eq!(stage.mode, wasmilter_pipeline::Mode::Shadow);
    assert_eq!(stage.on_failure, wasmilter_pipeline::OnFailure::Quarantine);
    assert!(matches!(stage.isolation, wasmilter_wasm::Isolation::Worker { .. }));
    let expected = serde_json::json!({"service": "clamd", "thresholds": {"reject": 15.0, "tag": 5}});
    assert_eq!(serde_json::Value::Object(stage.config.json.clone()), expected);
}

#[test]
fn a_pointer_of_a_plugin_leads_to_its_line_and_key() {
    let text = include_str!("config/everything.toml");
    let source = Source::new("everything.toml", text);
    let settings = &Config::parse(&source).0.stages[0].config;
    for (pointer, line, key) in [
        ("/thresholds/reject", "thresholds = ", "stage[0].config.thresholds.reject"),
        ("/thresholds/missing", "thresholds = ", "stage[0].config.thresholds.missing"),
        ("/service", "service = \"clamd\"", "stage[0].config.service"),
        ("/gone/0/a~1b", "[stage.config]", "stage[0].config.gone[0].\"a/b\""),
        ("", "[stage.config]", "stage[0].config"),
        ("no pointer", "[stage.config]", "stage[0].config"),
    ] {
        let spot = settings.spot(pointer);
        assert_eq!(spot.key, key);
        let number = source.line_column(spot.span.start).0;
        assert!(text.lines().nth(number - 1).unwrap().starts_with(line), "{pointer}: line {number}");
    }
}
