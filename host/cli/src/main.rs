//! `wasmilter`, the command line. One file per subcommand; results go to standard output, the log to standard error.

mod admin;
mod check;
mod configuration;
mod edit;
mod explain;
mod json;
mod output;
mod pid_file;
mod plugin;
mod reload;
mod serve;
mod tap;
mod top;
mod trial;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A milter that runs WebAssembly plugins: Postfix or Sendmail hands it every message, plugins decide.
#[derive(Debug, Parser)]
#[command(name = "wasmilter", version, about, max_term_width = 100, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wasmilter check --config wasmilter.toml              all mistakes at once, with line and column
  wasmilter try --config wasmilter.toml message.eml    what would happen to this message, and why
  wasmilter serve --config wasmilter.toml              take mail
  wasmilter reload --config wasmilter.toml             have the daemon read its configuration again
  wasmilter top                                        what the daemon is doing, stage by stage
  wasmilter tap --failure any                          decisions as they happen
  wasmilter plugin new subject-filter --lang python    begin a plugin in one of seven languages
  wasmilter plugin inspect plugin.wasm                 what a plugin is and what it can reach

Without --config: ./wasmilter.toml, otherwise /etc/wasmilter/wasmilter.toml, otherwise a built-in one that needs no other server and \
listens on 127.0.0.1:8891.

Exit codes: 0 done; 1 it did not work, or mistakes were found; 2 the command line was wrong.

Environment: WASMILTER_CONFIG (as --config), WASMILTER_LOG or RUST_LOG (log level, such as debug), NO_COLOR, WASMILTER_PLUGINS (a \
directory with bundled plugins), WASMILTER_TOOLS (a directory with tools that build plugins).";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Reload(reload::Reload),
    Top(top::Top),
    Tap(tap::Tap),
    Check(check::Check),
    Try(trial::Try),
    Plugin(plugin::Plugin),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Reload(reload) => reload.run(),
        Command::Top(top) => top.run(),
        Command::Tap(tap) => tap.run(),
        Command::Check(check) => check.run(),
        Command::Try(trial) => trial.run(),
        Command::Plugin(plugin) => plugin.run(),
    };
    done.unwrap_or_else(|error| {
        output::complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
