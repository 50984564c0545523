//! Asks the domain name system and the store, and publishes the last answer as the fact `answer`, as Rust writes it for debugging.
//! Configuration: `{"ask": ["dns", "addresses", "example.org"], "repeat": 1}`; `ask` is one of
//! `["dns", "addresses" | "texts" | "mail-exchangers" | "names", NAME]`, `["store", "get" | "remove", KEY]`,
//! `["store", "set", KEY, VALUE, SECONDS]`, `["store", "add", KEY, AMOUNT, SECONDS]`. With `{"key": 600, "value": 70000}` KEY and VALUE are
//! so many letters instead.

use wasmilter_sdk::{
    Decision, Failure, Info, Message, Policy, Problems,
    bindings::wasmilter::policy::{dns, store},
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    ask: Vec<String>,
    repeat: u32,
    key: usize,
    value: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { ask: Vec::new(), repeat: 1, key: 0, value: 0 }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "asker",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Asks the domain name system and the store",
            grants: &["dns", "store"],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, _message: &Message) -> Result<Decision, Failure> {
        let mut answer = String::new();
        for _ in 0..self.0.repeat {
            answer = self.ask().ok_or_else(|| Failure::internal("the guest does not know how to ask that"))?;
        }
        Ok(Decision::next().with_fact("answer", answer))
    }
}

impl Guest {
    fn ask(&self) -> Option<String> {
        let ask: Vec<&str> = self.0.ask.iter().map(String::as_str).collect();
        let key = |key: &str| if self.0.key > 0 { "k".repeat(self.0.key) } else { key.to_owned() };
        let value = |value: &str| if self.0.value > 0 { "v".repeat(self.0.value) } else { value.to_owned() };
        Some(match *ask.as_slice() {
            ["dns", "addresses", name] => format!("{:?}", dns::addresses(&key(name))),
            ["dns", "texts", name] => format!("{:?}", dns::texts(name)),
            ["dns", "mail-exchangers", name] => format!("{:?}", dns::mail_exchangers(name)),
            ["dns", "names", address] => format!("{:?}", dns::names(address)),
            ["store", "get", name] => format!("{:?}", store::get(&key(name))),
            ["store", "remove", name] => format!("{:?}", store::remove(&key(name))),
            ["store", "set", name, content, seconds] => {
                format!("{:?}", store::set(&key(name), value(content).as_bytes(), seconds.parse().ok()?))
            }
            ["store", "add", name, amount, seconds] => {
                format!("{:?}", store::add(&key(name), amount.parse().ok()?, seconds.parse().ok()?))
            }
            _ => return None,
        })
    }
}

wasmilter_sdk::plugin!(Guest);
