//! From what was found to what should happen.

use crate::{
    config::{OnVirus, Settings, Strictness},
    report::{Find, Report},
};
use wasmilter_sdk::{Decision, Message, Reply};

/// Longest name of a virus or file that is told to anybody.
const LONGEST_NAME: usize = 70;

/// Decides about a scanned message.
pub(crate) fn decide(settings: &Settings, message: &Message, report: &Report) -> Decision {
    let decision = match report.finds.first() {
        Some(find) => infected(settings, message, report, find),
        None => not_infected(settings, message, report),
    };
    with_facts(decision, report)
}

fn infected(settings: &Settings, message: &Message, report: &Report, first: &Find) -> Decision {
    let virus = printable(&first.virus);
    match settings.on_virus {
        OnVirus::Reject => Decision::reject(refusal(settings.reply.replace("{virus}", &virus))),
        OnVirus::Discard => Decision::discard(),
        OnVirus::Quarantine => Decision::quarantine(format!("virus: {virus}")),
        OnVirus::Replace => replace(settings, message, report)
            // Nobody could say which part it is: deliver nothing.
            .unwrap_or_else(|| Decision::quarantine(format!("virus: {virus}"))),
    }
}

/// Replaces every infected part by a notice; none when a find has no part.
fn replace(settings: &Settings, message: &Message, report: &Report) -> Option<Decision> {
    let mut decision = Decision::next();
    let mut replaced: Vec<u32> = Vec::new();
    for find in &report.finds {
        let part = find.part.as_ref()?;
        if replaced.contains(&part.id) {
            continue;
        }
        replaced.push(part.id);
        let file = if part.path.is_empty() { "(no name)".to_owned() } else { readable(&part.path) };
        let notice = settings.notice.replace("{virus}", &printable(&find.virus)).replace("{file}", &file);
        decision = decision.replace_part_by_text(part.id, notice);
    }
    Some(stamp(decision, settings, message, report, "infected parts replaced"))
}

fn not_infected(settings: &Settings, message: &Message, report: &Report) -> Decision {
    let limit = report.limit.as_deref().map(|limit| (settings.on_limit, format!("can not be scanned: {limit}")));
    let encrypted = report.encrypted.then(|| (settings.on_encrypted, "has an encrypted archive".to_owned()));
    let unreadable =
        report.unreadable.then(|| (settings.on_unreadable, "has an archive that can not be read".to_owned()));
    // The strictest of what applies.
    let worst = [limit, encrypted, unreadable].into_iter().flatten().max_by_key(|(strictness, _)| *strictness);
    match worst {
        None => stamp(Decision::next(), settings, message, report, "clean"),
        Some((Strictness::Pass, why)) => {
            stamp(Decision::next(), settings, message, report, &format!("nothing found, but the message {why}"))
        }
        Some((Strictness::Tempfail, why)) => {
            Decision::tempfail(Reply { code: 451, enhanced: "4.7.1".to_owned(), text: format!("message {why}") })
        }
        Some((Strictness::Quarantine, why)) => Decision::quarantine(format!("virus scan: message {why}")),
        Some((Strictness::Reject, why)) => Decision::reject(refusal(format!("message {why}"))),
    }
}

/// Marks the message as scanned, when asked to, and drops marks that others put there.
fn stamp(mut decision: Decision, settings: &Settings, message: &Message, report: &Report, state: &str) -> Decision {
    let Some(header) = &settings.stamp else { return decision };
    if message.header_count(header) > 0 {
        decision = decision.remove_header(header);
    }
    decision.add_header(header, format!("wasmilter virus/{}; {state}", report.engine))
}

fn with_facts(decision: Decision, report: &Report) -> Decision {
    let mut decision = decision
        .with_fact("infected", !report.finds.is_empty())
        .with_fact("engine", report.engine)
        .with_fact("scanned", report.scanned)
        .with_fact("encrypted", report.encrypted)
        .with_fact("unreadable", report.unreadable);
    if let Some(first) = report.finds.first() {
        let names: Vec<String> = report.finds.iter().map(|find| printable(&find.virus)).collect();
        decision = decision.with_fact("name", printable(&first.virus)).with_fact("names", names);
    }
    if let Some(limit) = &report.limit {
        decision = decision.with_fact("limit", limit.as_str());
    }
    if report.skipped_signatures > 0 {
        decision = decision.with_fact("skipped_signatures", report.skipped_signatures);
    }
    decision
}

fn refusal(text: String) -> Reply {
    Reply { code: 550, enhanced: "5.7.1".to_owned(), text }
}

/// A name from a signature or from clamd, fit for replies and header fields: printable US-ASCII.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(LONGEST_NAME).collect()
}

/// A file name for a notice: without control characters.
fn readable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '_' } else { c }).take(4 * LONGEST_NAME).collect()
}
