//! The sandbox on real guests: `tests/guests`, which misbehave on purpose, and the bundled plugins. Limits are tried from
//! both sides, and every violation while a neighbour runs.

mod bundled;
mod isolation;
mod limits;
mod loading;
mod refusals;
mod services;
mod support;
