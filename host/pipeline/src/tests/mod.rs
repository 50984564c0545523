//! The pipeline with plugins that are not there: what they do is written in the test, and time does not pass but is
//! set forward. (`workers` is the exception: real arbiters, real time.)

mod bodies;
mod breaker;
mod fake;
mod faults;
mod groups;
mod heard;
mod hooks;
mod limits;
mod names;
mod order;
mod outcomes;
mod replaced;
mod routes;
mod turns;
mod usage;
mod workers;
