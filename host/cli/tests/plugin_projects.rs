//! `wasmilter plugin`: from nothing to a tested plugin. Needs Rust for wasm32-unknown-unknown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, as tests may"
)]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A directory where the binary runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a new project `subject-filter` in Rust.
    fn with_project() -> Self {
        let place = Self::new();
        let output = place.run(&["plugin", "new", "subject-filter", "--lang", "rust"]);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        assert!(stdout(&output).contains("cd subject-filter\n  wasmilter plugin build\n"), "{}", shown(&output));
        place
    }

    fn project(&self, path: &str) -> PathBuf {
        self.0.path().join("subject-filter").join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmilter"));
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("target/tests");
        command
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env("XDG_CACHE_HOME", target.join("cache"))
            // What the SDK needs is compiled once for all tests, and is there the next time.
            .env("CARGO_TARGET_DIR", target.join("plugin-projects"))
            .env_remove("CACHE_DIRECTORY")
            .env_remove("WASMILTER_LOG")
            .env_remove("RUST_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&output)))
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shown(output: &Output) -> String {
    format!("{}\n{}{}", output.status, stdout(output), stderr(output))
}

#[test]
fn from_nothing_to_a_tested_plugin() {
    let place = Place::with_project();

    let built = place.json(&["plugin", "build", "--json", "subject-filter"]);
    assert_eq!(built["exports"], serde_json::json!(["lifecycle", "message-policy"]));
    assert_eq!(built["imports"], serde_json::json!(["headers"]));
    assert_eq!(built["needs_grants"], serde_json::json!(["headers"]));
    let file = PathBuf::from(built["file"].as_str().unwrap());
    assert_eq!(file, place.project("build/subject-filter.wasm").canonicalize().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().len(), built["size"].as_u64().unwrap());

    let output = place.run(&["plugin", "test", "subject-filter"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert_eq!(stdout(&output), "ok       ordinary-mail\nok       spam-phrase\n\n2 passed\n");

    let case = place.project("cases/spam-phrase");
    let (message, transaction) = (case.join("message.eml"), case.join("transaction.toml"));
    let (message, transaction) = (message.to_str().unwrap(), transaction.to_str().unwrap());
    let output = place.run(&["plugin", "run", message, "subject-filter", "--config", transaction]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    for expected in
        ["stage subject-filter ", "fact      subject-filter.phrase = \"won the lottery\"", "reply          550 5.7.1"]
    {
        assert!(stdout(&output).contains(expected), "{expected:?} is not in {}", shown(&output));
    }
    let outcome = place.json(&["plugin", "run", message, "subject-filter", "--config", transaction, "--json"]);
    assert_eq!(outcome["verdict"], "reject");
    // Without its configuration it can not run, and says what is missing.
    let output = place.run(&["plugin", "run", message, "subject-filter"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(stderr(&output).contains("phrases"), "{}", shown(&output));
}

#[test]
fn a_case_that_does_not_hold_shows_the_difference_and_can_be_updated() {
    let place = Place::with_project();
    let expected = place.project("cases/spam-phrase/expected.toml");
    let right = fs::read_to_string(&expected).unwrap();
    fs::write(&expected, "# Mine.\nverdict = \"next\"\n\n[facts]\nphrase = \"other\"\n").unwrap();

    let output = place.run(&["plugin", "test", "subject-filter"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    for line in [
        "ok       ordinary-mail",
        "FAILED   spam-phrase",
        "verdict",
        "next",
        "reject",
        "facts.phrase",
        "1 passed, 1 failed",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let report = place.json(&["plugin", "test", "--json", "subject-filter"]);
    assert_eq!(report["cases"][0]["result"], "passed");
    assert_eq!(report["cases"][1]["result"], "failed");
    assert_eq!(report["cases"][1]["difference"][0]["what"], "verdict");

    let output = place.run(&["plugin", "test", "--filter", "ordinary", "subject-filter"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "ok       ordinary-mail\n\n1 passed\n"));

    let output = place.run(&["plugin", "test", "--update", "subject-filter"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(stdout(&output).contains("updated  spam-phrase"), "{}", shown(&output));
    let updated = fs::read_to_string(&expected).unwrap();
    assert!(updated.starts_with("# Mine.\n"), "the comment stays: {updated}");
    for line in ["verdict = \"reject\"", "code = 550", "phrase = \"won the lottery\""] {
        assert!(updated.contains(line) && right.contains(line), "{line:?} is not in {updated}");
    }
    let output = place.run(&["plugin", "test", "subject-filter"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
}

#[test]
fn what_keeps_tests_from_running_is_another_exit_code_than_a_failed_case() {
    let place = Place::with_project();
    let transaction = place.project("cases/spam-phrase/transaction.toml");
    fs::write(&transaction, "clinet = \"192.0.2.1\"\n").unwrap();
    let output = place.run(&["plugin", "test", "subject-filter"]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(stdout(&output).contains("MISTAKE  spam-phrase"), "{}", shown(&output));
    assert!(stdout(&output).contains("transaction.toml:1:1: unknown field `clinet`"), "{}", shown(&output));

    let output = place.run(&["plugin", "test", "--filter", "none-such", "subject-filter"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("none of the 2 cases has \"none-such\""), "{}", shown(&output));

    fs::remove_dir_all(place.project("cases")).unwrap();
    fs::create_dir(place.project("cases")).unwrap();
    let output = place.run(&["plugin", "test", "subject-filter"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there are no cases"), "{}", shown(&output));

    let output = place.run(&["plugin", "test", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nowhere: no plugin project: plugin.toml is missing"), "{}", shown(&output));
}

#[test]
fn what_the_compiler_says_is_shown() {
    let place = Place::with_project();
    fs::write(place.project("src/lib.rs"), "fn a() -> u8 { \"no number\" }\n").unwrap();
    let output = place.run(&["plugin", "build", "subject-filter"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(
        stderr(&output).contains("mismatched types") && stderr(&output).contains("src/lib.rs:1:16"),
        "{}",
        shown(&output)
    );
    assert!(!place.project("build/subject-filter.wasm").exists());
}

#[test]
fn missing_tools_are_told_with_what_installs_them() {
    let place = Place::with_project();
    for language in ["rust", "go", "python", "js", "ts", "c", "zig"] {
        let name = format!("in-{language}");
        let output = place.run(&["plugin", "new", &name, "--lang", language]);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        let mut build = place.command(&["plugin", "build", &name]);
        let output = build.env("PATH", "/nowhere").env_remove("WASMILTER_TOOLS").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{language}: {}", shown(&output));
        for piece in ["are missing:", "Debian ", "Fedora ", "macOS "] {
            assert!(stderr(&output).contains(piece), "{language}: {piece:?} is not in {}", shown(&output));
        }
    }
}

#[test]
fn a_new_project_overwrites_nothing() {
    let place = Place::with_project();
    let output = place.run(&["plugin", "new", "subject-filter", "--lang", "rust"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nothing was written"), "{}", shown(&output));

    let output = place.run(&["plugin", "new", "Subject_Filter", "--lang", "rust"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lower-case letters"), "{}", shown(&output));
    assert!(!place.0.path().join("Subject_Filter").exists());

    let output = place.run(&["plugin", "new", "a", "--lang", "cobol"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("[possible values: rust, go, python, js, ts, c, zig]"), "{}", shown(&output));
}

#[test]
fn inspecting_tells_what_a_plugin_reaches_and_how_it_starts() {
    let place = Place::with_project();
    let file = place.json(&["plugin", "build", "--json", "subject-filter"])["file"].as_str().unwrap().to_owned();
    let output = place.run(&["plugin", "inspect", &file]);
    for line in [
        "subject-filter 0.1.0, ",
        "asked: for the message",
        "start: not known, it needs a configuration",
        "needs granted:\n  headers (see and change header fields)\n",
        "configuration:\n  phrases (array), required",
    ] {
        assert!(stdout(&output).contains(line), "{line:?} is not in {}", shown(&output));
    }
    let inspected = place.json(&["plugin", "inspect", "--json", &file]);
    assert_eq!(inspected["config_schema"]["required"][0], "phrases");
    assert_eq!(inspected["start"], Value::Null);
    assert_eq!(inspected["needs_grants"][0], "headers");
}
