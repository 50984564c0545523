//! A folder of cases, run and compared: `wasmilter plugin test`.

use crate::{
    case::{self, Case},
    difference::Difference,
    expected::Expected,
    outcome::Outcome,
    run::Runner,
    source::CaseError,
    update::update,
};
use serde::Serialize;
use std::path::Path;

/// One case that was run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tested {
    /// The folder's name.
    pub name: String,
    /// How it went.
    #[serde(flatten)]
    pub report: Report,
}

/// How a case went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Report {
    /// As expected.
    Passed,
    /// Not as expected, or there was nothing yet; `expected.toml` says so now.
    Updated,
    /// Not as expected.
    Failed {
        /// What differs. Empty when nothing was expected yet.
        difference: Difference,
        /// What the plugin did say.
        outcome: Outcome,
        /// Why `expected.toml` was not updated, when it should have been.
        #[serde(skip_serializing_if = "Option::is_none")]
        not_updated: Option<String>,
    },
    /// There is a mistake in the case.
    Mistake {
        /// Which.
        mistake: CaseError,
    },
}

/// Runs all cases of a folder; with `write`, what is not as expected becomes what is expected.
///
/// # Errors
/// When the folder can not be read. What is wrong with a case is in its [`Report`].
pub async fn test(runner: &Runner<'_>, directory: &Path, write: bool) -> Result<Vec<Tested>, CaseError> {
    let mut tested = Vec::new();
    for folder in case::find(directory)? {
        tested.push(Tested::run(runner, &folder, write).await);
    }
    Ok(tested)
}

impl Tested {
    /// Runs the case in a folder.
    pub async fn run(runner: &Runner<'_>, folder: &Path, write: bool) -> Self {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let report = report(runner, folder, write).await.unwrap_or_else(|mistake| Report::Mistake { mistake });
        Self { name, report }
    }

    /// Whether nobody has to do anything about it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.report, Report::Passed | Report::Updated)
    }
}

async fn report(runner: &Runner<'_>, folder: &Path, write: bool) -> Result<Report, CaseError> {
    let case = Case::load(folder)?;
    // Read before anything runs: a mistake in it is told in no time. When it is to be written anew, it does not matter.
    let expected = match Expected::load(&case) {
        Err(mistake) if !write => return Err(mistake),
        expected => expected.ok(),
    };
    let outcome = runner.run(&case).await;
    let difference = match &expected {
        None => Difference(Vec::new()),
        Some(expected) => match outcome.difference(expected) {
            None => return Ok(Report::Passed),
            Some(difference) => difference,
        },
    };
    let not_updated = match write.then(|| update(&case, &outcome)) {
        Some(Ok(())) => return Ok(Report::Updated),
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    Ok(Report::Failed { difference, outcome, not_updated })
}
