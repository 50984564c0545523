//! Decides at length on a `bad` message. Configuration: `{"edits": 0, "content": 0, "blob": 0, "blobs": 0, "facts": 0, "fact_bytes": 0}`: so many header
//! fields to add, a new part with so many bytes of inline content, one with so many bytes through a blob, so many empty
//! blobs, so many facts, a fact with so many bytes.

use wasmilter_sdk::{Content, Decision, Edit, Failure, Info, Message, NewPart, Policy, Problems};

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    edits: usize,
    content: usize,
    blob: usize,
    blobs: usize,
    facts: usize,
    fact_bytes: usize,
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "huge-decision",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Says too much",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let mut decision = Decision::next();
        if !bad(message) {
            return Ok(decision);
        }
        for number in 0..self.0.edits {
            decision = decision.add_header("X-Guest", number.to_string());
        }
        for number in 0..self.0.facts {
            decision = decision.with_fact(&format!("fact_{number}"), true);
        }
        if self.0.fact_bytes > 0 {
            decision = decision.with_fact("long", "x".repeat(self.0.fact_bytes));
        }
        if self.0.content > 0 {
            decision = decision.with_edit(part(Content::Inline(vec![b'x'; self.0.content])));
        }
        for _ in 0..self.0.blobs {
            std::hint::black_box(wasmilter_sdk::output::create());
        }
        if self.0.blob > 0 {
            let blob = wasmilter_sdk::output::create();
            let mut left = self.0.blob;
            while left > 0 {
                let piece = left.min(65_536);
                wasmilter_sdk::output::append(blob, &vec![b'x'; piece]);
                left -= piece;
            }
            decision = decision.with_edit(part(Content::Blob(blob)));
        }
        Ok(decision)
    }
}

fn part(content: Content) -> Edit {
    Edit::AddPart(NewPart {
        media_type: "text/plain".to_owned(),
        file_name: "guest.txt".to_owned(),
        disposition: String::new(),
        content_id: String::new(),
        content,
    })
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
