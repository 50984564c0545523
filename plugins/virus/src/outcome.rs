//! From what was found to what should happen.

use crate::{
    config::{OnVirus, Settings, Strictness},
    report::{Find, Report},
};
use wasmilter_sdk::{Decision, Deferral, Message, NewPart, Part, PartEdits, Rejection};

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
        OnVirus::Reject => Decision::reject(refusal(&settings.reply.replace("{virus}", &virus))),
        OnVirus::Discard => Decision::discard(),
        OnVirus::Quarantine => Decision::quarantine(&format!("virus: {virus}")),
        OnVirus::Replace => replace(settings, message, report)
            // Nobody could say which part it is: deliver nothing.
            .unwrap_or_else(|| Decision::quarantine(&format!("virus: {virus}"))),
    }
}

/// Replaces every infected part by a notice; none when a find has no part.
fn replace(settings: &Settings, message: &Message, report: &Report) -> Option<Decision> {
    let parts = message.parts();
    let mut edits = PartEdits::new();
    let mut replaced: Vec<u32> = Vec::new();
    for find in &report.finds {
        let part = find.part.as_ref()?;
        let infected: &Part<'_> = parts.iter().find(|candidate| candidate.id == part.id)?;
        if replaced.contains(&part.id) {
            continue;
        }
        replaced.push(part.id);
        let file = if part.path.is_empty() { "(no name)".to_owned() } else { readable(&part.path) };
        let notice = settings.notice.replace("{virus}", &printable(&find.virus)).replace("{file}", &file);
        edits = edits.replace(infected, NewPart::text(notice));
    }
    Some(stamp(Decision::next().with_content(edits), settings, message, report, "infected parts replaced"))
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
            Decision::tempfail(Deferral::new(&format!("message {why}")).with_enhanced(7, 1))
        }
        Some((Strictness::Quarantine, why)) => Decision::quarantine(&format!("virus scan: message {why}")),
        Some((Strictness::Reject, why)) => Decision::reject(refusal(&format!("message {why}"))),
    }
}

/// Marks the message as scanned, when asked to, and drops marks that others put there.
fn stamp(mut decision: Decision, settings: &Settings, message: &Message, report: &Report, state: &str) -> Decision {
    let Some(header) = &settings.stamp else { return decision };
    if message.header_count(header.as_str()) > 0 {
        decision = decision.remove_headers(header.clone());
    }
    decision.add_header(header.clone(), format!("wasmilter virus/{}; {state}", report.engine))
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

fn refusal(text: &str) -> Rejection {
    Rejection::new(text).with_enhanced(7, 1)
}

/// A name from a signature or from clamd, fit for replies and header fields: printable US-ASCII.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(LONGEST_NAME).collect()
}

/// A file name for a notice: without control characters.
fn readable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '_' } else { c }).take(4 * LONGEST_NAME).collect()
}
