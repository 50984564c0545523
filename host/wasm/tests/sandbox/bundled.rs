//! The thin path: a bundled plugin is loaded, inspected and found to fit the contract.

use crate::support;

use std::path::PathBuf;
use wasmilter_wasm::Sandbox;

#[test]
fn every_bundled_plugin_loads_and_says_who_it_is() {
    let sandbox: Sandbox = support::sandbox();
    for name in ["virus", "spam", "disclaimer", "encryption", "peer-address"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/plugins/{name}.wasm"));
        assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
        let component = sandbox.load(&path).unwrap();
        let inspection = component.inspection();
        assert_eq!(inspection.info.name, name);
        assert!(inspection.phases.message, "{name} judges messages");
        assert_eq!(inspection.unknown_imports, Vec::<String>::new(), "{name} imports nothing foreign");
        assert!(
            inspection.imports.iter().all(|import| import.starts_with("wasmilter:policy/")),
            "{name} imports {:?}",
            inspection.imports
        );
    }
}
