//! Traps on a message whose subject contains a word. Configuration: `{"subject": "bad", "how": "panic"}`; `how` is `panic`,
//! `unreachable`, `divide`, `bounds` (reads past the end of memory) or `fail` (no trap: says that it could not decide).

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    subject: String,
    how: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { subject: "bad".to_owned(), how: "panic".to_owned() }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info { name: "trap", version: env!("CARGO_PKG_VERSION"), summary: "Traps", grants: &[], config_schema: "{}" }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if !message.header_text("Subject").iter().any(|subject| subject.contains(&self.0.subject)) {
            return Ok(Decision::next());
        }
        match self.0.how.as_str() {
            "unreachable" => std::process::abort(),
            "divide" => {
                // The compiler checks divisors itself; an overflowing conversion it leaves to the machine.
                let zero = std::hint::black_box(0_i32);
                Ok(Decision::next().with_fact("quotient", f64::from(1 / zero)))
            }
            "bounds" => {
                let outside = std::hint::black_box(usize::MAX - 8) as *const u8;
                // SAFETY: there is none. Reading outside of memory is what this guest is for; the sandbox must end it.
                let byte = unsafe { std::ptr::read_volatile(outside) };
                Ok(Decision::next().with_fact("byte", f64::from(byte)))
            }
            "fail" => Err(Failure::service("the guest was told to fail")),
            _ => panic!("the guest was told to panic"),
        }
    }
}

wasmilter_sdk::plugin!(Guest);
