//! `cargo xtask run`: the demonstration. Builds everything, starts the milter with its built-in configuration, sends
//! it the messages of `examples/demo` as an MTA would, and shows what became of each.

use crate::{plugins, process, root};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use wasmilter_message::eml;
use wasmilter_tests::{
    fake_mta::{Edit, FakeMta, Flavour, Mail, Offer, Outcome},
    transaction::Transaction,
};

/// Where the built-in configuration listens.
const MILTER: &str = "127.0.0.1:8891";
const ADMIN: &str = "127.0.0.1:9891";
/// The first start compiles the plugins.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Runs the demonstration; unless `once`, keeps serving until interrupted.
pub(crate) fn run(once: bool) -> Result<()> {
    let root = root();
    process::step("plugins");
    plugins::build(&[])?;
    process::step("host (the first time takes some minutes)");
    // As a whole: for one package cargo would choose other features of shared dependencies than for the tests.
    process::cargo(&root, &["build", "--locked", "--workspace"])?;

    let binary = root.join("target/debug/wasmilter");
    // The built-in configuration is what counts, so not from a folder where somebody keeps one.
    let folder = root.join("target/demo");
    fs::create_dir_all(&folder)?;

    process::step("milter");
    let mut served = Served::start(&binary, &folder)?;
    served.wait_until_ready()?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for message in messages(&root.join("examples/demo"))? {
        show(&message, &binary, &folder, &runtime)?;
    }

    println!(
        "Wasmilter serves on {MILTER}, metrics on http://{ADMIN}/metrics. To send your own mail through it, add to"
    );
    println!("Postfix's main.cf:\n");
    println!("    smtpd_milters = inet:{MILTER}");
    println!("    non_smtpd_milters = inet:{MILTER}\n");
    if once {
        return served.stop();
    }
    println!("Stop with Ctrl-C.");
    served.wait()
}

/// A message of the demonstration.
struct Message {
    name: String,
    /// What it shows: the comment at the top of its transaction.
    about: String,
    file: PathBuf,
    transaction: Transaction,
}

fn messages(folder: &Path) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let transaction = entry.path().join("transaction.toml");
        if !transaction.exists() {
            continue;
        }
        let text = fs::read_to_string(&transaction)?;
        messages.push(Message {
            name: entry.file_name().to_string_lossy().into_owned(),
            about: text.lines().next().unwrap_or_default().trim_start_matches('#').trim().to_owned(),
            file: entry.path().join("message.eml"),
            transaction: Transaction::load(&transaction),
        });
    }
    messages.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!messages.is_empty(), "no messages in {}", folder.display());
    Ok(messages)
}

/// Explains a message by `wasmilter try`, sends it through the milter's socket, and sees that both agree.
fn show(message: &Message, binary: &Path, folder: &Path, runtime: &tokio::runtime::Runtime) -> Result<()> {
    println!("──── {}: {}\n", message.name, message.about);
    let explanation = Explanation::of(message, binary, folder)?;
    explanation.print();
    let outcome =
        runtime.block_on(send(message)).with_context(|| format!("sending {} through {MILTER}", message.name))?;
    println!("    the mail server was told:");
    for edit in &outcome.edits {
        println!("      {}", describe(edit));
    }
    let (verdict, reply) = told(&outcome);
    println!("      {reply}\n");
    if verdict != explanation.verdict() {
        bail!("through the milter {} became {verdict}, `wasmilter try` says {}", message.name, explanation.verdict());
    }
    Ok(())
}

/// What `wasmilter try --json` printed.
struct Explanation(Value);

impl Explanation {
    fn of(message: &Message, binary: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.current_dir(folder).args(["try", "--json"]).args(message.transaction.options()).arg(&message.file);
        let json = process::output(command.env("WASMILTER_LOG", "error"))?;
        Ok(Self(serde_json::from_str(&json).context("reading what `wasmilter try --json` printed")?))
    }

    fn verdict(&self) -> &str {
        self.0.get("verdict").and_then(Value::as_str).unwrap_or_default()
    }

