//! Reads one thing of a part and publishes how much it got as the fact `got`. What, the client says by its name at HELO: `all 0`;
//! there are `all`, `header-fields`, `size`, `content`, `text`, `entity` and `append-entity`. Configuration: none.

use wasmilter_sdk::{Decision, Failure, Info, Message, Policy, Problems, output, parts};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct Guest;

impl Policy for Guest {
    type Config = Config;

    fn info() -> Info {
        Info {
            name: "reader",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Reads one thing of a message",
            grants: &["headers", "text", "attachments", "raw"],
            config_schema: "{}",
        }
    }

    fn configure(_config: Config) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        let helo = message.client().helo;
        let unknown = || Failure::internal("the guest does not know how to read that");
        let (read, part) = helo.split_once(' ').ok_or_else(unknown)?;
        let part = part.parse().map_err(|_| unknown())?;
        let got = match read {
            "all" => parts::all().len(),
            "header-fields" => parts::header_fields(part).len(),
            "size" => parts::size(part) as usize,
            "content" => parts::read(part, 0, 65_536).len(),
            "text" => parts::text(part, 65_536).len(),
            "entity" => parts::read_entity(part, 0, 65_536).len(),
            "append-entity" => {
                output::append_entity(output::create(), part);
                1
            }
            _ => return Err(unknown()),
        };
        Ok(Decision::next().with_fact("got", f64::from(u32::try_from(got).unwrap_or(u32::MAX))))
    }
}

wasmilter_sdk::plugin!(Guest);
