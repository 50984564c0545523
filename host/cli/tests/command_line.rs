//! The binary, as people and scripts use it. Needs the bundled plugins (`cargo xtask plugins`).

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
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

const VIRUS: &str = "[[stage]]\nname = 'virus'\nplugin = 'virus'\nwhen = 'message.size < 50000000'\ngrants = ['envelope', 'headers', 'body']\n";
const SPAM: &str = "[[stage]]\nname = 'spam'\nplugin = 'spam'\ngrants = ['envelope', 'headers', 'body']\n";

/// A directory with a configuration, where the binary runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new(config: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("wasmilter.toml"), config).unwrap();
        place
    }

    fn stages(stages: &str) -> Self {
        Self::new(&format!("[milter]\nlisten = 'inet:127.0.0.1:0'\n{stages}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmilter"));
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let target = repository.join("target");
        if std::env::var_os("WASMILTER_PLUGINS").is_none() {
            command.env("WASMILTER_PLUGINS", target.join("plugins"));
        }
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", target.join("tests/cache"))
            .env_remove("CACHE_DIRECTORY")
            .env_remove("WASMILTER_LOG")
            .env_remove("RUST_LOG")
            .env_remove("WASMILTER_CONFIG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&output)))
    }
}

fn message(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages").join(name).to_str().unwrap().to_owned()
}