    fn print(&self) {
        for stage in array(&self.0, "stages") {
            let text = |key: &str| stage.get(key).and_then(Value::as_str).unwrap_or_default();
            let microseconds = stage.get("microseconds").and_then(Value::as_u64).unwrap_or_default();
            if stage.get("ran").and_then(Value::as_bool) == Some(true) {
                println!("    {:<14} {:<11} {microseconds:>7} µs", text("name"), text("verdict"));
            } else {
                println!("    {:<14} did not run", text("name"));
            }
            if let Some(condition) = stage.get("condition").filter(|condition| !condition.is_null()) {
                let word = if condition.get("negated") == Some(&Value::Bool(true)) { "unless" } else { "when" };
                let source = condition.get("source").and_then(Value::as_str).unwrap_or_default();
                println!("      {word} {source}: {}", condition.get("value").unwrap_or(&Value::Null));
            }
            if let Some(failure) = stage.get("failure").filter(|failure| !failure.is_null()) {
                println!("      failed: {failure}");
            }
            for edit in array(stage, "edits") {
                println!("      edit {}", edit.get("edit").and_then(Value::as_str).unwrap_or_default());
            }
            for (name, value) in stage.get("facts").and_then(Value::as_object).into_iter().flatten() {
                println!("      {name} = {value}");
            }
        }
    }
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Sends a message as Postfix would.
async fn send(message: &Message) -> Result<Outcome> {
    let Transaction { client, client_name, helo, from, rcpt, auth } = &message.transaction;
    let client: IpAddr = client.as_deref().unwrap_or("192.0.2.1").parse()?;
    let name = client_name.clone().unwrap_or_else(|| format!("[{client}]"));
    let mut mta = FakeMta::connect(&format!("inet:{MILTER}"), Flavour::Postfix, Offer::V6).await?;

    mta.macros(b'C', &[("j", "mx.example.com"), ("{client_addr}", &client.to_string()), ("{client_name}", &name)]);
    let family = if client.is_ipv6() { '6' } else { '4' };
    mta.command(b'C', format!("{name}\0{family}\x12\x34{client}\0").as_bytes()).await?;
    let auth: Vec<(&str, &str)> =
        auth.iter().flat_map(|user| [("{auth_type}", "PLAIN"), ("{auth_authen}", user.as_str())]).collect();
    mta.helo(helo.as_deref().unwrap_or("client"), &auth).await?;

    let (fields, body) = eml::read(&fs::read(&message.file)?);
    let mail = Mail {
        sender: format!("<{}>", from.as_deref().unwrap_or_default()),
        sender_arguments: Vec::new(),
        recipients: rcpt.iter().map(|recipient| format!("<{recipient}>")).collect(),
        headers: fields.into_iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect(),
        body: body.to_vec(),
    };
    let outcome = mta.send(&mail).await?;
    mta.quit().await?;
    Ok(outcome)
}

/// A modification in one line, as it went over the wire.
fn describe(edit: &Edit) -> String {
    let header = |name: &[u8], value: &[u8]| {
        let line = format!("{}:{}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        line.replace(['\r', '\n'], "")
    };
    match edit {
        Edit::AddHeader { name, value } => format!("add header       {}", header(name, value)),
        Edit::InsertHeader { index, name, value } => format!("insert header    {index} {}", header(name, value)),
        Edit::ChangeHeader { index, name, value } if value.is_empty() => {
            format!("delete header    {}[{index}]", String::from_utf8_lossy(name))
        }
        Edit::ChangeHeader { index, name, value } => format!("change header    [{index}] {}", header(name, value)),
        Edit::ReplaceBody(body) => format!("replace body     {} bytes", body.len()),
        Edit::ChangeSender { address, .. } => format!("change sender    {address}"),
        Edit::AddRecipient { address, .. } => format!("add recipient    {address}"),
        Edit::RemoveRecipient(address) => format!("remove recipient {address}"),
        Edit::Quarantine(reason) => format!("quarantine       {reason}"),
    }
}

/// The verdict by its name in `wasmilter try`, and the reply in words.
fn told(outcome: &Outcome) -> (&'static str, String) {
    let held = outcome.edits.iter().any(|edit| matches!(edit, Edit::Quarantine(_)));
    match outcome.reply.command {
        b'a' | b'c' if held => ("quarantine", "accept (held)".to_owned()),
        b'a' | b'c' => ("accept", "accept".to_owned()),
        b'd' => ("discard", "discard".to_owned()),
        b'r' => ("reject", "reject".to_owned()),
        b't' => ("tempfail", "tempfail".to_owned()),
        _ if outcome.reply.data.starts_with(b"4") => ("tempfail", outcome.reply.text()),
        _ => ("reject", outcome.reply.text()),
    }
}

/// The milter as a process of its own.
struct Served(Child);

impl Served {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        for taken in [MILTER, ADMIN] {
            ensure!(
                TcpStream::connect(taken).is_err(),
                "something listens on {taken} already; stop it (another `cargo xtask run`?) and try again"
            );
        }
        let log = fs::File::create(folder.join("wasmilter.log"))?;
        let mut command = Command::new(binary);
        command.current_dir(folder).arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(Self(command.spawn().context("starting wasmilter")?))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.0.try_wait()? {
                bail!("wasmilter ended with {status}; its log is target/demo/wasmilter.log");
            }
            ensure!(started.elapsed() < START_LIMIT, "wasmilter was not ready within {START_LIMIT:?}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "wasmilter ended with {status}; its log is target/demo/wasmilter.log");
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        process::run(Command::new("kill").arg(self.0.id().to_string()))?;
        self.wait()
    }
}

impl Drop for Served {
    /// Whatever went wrong, nothing is left running.
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) && self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

/// Whether /readyz says so.
fn ready() -> bool {
    use std::io::Write;
    let Ok(mut stream) = TcpStream::connect(ADMIN) else { return false };
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut line = String::new();
    asked.is_ok() && BufReader::new(stream).read_line(&mut line).is_ok() && line.contains(" 200 ")
}
