//! Asks on a `bad` message for something malformed or not granted. Configuration: `{"forge": "crlf"}`; see `decide` for
//! what can be forged.

use wasmilter_sdk::{
    Content, Decision, Edit, Failure, Info, Message, NewClient, NewPart, Policy, Problems, Reply, Verdict,
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    forge: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { forge: "crlf".to_owned() }
    }
}

pub struct Guest(Config);

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "forged-edits",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Asks for what it must not",
            grants: &[],
            config_schema: "{}",
        }
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let decision = Decision::next().add_header("X-Good", "this edit is fine");
        if !bad(message) {
            return Ok(decision);
        }
        Ok(match self.0.forge.as_str() {
            // Header fields that would become two, or end the header.
            "crlf" => decision.add_header("X-Guest", "one\r\nBcc: victim@example.org"),
            "lf" => decision.insert_header("X-Guest", "one\nBcc: victim@example.org"),
            "empty-line" => decision.add_header("X-Guest", "one\r\n\r\nbody"),
            "nul" => decision.add_header("X-Guest", "a\0b"),
            "name-colon" => decision.add_header("X-Guest: x\r\nBcc", "victim@example.org"),
            "name-space" => decision.add_header("X Guest", "x"),
            "name-empty" => decision.add_header("", "x"),
            "occurrence" => decision.replace_header("Subject", 99, "x"),
            // Parts and blobs that are not there.
            "part" => decision.remove_part(4711),
            "blob" => decision.with_edit(part(Content::Blob(7))),
            "file-name" => decision.with_edit(Edit::AddPart(NewPart {
                media_type: "text/plain".to_owned(),
                file_name: "a\r\nX-Evil: yes".to_owned(),
                disposition: String::new(),
                content_id: String::new(),
                content: Content::Inline(Vec::new()),
            })),
            "media-type" => decision.with_edit(Edit::AddPart(NewPart {
                media_type: "text/plain\r\nX-Evil: yes".to_owned(),
                file_name: String::new(),
                disposition: String::new(),
                content_id: String::new(),
                content: Content::Inline(Vec::new()),
            })),
            // The envelope and the client, which need grants.
            "recipient" => decision.add_recipient("victim@example.org"),
            "address" => decision.add_recipient("victim@example.org>\r\nDATA"),
            "client" => decision.with_edit(client("192.0.2.1", 25)),
            "client-address" => decision.with_edit(client("not an address", 25)),
            "client-port" => decision.with_edit(client("192.0.2.1", 70_000)),
            // Verdicts and facts.
            "reply-code" => decision.with_verdict(Verdict::Reject(reply(250, "", "hello"))),
            "reply-big" => decision.with_verdict(Verdict::Reject(reply(65_536 + 550, "", "hello"))),
            "reply-class" => decision.with_verdict(Verdict::Tempfail(reply(450, "5.7.1", "hello"))),
            "reply-text" => decision.with_verdict(Verdict::Reject(reply(550, "5.7.1", "hello\r\n250 ok"))),
            "reason" => decision.with_verdict(Verdict::Quarantine("one\r\ntwo".to_owned())),
            "fact-name" => decision.with_fact("Spam Score", true),
            "fact-stage" => decision.with_fact("other.score", true),
            "nan" => decision.with_fact("score", f64::NAN),
            "infinite" => decision.with_fact("score", f64::INFINITY),
            _ => return Err(Failure::internal("the guest does not know how to forge that")),
        })
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

fn client(address: &str, port: u32) -> Edit {
    Edit::SetClient(NewClient { address: address.to_owned(), port, hostname: String::new(), helo: String::new() })
}

fn reply(code: u32, enhanced: &str, text: &str) -> Reply {
    Reply { code, enhanced: enhanced.to_owned(), text: text.to_owned() }
}

fn bad(message: &Message) -> bool {
    message.header_text("Subject").iter().any(|subject| subject.contains("bad"))
}

wasmilter_sdk::plugin!(Guest);
