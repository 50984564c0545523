//! Talks to a service, a few bytes at a time, and publishes what came back as the fact `answer`, or the error as the fact `error`.
//! Configuration: `{"service": "echo", "send": "hello", "repeat": 1, "streams": 1}`: sends the text so many times over a
//! stream, after opening so many.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    service: String,
    send: String,
    repeat: usize,
    streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { service: "echo".to_owned(), send: "hello".to_owned(), repeat: 1, streams: 1 }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "caller",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Calls a service",
            grants: &["service:*"],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, _message: &Message) -> Result<Decision, Failure> {
        Ok(match self.talk() {
            Ok(answer) => Decision::next().with_fact("answer", answer),
            Err(error) => Decision::next().with_fact("error", format!("{error:?}")),
        })
    }
}

impl Guest {
    fn talk(&self) -> Result<String, wasmilter_sdk::ServiceError> {
        use wasmilter_sdk::services;
        let mut stream = 0;
        for _ in 0..self.0.streams {
            stream = services::open(&self.0.service)?;
        }
        for _ in 0..self.0.repeat {
            services::write(stream, self.0.send.as_bytes())?;
        }
        services::finish(stream)?;
        let mut answer = Vec::new();
        loop {
            let piece = services::read(stream, 65_536)?;
            if piece.is_empty() {
                services::close(stream);
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            answer.extend_from_slice(&piece);
        }
    }
}

wasmilter_sdk::plugin!(Guest);
