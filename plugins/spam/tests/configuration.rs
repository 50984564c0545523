//! Every mistake in a configuration is told, with its place.

use spam::Spam;
use wasmilter_sdk::testing;

fn paths(config: &str) -> Vec<String> {
    let mut paths: Vec<String> = match testing::configure::<Spam>(config) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_list().into_iter().map(|problem| problem.path).collect(),
    };
    paths.sort();
    paths
}

#[test]
fn good_configurations_are_taken() {
    for config in [
        "{}",
        r#"{"tag": 4, "subject": 6.5, "quarantine": 9, "reject": 20}"#,
        r#"{"reject": false, "headers": "X-Junk", "scores": {"PILLS": 0, "GTUBE": 10}}"#,
        r#"{"tag": 30}"#,
        r#"{"service": "rspamd", "follow_action": true}"#,
        r#"{"service": "sa", "protocol": "spamd"}"#,
    ] {
        assert_eq!(paths(config), [""; 0], "{config}");
    }
}

#[test]
fn mistakes_are_told_all_at_once() {
    let config = r#"{
        "tag": 5, "subject": 4, "quarantine": 20, "reject": 10, "subject_prefix": "a\nb", "headers": "X", "reply": "",
        "follow_action": true, "protocol": "spamd", "scores": {"NO/SUCH": 1, "PILLS": 5000}, "threshold": 3
    }"#;
    assert_eq!(
        paths(config),
        [
            "/follow_action",
            "/headers",
            "/protocol",
            "/quarantine",
            "/reply",
            "/scores/NO~1SUCH",
            "/scores/PILLS",
            "/subject",
            "/subject_prefix",
            "/threshold",
        ]
    );
    assert_eq!(paths(r#"{"tag": "high", "reject": true}"#), ["/reject", "/tag"]);
}
