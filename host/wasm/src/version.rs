//! Versions of the contract: which plugins this host runs.
//!
//! Interfaces are named `wasmilter:policy/NAME@VERSION`. Within a major version nothing changes that exists, so that a plugin
//! built against an earlier minor version finds what it knows; wasmtime looks names up accordingly. What a plugin of a
//! later minor version uses may not be here, and is not guessed at.

use semver::Version;

/// Package of our interfaces, as it stands in names of imports and exports.
const PACKAGE: &str = "wasmilter:policy/";

/// The version of the contract that this host has; `wit/package.wit`.
pub(crate) const OURS: Version = Version::new(1, 0, 0);

/// Name and version of one of our interfaces; None for anything else.
pub(crate) fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

/// The first version among the names of a component's imports and exports that this host does not run.
pub(crate) fn foreign<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names.into_iter().filter_map(interface).map(|(_, version)| version).find(|version| !runs(version, &OURS))
}

/// Whether a host with version `ours` of the contract runs what was built for `theirs`.
fn runs(theirs: &str, ours: &Version) -> bool {
    Version::parse(theirs)
        .is_ok_and(|theirs| theirs.pre.is_empty() && theirs.major == ours.major && theirs.minor <= ours.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_contract() {
        let contract = include_str!("../../../wit/package.wit");
        let package = contract.lines().find_map(|line| line.strip_prefix("package wasmilter:policy@"));
        assert_eq!(package, Some(format!("{OURS};").as_str()));
    }

    #[test]
    fn earlier_minor_versions_run_and_others_do_not() {
        let later = Version::new(1, 2, 0);
        for runs_here in ["1.0.0", "1.1.5", "1.2.9"] {
            assert!(runs(runs_here, &later), "{runs_here}");
        }
        for foreign in ["1.3.0", "2.0.0", "0.1.0", "1.0.0-rc.1", "1.0", "", "x"] {
            assert!(!runs(foreign, &later) && !runs(foreign, &OURS), "{foreign}");
        }
        assert!(runs("1.0.9", &OURS) && !runs("1.1.0", &OURS));
        let names = ["wasi:cli/stdout@0.2.6", "wasmilter:policy/types@1.0.0", "wasmilter:policy/raw@1.4.0"];
        assert_eq!(foreign(names), Some("1.4.0"));
        assert_eq!(foreign(["init", "other:policy/raw@9.0.0"]), None);
    }
}
