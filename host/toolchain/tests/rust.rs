//! A new project in Rust, built by the real tool chain.

use std::{fs, path::Path, time::Duration};
use wasmilter_toolchain::{Component, LanguageName, Project};

#[test]
fn a_new_project_builds_and_is_built_again_only_when_it_changed() {
    let parent = tempfile::tempdir().unwrap();
    let project = Project::create("subject-filter", LanguageName::Rust, &parent.path().join("subject-filter")).unwrap();
    let built = project.build(&()).unwrap();
    assert_eq!(built.path, project.component());
    assert_eq!(built.component.imports, ["headers"], "what it does not use is not in it");
    assert_eq!(built.component.exports, ["lifecycle", "message-policy"]);
    assert_eq!(built.component.grants_needed, ["headers"]);
    assert!(built.size < 300_000, "{} bytes", built.size);
    assert_eq!(fs::read(&built.path).unwrap().len(), built.size);

    let time = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
    let first = time(&built.path);
    project.build_if_stale(&()).unwrap();
    assert_eq!(time(&built.path), first, "nothing changed");

    std::thread::sleep(Duration::from_millis(20));
    let source = project.folder().join("src/lib.rs");
    fs::write(&source, fs::read_to_string(&source).unwrap() + "\n// changed\n").unwrap();
    project.build_if_stale(&()).unwrap();
    assert!(time(&built.path) > first, "a source changed");

    // What the compiler says reaches the author, and the plugin built before stays.
    fs::write(&source, "this is no Rust").unwrap();
    let before = fs::read(&built.path).unwrap();
    let error = project.build(&()).unwrap_err().to_string();
    assert!(error.contains("error") && error.contains("src/lib.rs"), "{error}");
    assert_eq!(fs::read(&built.path).unwrap(), before);
}

#[test]
fn a_component_that_is_no_plugin_is_refused_with_everything_that_is_wrong() {
    let foreign = "(component
        (import \"wasi:cli/environment@0.2.0\" (instance))
        (import \"wasmilter:policy/headers@0.1.0\" (instance)))";
    let error = Component::look(&wat::parse_str(foreign).unwrap()).unwrap_err().to_string();
    for wrong in [
        "imports wasi:cli/environment@0.2.0, which is not in the contract",
        "imports wasmilter:policy/headers@0.1.0, which is of another version",
        "does not export lifecycle",
        "exports none of message-policy",
    ] {
        assert!(error.contains(wrong), "{wrong} is not in: {error}");
    }
    let module = Component::look(&wat::parse_str("(module)").unwrap()).unwrap_err();
    assert!(format!("{module:#}").contains("core module"), "{module:#}");
}
