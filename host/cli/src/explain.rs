//! The explanation of a trial, for people.

use crate::edit::Summary;
use std::fmt::{self, Display, Formatter};
use wasmilter_app::trial::{HookOutcome, Outcome};
use wasmilter_message::{
    decision::{HookVerdict, Verdict},
    facts::Value,
    judge::Hook,
    trace::StageTrace,
};

/// Writes an outcome as text.
pub(crate) struct Explanation<'a>(pub(crate) &'a Outcome);

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = self.0;
        for hook in &outcome.hooks {
            write_hook(hook, f)?;
        }
        if let Some(judged) = &outcome.judged {
            if let Some(route) = &judged.trace.route {
                writeln!(f, "route {route}\n")?;
            }
            for stage in &judged.trace.stages {
                write_stage(stage, f)?;
            }
            if let Some(failure) = &judged.trace.host {
                writeln!(f, "host decided by itself: {failure}\n")?;
            }
        }
        writeln!(f, "verdict        {}", outcome.verdict)?;
        writeln!(f, "reply          {}", outcome.reply.trim_end().replace('\n', "\n               "))?;
        match outcome.modifications.as_slice() {
            [] => writeln!(f, "modifications  none")?,
            all => {
                writeln!(f, "modifications")?;
                for modification in all {
                    writeln!(f, "  {modification}")?;
                }
            }
        }
        if let Some(judged) = &outcome.judged {
            writeln!(f, "time           {:.3} ms", judged.trace.took.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

fn write_hook(asked: &HookOutcome, f: &mut Formatter<'_>) -> fmt::Result {
    match &asked.hook {
        Hook::Rcpt(recipient) => write!(f, "hook rcpt <{}>: ", recipient.address())?,
        hook => write!(f, "hook {}: ", hook.name())?,
    }
    match (&asked.verdict, &asked.reply) {
        (HookVerdict::Next, _) => writeln!(f, "next\n"),
        (HookVerdict::Reject(_), reply) => writeln!(f, "reject, {}\n", reply.as_deref().unwrap_or_default().trim_end()),
        (HookVerdict::Tempfail(_), reply) => {
            writeln!(f, "tempfail, {}\n", reply.as_deref().unwrap_or_default().trim_end())
        }
    }
}

fn write_stage(stage: &StageTrace, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "stage {} (plugin {})", stage.name, stage.plugin)?;
    if let Some(group) = &stage.group {
        write!(f, ", group {group}")?;
    }
    match stage.ran {
        true => writeln!(f, ", {:.3} ms", stage.took.as_secs_f64() * 1e3)?,
        false => writeln!(f, ", did not run")?,
    }
    if let Some(condition) = &stage.condition {
        let word = if condition.negated { "unless" } else { "when" };
        match &condition.value {
            Ok(value) => writeln!(f, "  {word:<9} {} is {value}", condition.source)?,
            Err(error) => writeln!(f, "  {word:<9} {} has no value: {error}", condition.source)?,
        }
    }
    if stage.dropped {
        writeln!(f, "  dropped   a stage before it in the group ended the run: nothing of this counts")?;
    }
    if let Some(failure) = &stage.failure {
        writeln!(f, "  failure   {failure}")?;
    }
    if let Some(verdict) = &stage.verdict {
        let shadow = if stage.shadow { " (shadow: only recorded)" } else { "" };
        let because = if stage.failure.is_some() { " (by on_failure)" } else { "" };
        writeln!(f, "  verdict   {}{because}{shadow}", describe(verdict))?;
    }
    for edit in &stage.edits {
        writeln!(f, "  edit      {}", Summary(edit))?;
    }
    for fact in &stage.facts {
        writeln!(f, "  fact      {}.{} = {}", stage.name, fact.name, show(&fact.value))?;
    }
    writeln!(f)
}

fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
            let code = if reply.code == 0 { String::new() } else { format!(" {}", reply.code) };
            let text = if reply.text.is_empty() { String::new() } else { format!(" {:?}", reply.text) };
            format!("{}{code}{text}", verdict.name())
        }
        Verdict::Quarantine { reason } => format!("quarantine {reason:?}"),
        Verdict::Next | Verdict::Accept | Verdict::Discard => verdict.name().to_owned(),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Texts(texts) => format!("{texts:?}"),
    }
}
