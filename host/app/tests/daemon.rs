//! The daemon in this process, as monitoring sees it. Needs the bundled plugins (`cargo xtask plugins`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

use actix_rt::System;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};
use wasmilter_app::{
    App, BuildError, Inherited,
    config::source::Source,
    serve::{Addresses, ServeError},
    shutdown::Signals,
};

/// Where the bundled plugins are: two levels above this crate.
fn plugins() -> PathBuf {
    match std::env::var_os("WASMILTER_PLUGINS") {
        Some(directory) => directory.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("target/plugins"),
    }
}

fn configuration(directory: &Path, listen: &str, stage: &str) -> Source {
    let text = format!(
        "[milter]\nlisten = {listen:?}\n[admin]\nlisten = '127.0.0.1:0'\n[limits]\nworkers = 2\nshutdown = '5s'\n\
         [plugins]\ndirectory = {:?}\n[sandbox]\ncache = 'cache'\n[[stage]]\nname = 'virus'\nplugin = 'virus'\n{stage}",
        plugins()
    );
    Source::new(directory.join("wasmilter.toml"), text)
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Metrics are a promise to dashboards and alerts, and `METRICS.md` is where it is made: a row that is not there is new, one that
/// is too many was broken. `UPDATE_METRICS=1` writes the rows anew; read the difference.
fn compare_with_the_manual(metrics: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("METRICS.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let is_row = |line: &&str| line.starts_with("| `wasmilter_");
    let rows = rows_of(metrics);
    if std::env::var_os("UPDATE_METRICS").is_some() {
        let head = "| name | type | labels | meaning |\n|---|---|---|---|\n";
        let (before, after) = text.split_once(head).unwrap();
        let after: String = after.lines().filter(|line| !is_row(line)).map(|line| format!("{line}\n")).collect();
        std::fs::write(&page, format!("{before}{head}{}\n{after}", rows.join("\n"))).unwrap();
        return;
    }
    let written: Vec<&str> = text.lines().filter(is_row).collect();
    assert_eq!(rows, written, "UPDATE_METRICS=1 writes METRICS.md anew");
}

/// A row of the manual for each metric of ours.
fn rows_of(metrics: &str) -> Vec<String> {
    let row = |name: &str, kind: &str| {
        let after = |prefix: &str| metrics.lines().find_map(|line| line.strip_prefix(prefix));
        let help = after(&format!("# HELP {name} ")).unwrap();
        assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
        let suffix = if kind == "histogram" { "_bucket" } else { "" };
        let series = after(&format!("{name}{suffix}")).unwrap();
        let labels = series.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let labels = labels.split(',').filter_map(|pair| pair.split('=').next()).filter(|label| *label != "le");
        let labels: Vec<String> = labels.filter(|label| !label.is_empty()).map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
    };
    let described = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    described.filter(|(name, _)| name.starts_with("wasmilter_")).map(|(name, kind)| row(name, kind)).collect()
}

#[test]
fn the_daemon_becomes_ready_shows_its_metrics_and_stops_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("milter.sock");
    let service = "grants = ['headers', 'body']\n[services.clamd]\naddress = '127.0.0.1:1'\n";
    let source = configuration(directory.path(), &format!("unix:{}", socket.display()), service);
    let app = App::build(&source).unwrap();
    assert_eq!(app.stages()[0].started_from, "snapshot");

    let (tell, signals) = mpsc::channel(2);
    let addresses: Arc<Mutex<Option<Addresses>>> = Arc::default();
    let announced = Arc::clone(&addresses);
    System::new().block_on(async move {
        let announce = move |addresses: &Addresses| *announced.lock().unwrap() = Some(addresses.clone());
        let daemon = actix_rt::spawn(app.serve_until(Signals::from_channel(signals), Inherited::default(), announce));
        let admin = timeout(Duration::from_secs(20), async {
            loop {
                if let Some(addresses) = addresses.lock().unwrap().clone() {
                    return addresses.admin.unwrap();
                }
                tokio::task::yield_now().await;
            }
        });
        let admin = admin.await.unwrap();

        let ready = spawn_blocking(move || get(admin, "/readyz")).await.unwrap();
        assert!(ready.starts_with("HTTP/1.0 200"), "{ready}");
        let metrics = spawn_blocking(move || get(admin, "/metrics")).await.unwrap();
        compare_with_the_manual(&metrics);
        assert!(metrics.contains("process_open_fds "), "{metrics}");
        assert!(metrics.contains("wasmilter_config_last_reload_successful 1\n"), "{metrics}");
        assert!(socket.exists());

        tell.send("a test's signal").await.unwrap();
        timeout(Duration::from_secs(20), daemon).await.unwrap().unwrap().unwrap();
        assert!(!socket.exists(), "the socket is left behind");
    });
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("inet:{}", taken.local_addr().unwrap());
    let app = App::build(&configuration(directory.path(), &listen, "grants = ['headers', 'body']")).unwrap();
    let (_tell, signals) = mpsc::channel(1);
    let error = System::new()
        .block_on(app.serve_until(Signals::from_channel(signals), Inherited::default(), |_| panic!("it is not ready")))
        .unwrap_err();
    assert!(matches!(error, ServeError::Milter(_)), "{error}");
    assert!(error.to_string().contains(&taken.local_addr().unwrap().port().to_string()), "{error}");
}

/// The mistakes of a configuration as `line:column key: message`.
fn mistakes(stage: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    match App::build(&configuration(directory.path(), "unix:/nowhere.sock", stage)) {
        Err(BuildError::Config(mistakes)) => {
            let line = |m: &wasmilter_app::config::diagnostic::Diagnostic| {
                format!("{}:{} {}: {}", m.line, m.column, m.key, m.message)
            };
            mistakes.list().iter().map(line).collect()
        }
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn what_the_text_names_is_looked_at_too_and_all_mistakes_come_together() {
    let found = mistakes(
        "timeout = 'soon'\nwhen = 'message.sise < 5'\n[stage.config]\non_virus = 'eat'\n\
         [[stage]]\nname = 'gone'\nplugin = 'viruss'\n[[stage]]\nname = 'file'\nplugin = './no.wasm'\n",
    );
    let expected = [
        "15:11 stage[0].timeout: must be a length of time",
        "16:16 stage[0].when: ",
        "stage[1].plugin: there is no bundled plugin \"viruss\"",
        "stage[2].plugin: there is no file ",
    ];
    for expected in expected {
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{expected} is not in {found:#?}");
    }
    assert!(found.iter().any(|mistake| mistake.contains("stage[0]: the plugin needs ")), "{found:#?}");
}

#[test]
fn a_plugins_own_mistakes_are_shown_at_their_keys() {
    let found = mistakes("grants = ['headers', 'body']\n[stage.config]\non_virus = 'eat'\n");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("stage[0].config"), "{found:#?}");
}

/// The schema says what is missing where it would stand; a plugin that could not read such settings is not quoted, too.
#[test]
fn settings_that_do_not_fit_the_schema_are_told_once() {
    let found = mistakes(
        "grants = ['headers', 'body']\n[stage.config]\nhashes = [5]\ncolour = 'red'\n\
         [[stage]]\nname = 'e'\nplugin = 'encryption'\ngrants = ['envelope', 'headers', 'body', 'clock', 'random']\n",
    );
    let expected = [
        "stage[0].config.hashes[0]: ",
        "stage[0].config.colour: unknown key",
        "stage[1].config.certificates: is missing",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (mistake, expected) in found.iter().zip(expected) {
        assert!(mistake.contains(expected), "{expected} is not in {found:#?}");
    }
}

/// What a plugin says of its settings is there at once, also when grants are missing; what it would say of a file that can not
/// be read is not.
#[test]
fn mistakes_hide_no_others_and_make_no_more() {
    let found = mistakes(
        "[stage.config]\non_virus = 'eat'\nsignatures = { file = 'none' }\n[[stage]]\nname = 'd'\n\
         plugin = 'disclaimer'\ngrants = ['envelope', 'headers', 'text']\n[stage.config]\ntext = { file = 'none' }\n",
    );
    let expected = [
        "stage[0]: the plugin needs ",
        "stage[0].config.on_virus: ",
        "stage[0].config.signatures.file: \"none\" can not be read",
        "stage[1].config.text.file: \"none\" can not be read",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (mistake, expected) in found.iter().zip(expected) {
        assert!(mistake.contains(expected), "{expected} is not in {found:#?}");
    }
}

/// What to write stands there, ready to be copied.
#[test]
fn missing_grants_are_told_with_the_whole_line_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let source = configuration(directory.path(), "unix:/nowhere.sock", "grants = ['clock']");
    let Err(BuildError::Config(mistakes)) = App::build(&source) else { panic!("it has no mistakes") };
    let help = mistakes.list()[0].help.clone().unwrap();
    assert!(help.starts_with("write grants = [\"headers\", ") && help.ends_with("\"clock\"]"), "{help}");
}

#[test]
fn a_reload_is_for_who_serves_only() {
    let directory = tempfile::tempdir().unwrap();
    let app =
        App::build(&configuration(directory.path(), "unix:/nowhere.sock", "grants = ['headers', 'body']")).unwrap();
    let reloader = app.reloader();
    drop(app);
    let outcome = System::new().block_on(reloader.reload());
    assert!(matches!(outcome, Err(wasmilter_app::ReloadError::NotServing)), "{outcome:?}");
}
