//! `wasmilter plugin test`

use super::{Folder, Watched, sandbox};
use crate::{
    configuration::{block_on, start_quiet_log},
    output,
};
use anyhow::{Result, bail};
use serde_json::json;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};
use wasmilter_app::telemetry::colours;
use wasmilter_cases::{Report, Runner, Tested, find};
use wasmilter_toolchain::Project;

/// Run a plugin project's test cases.
///
/// Builds the plugin when a source changed, then runs each folder below cases/ in the sandbox, as the daemon would: message.eml, in the
/// transaction that transaction.toml describes (client, envelope, configuration, what services and DNS answer), must end as expected.toml
/// says.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter plugin test
  wasmilter plugin test --filter spam
  wasmilter plugin test --update              # then read what changed: git diff cases/
  wasmilter plugin test --json | jq -r '.cases[] | select(.result != \"passed\").name'

With --json prints one object: `plugin` (file), `cases` (array of `name`, `result`: passed, updated, failed or mistake; with `difference` \
and `outcome`, or `mistake`).

Exit codes: 0 all cases hold, or were updated; 1 some do not; 2 something is wrong before that: the build, a case's files, no case at \
all, the command line.")]
pub(super) struct Test {
    #[command(flatten)]
    folder: Folder,
    /// Write what the plugin said into expected.toml of the cases that do not hold
    #[arg(long)]
    update: bool,
    /// Only cases with this in their name
    #[arg(long, short, value_name = "TEXT")]
    filter: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Something is wrong before any case could fail.
const MISTAKE: u8 = 2;

impl Test {
    pub(super) fn run(self) -> Result<ExitCode> {
        // Scripts tell "a case fails" from "nothing could be tested".
        self.test().or_else(|error| {
            output::complain(&format!("{error:#}"));
            Ok(ExitCode::from(MISTAKE))
        })
    }

    fn test(&self) -> Result<ExitCode> {
        start_quiet_log(None)?;
        let project = Project::open(&self.folder.folder)?;
        let cases = self.cases(&project)?;
        let built = project.build_if_stale(&Watched { verbose: false })?;
        let sandbox = sandbox()?;
        let component = sandbox.load(&built.path)?;
        let runner = Runner::new(&sandbox, &component);
        let tested = block_on(async {
            let mut tested = Vec::new();
            for case in &cases {
                let one = Tested::run(&runner, case, self.update).await;
                if !self.json {
                    output::print(&describe(&one))?;
                }
                tested.push(one);
            }
            anyhow::Ok(tested)
        })??;
        match self.json {
            true => output::print(&format!("{:#}\n", json!({ "plugin": built.path, "cases": tested })))?,
            false => output::print(&sum(&tested))?,
        }
        Ok(exit_code(&tested))
    }

    /// The folders of the cases to run.
    fn cases(&self, project: &Project) -> Result<Vec<PathBuf>> {
        let mut cases = find(&project.cases())?;
        let all = cases.len();
        if let Some(text) = &self.filter {
            cases.retain(|case| name(case).contains(text.as_str()));
        }
        match (cases.is_empty(), &self.filter) {
            (false, _) => Ok(cases),
            (true, Some(text)) if all > 0 => bail!("none of the {all} cases has {text:?} in its name"),
            (true, _) => bail!(
                "there are no cases: make {0}/NAME/message.eml and run `wasmilter plugin test --update`",
                output::near(&project.cases())
            ),
        }
    }
}

fn name(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn describe(tested: &Tested) -> String {
    let name = &tested.name;
    match &tested.report {
        Report::Passed => format!("ok       {name}\n"),
        Report::Updated => format!("updated  {name}\n"),
        Report::Mistake { mistake } => format!("MISTAKE  {name}\n  {mistake}\n"),
        Report::Failed { difference, not_updated, .. } => {
            let mut text = format!("FAILED   {name}\n");
            match difference.0.is_empty() {
                true => text.push_str("  nothing is expected yet: there is no expected.toml\n"),
                false => difference
                    .render(colours(&std::io::stdout()))
                    .lines()
                    .for_each(|line| text.push_str(&format!("  {line}\n"))),
            }
            if let Some(reason) = not_updated {
                text.push_str(&format!("  not updated: {reason}\n"));
            }
            text
        }
    }
}

fn sum(tested: &[Tested]) -> String {
    let count = |wanted: fn(&Report) -> bool| tested.iter().filter(|one| wanted(&one.report)).count();
    let failed = count(|report| matches!(report, Report::Failed { .. }));
    let mut text = format!("\n{} passed", count(|report| matches!(report, Report::Passed)));
    let others = [
        ("updated", count(|report| matches!(report, Report::Updated))),
        ("failed", failed),
        ("with a mistake", count(|report| matches!(report, Report::Mistake { .. }))),
    ];
    for (what, count) in others.into_iter().filter(|(_, count)| *count > 0) {
        // Writing to a string can not fail.
        let _ok = write!(text, ", {count} {what}").is_ok();
    }
    text.push('\n');
    if failed > 0 {
        text.push_str("--update writes what the plugin said into expected.toml\n");
    }
    text
}

fn exit_code(tested: &[Tested]) -> ExitCode {
    let mistake = tested.iter().any(|one| matches!(one.report, Report::Mistake { .. }));
    match (mistake, tested.iter().all(Tested::is_good)) {
        (true, _) => ExitCode::from(MISTAKE),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    }
}
