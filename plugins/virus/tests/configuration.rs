//! Every mistake in a configuration is told, with its place.

use virus::Virus;
use wasmilter_sdk::testing;

fn problems(config: &str) -> Vec<(String, String)> {
    match testing::configure::<Virus>(config) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_list().into_iter().map(|problem| (problem.path, problem.message)).collect(),
    }
}

#[test]
fn good_configurations_are_taken() {
    for config in [
        "{}",
        r#"{"service": "clamd", "on_virus": "replace", "stamp": "X-Scanned"}"#,
        r#"{"limits": {"file_size": "16MiB", "total_size": 5, "depth": 0}}"#,
        r#"{"signatures": {"file": "/x/a.hdb", "content": "44d88612fea8a8f36de82e1278abb02f:68:Eicar"}}"#,
    ] {
        assert_eq!(problems(config), [], "{config}");
    }
}

#[test]
fn mistakes_are_told_all_at_once() {
    let config = r#"{
        "service": "", "on_virus": "delete", "on_limit": "explode", "stamp": "a b", "reply": "é", "colour": "red",
        "hashes": [{"sha256": "1234", "name": ""}, {"sha256": 5, "name": "x"}],
        "signatures": [{"file": "/x/a.cvd", "content": ""}, {"file": "/x/b.ndb", "content": "A:0:*:61zz\nA:0:*:6162"}],
        "limits": {"ratio": 0, "depth": 99, "file_size": "12 apples"}
    }"#;
    let mut paths: Vec<String> = problems(config).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(
        paths,
        [
            "/colour",
            "/hashes/0/name",
            "/hashes/0/sha256",
            "/hashes/1/sha256",
            "/limits/depth",
            "/limits/file_size",
            "/limits/ratio",
            "/on_limit",
            "/on_virus",
            "/reply",
            "/service",
            "/signatures/0",
            "/signatures/1",
            "/stamp",
        ]
    );
}

#[test]
fn a_wrong_line_of_a_signature_file_is_named() {
    let config = r#"{"signatures": [{"file": "/x/b.ndb", "content": "A:0:*:6162\n\n# comment\nA:0:*:61zz\n"}]}"#;
    let problems = problems(config);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].1.starts_with("line 4 of /x/b.ndb: "), "{problems:?}");
}
