//! From a score to what should happen.

use crate::{config::Settings, report::Report};
use std::collections::BTreeSet;
use wasmilter_sdk::{Decision, Deferral, HeaderField, HeaderName, HeaderValue, Message, Rejection};

/// Most symbols that are named in the header field.
const MOST_SYMBOLS: usize = 60;

/// What is done, from mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Nothing,
    Tag,
    Subject,
    Tempfail,
    Quarantine,
    Reject,
}

/// Decides about a scored message.
pub(crate) fn decide(settings: &Settings, message: &Message, headers: &[HeaderField], report: &Report) -> Decision {
    let action = if settings.follow_action { proposed(&report.action) } else { by_score(settings, report.score) };
    let decision = match action {
        Action::Reject => Decision::reject(Rejection::new(&settings.reply).with_enhanced(7, 1)),
        Action::Tempfail => Decision::tempfail(Deferral::new("try again later").with_enhanced(7, 1)),
        Action::Quarantine => marked(
            Decision::quarantine(&format!("spam score {:.1}", report.score)),
            settings,
            message,
            headers,
            report,
            action,
        ),
        Action::Nothing | Action::Tag | Action::Subject => {
            marked(Decision::next(), settings, message, headers, report, action)
        }
    };
    let said = if report.action.is_empty() { action.name() } else { report.action.as_str() };
    decision
        .with_fact("score", report.score)
        .with_fact("spam", action >= Action::Tag)
        .with_fact("action", said)
        .with_fact("engine", report.engine)
        .with_fact("symbols", report.symbols.clone())
}

impl Action {
    /// In rspamd's words, which administrators know.
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no action",
            Self::Tag => "add header",
            Self::Subject => "rewrite subject",
            Self::Tempfail => "soft reject",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

fn by_score(settings: &Settings, score: f64) -> Action {
    let reached = |threshold: Option<f64>| threshold.is_some_and(|threshold| score >= threshold);
    if reached(settings.reject) {
        Action::Reject
    } else if reached(settings.quarantine) {
        Action::Quarantine
    } else if reached(settings.subject) {
        Action::Subject
    } else if reached(Some(settings.tag)) {
        Action::Tag
    } else {
        Action::Nothing
    }
}

/// Actions of rspamd; what is not known does nothing.
fn proposed(action: &str) -> Action {
    match action {
        "reject" => Action::Reject,
        "quarantine" => Action::Quarantine,
        "soft reject" | "greylist" => Action::Tempfail,
        "rewrite subject" => Action::Subject,
        "add header" => Action::Tag,
        _ => Action::Nothing,
    }
}

/// Writes header fields and subject, after removing fields of the same names that others put there.
fn marked(
    mut decision: Decision,
    settings: &Settings,
    message: &Message,
    headers: &[HeaderField],
    report: &Report,
    action: Action,
) -> Decision {
    let names = &settings.headers;
    for forged in forged(headers, &names.prefix) {
        decision = decision.remove_headers(forged);
    }
    let spam = action >= Action::Tag;
    let mut symbols: Vec<String> = report.symbols.iter().take(MOST_SYMBOLS).map(|name| printable(name)).collect();
    if symbols.is_empty() {
        symbols.push("none".to_owned());
    }
    let status = format!(
        "{}, score={:.1} required={:.1} engine={}\r\n\ttests={}",
        if spam { "Yes" } else { "No" },
        report.score,
        settings.tag,
        report.engine,
        folded(&symbols),
    );
    decision = decision
        .add_header(names.score.clone(), format!("{:.1}", report.score))
        .add_header(names.status.clone(), HeaderValue::folded(status.clone()).unwrap_or_else(|_| status.into()));
    if spam {
        decision = decision.add_header(names.flag.clone(), "YES");
    }
    // The prefix is for people, and follows its own threshold, also for held mail.
    let wants_prefix = if settings.follow_action {
        action == Action::Subject
    } else {
        settings.subject.is_some_and(|threshold| report.score >= threshold)
    };
    if wants_prefix {
        let subject = message.subject();
        if !subject.starts_with(settings.subject_prefix.trim_end()) {
            decision = decision.set_subject(&format!("{}{subject}", settings.subject_prefix));
        }
    }
    decision
}

/// Names of the message's fields that look like ours, each once.
fn forged(headers: &[HeaderField], prefix: &str) -> Vec<HeaderName> {
    let ours = |name: &str| {
        let begins = name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        begins && name.as_bytes().get(prefix.len()) == Some(&b'-')
    };
    let names = headers.iter().map(|field| field.name.trim());
    let forged: BTreeSet<String> =
        names.filter(|name| ours(name)).map(|name| capitalized(&name.to_ascii_lowercase())).collect();
    forged.into_iter().filter_map(|name| HeaderName::new(name).ok()).collect()
}

/// `x-spam-score` as people write it; names are compared without case.
fn capitalized(name: &str) -> String {
    let mut start = true;
    let letters = name.chars().map(|c| {
        let upper = start;
        start = c == '-';
        if upper { c.to_ascii_uppercase() } else { c }
    });
    letters.collect()
}

/// Names separated by commas, in lines of less than 78 characters where that is possible (RFC 5322 §2.1.1).
fn folded(names: &[String]) -> String {
    let mut text = String::new();
    // "\ttests=" is on the first line.
    let mut column: usize = 8 + 6;
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            text.push(',');
            column = column.saturating_add(1);
            if column.saturating_add(name.len()) > 76 {
                text.push_str("\r\n\t");
                column = 8;
            }
        }
        text.push_str(name);
        column = column.saturating_add(name.len());
    }
    text
}

fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(70).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_folded_into_short_lines() {
        let names: Vec<String> = (0..40).map(|index| format!("A_RULE_{index}")).collect();
        let text = folded(&names);
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= 70), "{text}");
        assert_eq!(text.replace("\r\n\t", ""), names.join(","));
    }
}
