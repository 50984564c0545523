//! A real Prometheus that scrapes one host.

use crate::{ports, scratch::Scratch, server::Server, wait, wasmilter::get};
use serde_json::Value;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _server: Server,
    _scratch: Scratch,
}

impl Prometheus {
    /// Starts one by that configuration, in which it scrapes `target` every second in place of what is written there.
    #[must_use]
    pub fn start(configuration: &Path, target: SocketAddr) -> Self {
        let scratch = Scratch::new("prometheus");
        let written = std::fs::read_to_string(configuration).unwrap();
        let changed = written
            .replace("scrape_interval: 15s", "scrape_interval: 1s")
            .replace("evaluation_interval: 15s", "evaluation_interval: 1s")
            .replace("127.0.0.1:9891", &target.to_string());
        assert!(changed.contains("scrape_interval: 1s") && changed.contains(&target.to_string()), "{changed}");
        let file = scratch.write("prometheus.yml", changed);
        std::fs::copy(configuration.with_file_name("alerts.yml"), scratch.join("alerts.yml")).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", scratch.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let mut server = Server::start(&mut command, &scratch.join("prometheus.log"));
        server
            .wait_ready(Duration::from_secs(60), || get(address, "/-/ready").is_some_and(|(status, _)| status == 200));
        Self { address, _server: server, _scratch: scratch }
    }

    /// The value of an expression now: one object for each series; panics when it is not one.
    #[must_use]
    pub fn evaluate(&self, expression: &str) -> Vec<Value> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let encoded: String = expression
            .bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        let (_, text) = get(self.address, &format!("/api/v1/query?query={encoded}")).expect("an answer of Prometheus");
        let answer: Value = serde_json::from_str(&dechunked(&text)).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().expect("a list of series").clone()
    }

    /// Waits until an expression has a value.
    pub fn wait_for(&self, expression: &str) {
        wait::until(expression, Duration::from_secs(60), || (!self.evaluate(expression).is_empty()).then_some(()));
    }
}

/// The object, without what a server may put around it that takes us for HTTP/1.1.
fn dechunked(text: &str) -> String {
    match (text.find('{'), text.rfind('}')) {
        (Some(from), Some(to)) => text[from..=to].to_owned(),
        _ => text.to_owned(),
    }
}