fn shown(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn trying_a_message_explains_every_stage() {
    let place = Place::stages(&format!("{VIRUS}{SPAM}"));
    let output = place.run(&["try", &message("clean-lf.eml")]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    for expected in [
        "stage virus (plugin virus), ",
        "when      message.size < 50000000 is true",
        "fact      virus.infected = false",
        "stage spam (plugin spam), ",
        "edit      add-header X-Spam-Score: ",
        "verdict        accept\nreply          250 2.0.0 Ok\nmodifications\n  add header X-Spam-Score",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours without a terminal: {text:?}");
}

#[test]
fn trying_a_virus_gives_one_json_object_with_the_promised_names() {
    let place = Place::stages(&format!("{VIRUS}{SPAM}"));
    let outcome = place.json(&["try", "--json", &message("eicar.eml")]);
    assert_eq!(outcome["verdict"], "reject");
    assert!(outcome["reply"].as_str().unwrap().starts_with("550 5.7.1 "), "{outcome}");
    assert_eq!(outcome["modifications"], Value::Array(Vec::new()));
    let stages = outcome["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 1, "spam is not asked any more: {outcome}");
    let stage = &stages[0];
    assert_eq!((&stage["name"], &stage["plugin"]), (&"virus".into(), &"virus".into()));
    assert_eq!((&stage["ran"], &stage["verdict"]), (&true.into(), &"reject".into()));
    assert_eq!(stage["condition"]["value"], true);
    assert_eq!(stage["facts"]["virus.infected"], true);
    assert!(stage["edits"].as_array().unwrap().is_empty() && stage["failure"].is_null());
    assert!(stage["microseconds"].as_u64().unwrap() > 0);
}

#[test]
fn a_message_comes_from_standard_input_and_a_condition_keeps_its_stage_from_running() {
    let place = Place::stages(
        "[[stage]]\nname = 'a'\nplugin = 'virus'\ngrants = ['envelope', 'headers', 'body']\nunless = 'client.user == \"alice\"'\n",
    );
    let mut child = place
        .command(&["try", "--json", "--auth", "alice", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(message("eicar.eml")).unwrap()).unwrap();
    let outcome: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(outcome["verdict"], "accept");
    assert_eq!(outcome["stages"][0]["ran"], false);
    assert_eq!(outcome["stages"][0]["condition"]["negated"], true);
}

#[test]
fn options_and_the_messages_own_headers_make_the_envelope() {
    for (arguments, condition) in [
        (&[][..], "envelope.sender.address == 'bob@example.org' && size(envelope.recipients) == 2"),
        (&[][..], "envelope.recipients[1].address == 'dave@example.net' && client.address == '192.0.2.1'"),
        (
            &["--from", "", "--rcpt", "x@y", "--rcpt", "z@y"][..],
            "envelope.sender.address == '' && size(envelope.recipients) == 2",
        ),
        (
            &["--client", "2001:db8::1", "--client-name", "mx.example", "--helo", "h"][..],
            "client.address == '2001:db8::1' && client.hostname == 'mx.example' && client.helo == 'h'",
        ),
    ] {
        let place = Place::stages(&format!(
            "[[stage]]\nname = 'a'\nplugin = 'virus'\ngrants = ['envelope', 'headers', 'body']\nwhen = \"{condition}\"\n"
        ));
        let file = message("clean-lf.eml");
        let arguments: Vec<&str> = ["try", "--json"].iter().chain(arguments).copied().chain([file.as_str()]).collect();
        let outcome = place.json(&arguments);
        assert_eq!(outcome["stages"][0]["condition"]["value"], true, "{condition}: {outcome}");
    }
}

#[test]
fn an_untouched_message_is_written_byte_for_byte_and_a_changed_one_with_the_line_ends_of_the_file() {
    for name in ["clean-lf.eml", "clean-crlf.eml"] {
        let original = fs::read(message(name)).unwrap();
        let place = Place::stages(VIRUS);
        let output = place.run(&["try", "--output", "out.eml", &message(name)]);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        assert_eq!(fs::read(place.path("out.eml")).unwrap(), original, "{name}");

        let place = Place::stages(SPAM);
        let output = place.run(&["try", "--output", "out.eml", &message(name)]);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        let changed = String::from_utf8(fs::read(place.path("out.eml")).unwrap()).unwrap();
        let end = if name.contains("crlf") { "\r\n" } else { "\n" };
        assert!(changed.contains(&format!("{end}X-Spam-Score: ")), "{changed:?}");
        assert_eq!(changed.contains('\r'), end == "\r\n", "{changed:?}");
        let body = String::from_utf8(original).unwrap().split_once(&end.repeat(2)).unwrap().1.to_owned();
        assert!(changed.ends_with(&body), "{changed:?}");
    }
    let place = Place::stages(VIRUS);
    let output = place.run(&["try", "--output", "out.eml", &message("eicar.eml")]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(!place.path("out.eml").exists(), "a rejected message does not leave");
}

/// `header` and a body of `size` bytes or a little more.
fn large(header: &str, size: usize) -> String {
    let line = "All work and no play makes Jack a dull boy.\r\n";
    format!("{header}\r\n{}", line.repeat(size.div_ceil(line.len())))
}

#[test]
fn a_message_past_the_limit_is_refused_as_the_door_refuses_it() {
    let place = Place::stages(&format!("[limits]\nmessage_size = '1MB'\n{VIRUS}"));
    fs::write(place.path("large.eml"), large("From: a@example.org\r\n", 1_000_000)).unwrap();
    let outcome = place.json(&["try", "--json", "large.eml"]);
    assert_eq!(outcome["verdict"], "reject", "{outcome}");
    assert_eq!(outcome["reply"], "552 5.3.4 Message is larger than 1000000 bytes");
    assert!(outcome["stages"].as_array().unwrap().is_empty(), "no stage sees it: {outcome}");
    let output = place.run(&["try", "large.eml", "--output", "out.eml"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(shown(&output).contains("reply          552 5.3.4 ") && !place.path("out.eml").exists());
}

/// Encryption makes a message a third larger: one that was small enough to be taken must not fail for that, again and again.
#[test]
fn a_message_just_below_the_limit_may_grow_past_it() {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let certificates = certificates.join("plugins/encryption/test-certificates/gateway.example.com.pem");
    let place = Place::stages(
        "[limits]\nmessage_size = '2MB'\n[[stage]]\nname = 'e'\nplugin = 'encryption'\ngrants = ['envelope', 'headers', 'body', 'clock', 'random']\n\
         [stage.config]\ndomains = { 'example.org' = 'c.pem' }\ncertificates = { directory = 'certificates' }\n",
    );
    fs::create_dir(place.path("certificates")).unwrap();
    fs::copy(certificates, place.path("certificates/c.pem")).unwrap();
    fs::write(place.path("large.eml"), large("From: a@example.org\r\nMIME-Version: 1.0\r\n", 1_900_000)).unwrap();
    let outcome = place.json(&["try", "--json", "--rcpt", "b@example.org", "--output", "out.eml", "large.eml"]);
    assert_eq!((&outcome["verdict"], &outcome["stages"][0]["failure"]), (&"accept".into(), &Value::Null), "{outcome}");
    assert!(fs::metadata(place.path("out.eml")).unwrap().len() > 2_000_000);
}

#[test]
fn checking_says_what_is_wrong_and_where() {
    let place = Place::stages(VIRUS);
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(shown(&output).contains("wasmilter.toml: no mistakes"), "{}", shown(&output));
    assert_eq!(place.json(&["check", "--json"])["ok"], true);

    let place = Place::stages("[[stage]]\nname = 'virus'\nplugin = 'virus'\nwhen = 'message.sise > 1'\ntimeout = 5\n");
    let output = place.run(&["check", "--config", "wasmilter.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("wasmilter.toml:6:") && text.contains("stage[0].when"), "{text}");
    assert!(text.contains("wasmilter.toml: 3 mistakes"), "{text}");

    let checked = place.json(&["check", "--json", "--config", "wasmilter.toml"]);
    assert_eq!(checked["ok"], false);
    let keys: Vec<&str> = checked["mistakes"].as_array().unwrap().iter().map(|m| m["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["stage[0]", "stage[0].when", "stage[0].timeout"], "{checked}");
    let timeout = &checked["mistakes"][2];
    assert_eq!(
        (&timeout["file"], &timeout["line"], &timeout["column"]),
        (&"wasmilter.toml".into(), &7.into(), &11.into())
    );

    let output = place.run(&["check", "--json", "--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("can not be read"), "{}", shown(&output));
}

#[test]
fn checking_shows_which_stages_a_message_takes() {
    let noop = "[[stage]]\nname = 'b'\nplugin = 'virus'\ngrants = ['headers', 'body']\n";
    let place = Place::stages(&format!(
        "{VIRUS}{noop}[[route]]\nname = 'inside'\nwhen = 'client.authenticated'\nstages = []\n\
         [[route]]\nname = 'rest'\nstages = ['b', 'virus']\n"
    ));
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let text = shown(&output);
    for line in
        ["route inside: no stage\n  taken by: client.authenticated\n", "route rest: b, virus\n  taken by: all others\n"]
    {
        assert!(text.contains(line), "{text}");
    }
    let routes = place.json(&["check", "--json"])["routes"].clone();
    assert_eq!(
        routes,
        serde_json::json!([
            {"name": "inside", "when": "client.authenticated", "stages": []},
            {"name": "rest", "when": null, "stages": ["b", "virus"]},
        ])
    );
}

#[test]
fn inspecting_shows_what_a_plugin_needs() {
    let place = Place::stages(VIRUS);
    let plugins = match std::env::var_os("WASMILTER_PLUGINS") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("target/plugins"),
    };
    let file = plugins.join("virus.wasm").to_str().unwrap().to_owned();
    let output = place.run(&["plugin", "inspect", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(
        shown(&output).contains("needs granted:\n  headers (see and change header fields)\n  text or attachments"),
        "{}",
        shown(&output)
    );
    let inspection = place.json(&["plugin", "inspect", "--json", &file]);
    assert_eq!(inspection["info"]["name"], "virus");
    assert_eq!(inspection["size"].as_u64(), Some(fs::metadata(&file).unwrap().len()));

    let output = place.run(&["plugin", "inspect", &message("eicar.eml")]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("no WebAssembly"), "{}", shown(&output));
    let output = place.run(&["plugin", "inspect", "nowhere.wasm"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("No such file").count(), 1, "{}", shown(&output));
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_help_teaches() {
    let place = Place::stages(VIRUS);
    for arguments in [&["serv"][..], &["try"], &["try", "--client", "nobody", "m.eml"], &["check", "--jason"]] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let version = place.run(&["--version"]);
    assert_eq!(shown(&version).lines().nth(1).unwrap(), format!("wasmilter {}", env!("CARGO_PKG_VERSION")));
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["check", "--help"],
        &["try", "--help"],
        &["plugin", "inspect", "--help"],
    ] {
        let help = shown(&place.run(arguments));
        assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    }
    let output = place.run(&["try", "nowhere.eml"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
}

/// A daemon that is killed when the test ends before it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

#[test]
fn serving_says_ready_answers_and_ends_at_sigterm_with_its_socket_removed() {
    let place = Place::new("");
    let socket = place.path("milter.sock");
    let config = format!(
        "[milter]\nlisten = ['unix:{}', 'inet:127.0.0.1:0']\n[admin]\nlisten = '127.0.0.1:0'\n[limits]\nworkers = 1\n\
         [log]\nformat = 'json'\n{VIRUS}",
        socket.display()
    );
    fs::write(place.path("wasmilter.toml"), config).unwrap();
    let child = place.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut daemon = Daemon(child);
    let mut ready = String::new();
    BufReader::new(daemon.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with(&format!("ready: milter unix:{}, milter inet:127.0.0.1:", socket.display())), "{ready}");
    let admin = ready.trim_end().rsplit_once("admin http://").unwrap().1;
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(socket.exists());

    let process = daemon.0.id().to_string();
    let tell = |signal: &str| Command::new("kill").args([signal, &process]).status().unwrap();
    assert!(tell("-HUP").success());
    let mut log = String::new();
    let mut lines = BufReader::new(daemon.0.stderr.take().unwrap());
    while !log.contains("configuration reloaded") {
        assert_ne!(lines.read_line(&mut log).unwrap(), 0, "ended by SIGHUP: {log}");
    }
    assert!(tell("-TERM").success());
    let status = daemon.0.wait().unwrap();
    lines.read_to_string(&mut log).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!socket.exists());
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let stage = lines.iter().find(|line| line["message"] == "stage ready").expect(&log);
    assert_eq!(
        (&stage["stage"], &stage["isolation"], &stage["grants"]),
        (&"virus".into(), &"message".into(), &"envelope headers text attachments raw".into())
    );
}

#[test]
fn serving_with_mistakes_or_on_a_taken_address_fails_and_says_why() {
    let place = Place::stages("[[stage]]\nname = 'a'\nplugin = 'nothing'\n");
    let output = place.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains("looked for nothing.wasm in"), "{}", shown(&output));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let place = Place::new(&format!("[milter]\nlisten = 'inet:{address}'\n{VIRUS}"));
    let output = place.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(shown(&output).contains(&format!("{address}: another process listens there")), "{}", shown(&output));
}
