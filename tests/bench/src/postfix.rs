//! The same filters behind a real Postfix: what share of a message's cost is whose.
//!
//! One Postfix has a listener for each contestant and one without a milter, and discards what it accepts. `smtp-source` sends;
//! the time is the wall clock of the whole run.

use crate::{
    Arguments,
    contestant::{Contestant, Measured, Running},
    report::{Measurement, Report, Way},
    scaled,
    traffic::Outcome,
};
use anyhow::{Context, Result, bail};
use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};
use wasmilter_tests::{
    ports,
    postfix::MASTER_CF,
    scratch::Scratch,
    server::{self, Server},
};

/// Messages of one measurement.
const MESSAGES: u64 = 1_000;

/// Measures every contestant behind Postfix, and Postfix alone.
pub(crate) fn measure(arguments: &Arguments, contestants: &[Contestant], report: &mut Report) -> Result<()> {
    let running: Vec<(Contestant, Running)> = contestants
        .iter()
        .map(|contestant| {
            let running = Running::start(*contestant).with_context(|| format!("starting {}", contestant.name()))?;
            Ok((*contestant, running))
        })
        .collect::<Result<_>>()?;
    let ports: Vec<u16> = running.iter().map(|_| ports::free()).collect();
    let alone = ports::free();
    let mut master = MASTER_CF.to_owned();
    writeln!(master, "127.0.0.1:{alone} inet n - n - - smtpd")?;
    for (port, (_, running)) in ports.iter().zip(&running) {
        let socket = running.socket.display();
        writeln!(master, "127.0.0.1:{port} inet n - n - - smtpd -o smtpd_milters=unix:{socket}")?;
    }
    let scratch = Scratch::new("bench-postfix");
    let (_postfix, _config) = start(&scratch, &master, alone)?;

    let messages = scaled(MESSAGES, arguments.scale);
    for round in 0..arguments.rounds {
        let elapsed = smtp_source(arguments, alone, messages)?;
        report.postfix_alone(round, messages, elapsed);
        for (port, (contestant, running)) in ports.iter().zip(&running) {
            let before = running.cpu();
            let elapsed = smtp_source(arguments, *port, messages)?;
            let cpu = running.cpu().saturating_sub(before);
            let outcome = Outcome { elapsed, messages, ..Outcome::default() };
            let measured = Measured { outcome, cpu };
            let memory = running.peak_memory()?;
            report.add(Measurement::new(Way::Postfix, round, *contestant, &measured, memory, memory));
        }
    }
    Ok(())
}

fn start(scratch: &Scratch, master: &str, port: u16) -> Result<(Server, std::path::PathBuf)> {
    let config = scratch.directory("etc");
    let data = scratch.directory("data");
    let queue = scratch.directory("queue");
    server::run(Command::new("chown").arg("postfix").arg(&data));
    let main = MAIN_CF
        .replace("QUEUE", &queue.display().to_string())
        .replace("DATA", &data.display().to_string())
        .replace("SCRATCH", &scratch.path().display().to_string());
    fs::write(config.join("main.cf"), main)?;
    fs::write(config.join("master.cf"), master)?;
    server::run(Command::new("/usr/sbin/postfix").arg("-c").arg(&config).arg("check"));
    let mut server = Server::start(
        Command::new("/usr/lib/postfix/sbin/master").arg("-c").arg(&config).arg("-d"),
        &scratch.join("master.out"),
    );
    server.wait_ready(Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Ok((server, config))
}

/// Sends messages of 4 kB over as many sessions as the other measurements have connections.
fn smtp_source(arguments: &Arguments, port: u16, messages: u64) -> Result<Duration> {
    let start = Instant::now();
    let output = Command::new("/usr/sbin/smtp-source")
        .args(["-d", "-s", &arguments.connections.to_string(), "-m", &messages.to_string(), "-l", "4000"])
        .args(["-f", "sender@example.net", "-t", "user@example.org", "-M", "mail.example.net"])
        .arg(format!("127.0.0.1:{port}"))
        .output()
        .context("starting smtp-source")?;
    if !output.status.success() {
        bail!("smtp-source ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(start.elapsed())
}

const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = QUEUE
data_directory = DATA
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
local_recipient_maps =
alias_maps =
alias_database =
default_transport = discard:
relay_transport = discard:
transport_maps =
smtp_dns_support_level = disabled
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_tls_security_level = none
biff = no
maillog_file = SCRATCH/postfix.log
maillog_file_prefixes = SCRATCH
default_process_limit = 200
in_flow_delay = 0
queue_minfree = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
milter_default_action = tempfail
milter_protocol = 6
milter_connect_timeout = 30s
";
