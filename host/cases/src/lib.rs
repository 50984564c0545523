//! The cases of a plugin (`cases/NAME/`), run in the sandbox: what `wasmilter plugin test` and the end-to-end tests do. The
//! format is in `FORMAT.md`; the Rust SDK runs the same folders natively.
//!
//! [`find`] gives the folders, [`Case::load`] reads one, [`Runner::run`] makes its calls, [`Outcome::difference`] compares
//! what the plugin said with [`Expected`]; [`update()`] writes what it said into `expected.toml`. [`test()`] does it all for a
//! folder of cases.
//!
//! Around the plugin nothing is real but the sandbox: services, DNS, store and clock follow the case's script, and what is
//! not in the script is a failure of the case ([`Outcome::Said`], `strayed`).
//!
//! Invariant: opens no socket, knows no stage and no pipeline; a mistake in a case is an error with its place, never a panic.

mod case;
mod configuration;
mod difference;
mod edit_line;
mod expected;
mod outcome;
mod run;
mod script;
mod source;
mod test;
mod transaction;
mod update;

pub use case::{Case, find};
pub use difference::{Block, Difference, Line, Mark};
pub use edit_line::edit_line;
pub use expected::{Expected, ExpectedCall};
pub use outcome::{Contents, Outcome, Said};
pub use run::Runner;
pub use source::CaseError;
pub use test::{Report, Tested, test};
pub use update::{UpdateError, update};
