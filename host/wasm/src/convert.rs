//! From what a guest answered to the host's own types. Numbers, names, ids and addresses are checked here; whether an
//! edit fits the message is checked by `wasmilter_message::apply`, which knows the message.

use crate::{
    bindings::{
        exports::wasmilter::policy::{lifecycle, message_policy as policy},
        wasmilter::policy::{hook_types, types},
    },
    call::Call,
    failure::{Stop, one_line},
    stage::Limits,
};
use bytes::Bytes;
use wasmilter_message::{
    decision::{
        Annotation, Decision, Edit, HookDecision, HookVerdict, NewAddress, NewClient, NewHeader, NewPart, Reply,
        Verdict,
    },
    facts::{Fact, Value},
    failure::{Cause, Failure},
    limit::Limit,
    policy::PluginInfo,
};

/// Longest name of a fact, in bytes.
const FACT_NAME: usize = 64;

/// Longest reason for quarantine, in characters.
const REASON: usize = 100;

/// What the guest decided about a message.
///
/// # Errors
/// `refused` when something is malformed, `limit` when it is too much, and what the guest itself said went wrong.
pub(crate) fn decision(answer: Result<policy::Decision, types::Failure>, call: &mut Call) -> Result<Decision, Failure> {
    let decision = answer.map_err(failure)?;
    let limits = call.stage.limits;
    at_most(Limit::Edits, decision.edits.len(), limits.edits)?;
    let mut edits = Vec::with_capacity(decision.edits.len());
    for (number, wanted) in (1_u32..).zip(decision.edits) {
        edits.push(edit(wanted, call).map_err(|stop| match stop {
            Stop::Store(reason) => Failure::new(Cause::Store, one_line(&reason)),
            stop => refused(format!("edit {number}: {stop}")),
        })?);
    }
    Ok(Decision { verdict: verdict(decision.verdict)?, edits, facts: facts(decision.facts, &limits)? })
}

/// What the guest decided at a hook.
///
/// # Errors
/// Like [`decision`].
pub(crate) fn hook_decision(
    answer: Result<hook_types::HookDecision, types::Failure>,
    call: &Call,
) -> Result<HookDecision, Failure> {
    let decision = answer.map_err(failure)?;
    let verdict = match decision.verdict {
        hook_types::HookVerdict::Next => HookVerdict::Next,
        hook_types::HookVerdict::Reject(wanted) => HookVerdict::Reject(reply(wanted, '5')?),
        hook_types::HookVerdict::Tempfail(wanted) => HookVerdict::Tempfail(reply(wanted, '4')?),
    };
    Ok(HookDecision { verdict, facts: facts(decision.facts, &call.stage.limits)? })
}

/// How the guest presents itself.
pub(crate) fn info(info: lifecycle::PluginInfo) -> PluginInfo {
    PluginInfo {
        name: one_line(&info.name),
        version: one_line(&info.version),
        summary: one_line(&info.summary),
        licence: one_line(&info.licence),
        home_page: one_line(&info.home_page),
        grants: info.grants.iter().map(|grant| one_line(grant)).collect(),
        config_schema: info.config_schema,
    }
}

fn failure(said: types::Failure) -> Failure {
    let cause = match said.kind {
        types::FailureKind::Service => Cause::Service,
        types::FailureKind::Unsupported | types::FailureKind::Internal => Cause::Failed,
    };
    Failure::new(cause, one_line(&said.detail))
}

fn verdict(wanted: types::Verdict) -> Result<Verdict, Failure> {
    Ok(match wanted {
        types::Verdict::Next => Verdict::Next,
        types::Verdict::Accept => Verdict::Accept,
        types::Verdict::Reject(wanted) => Verdict::Reject(reply(wanted, '5')?),
        types::Verdict::Tempfail(wanted) => Verdict::Tempfail(reply(wanted, '4')?),
        types::Verdict::Discard => Verdict::Discard,
        types::Verdict::Quarantine(reason) => {
            if reason.chars().count() > REASON || reason.chars().any(char::is_control) {
                return Err(refused(format!(
                    "the reason for quarantine must be one line of at most {REASON} characters"
                )));
            }
            Verdict::Quarantine { reason }
        }
    })
}

fn reply(wanted: types::Reply, class: char) -> Result<Reply, Failure> {
    let code = u16::try_from(wanted.code).map_err(|_| refused(format!("there is no reply code {}", wanted.code)))?;
    let reply = Reply { code, enhanced: wanted.enhanced, text: wanted.text };
    reply.check(class).map_err(refused)?;
    Ok(reply)
}

fn facts(wanted: Vec<types::Fact>, limits: &Limits) -> Result<Vec<Fact>, Failure> {
    at_most(Limit::Facts, wanted.len(), limits.facts)?;
    let mut bytes = 0_usize;
    let mut facts = Vec::with_capacity(wanted.len());
    for fact in wanted {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if fact.name.is_empty() || fact.name.len() > FACT_NAME || !fact.name.bytes().all(valid) {
            return Err(refused(format!("{:?} is no name for a fact", one_line(&fact.name))));
        }
        let (value, size) = match fact.value {
            types::FactValue::Flag(flag) => (Value::Flag(flag), 0),
            types::FactValue::Number(number) if number.is_finite() => (Value::Number(number), 0),
            types::FactValue::Number(number) => {
                return Err(refused(format!("fact {} is {number}, which is no number", fact.name)));
            }
            types::FactValue::Text(text) => {
                let size = text.len();
                (Value::Text(text), size)
            }
            types::FactValue::Texts(texts) => {
                // Every text costs something, so that a list of empty ones is not free.
                let size = texts.iter().map(|text| text.len().saturating_add(1)).fold(0, usize::saturating_add);
                (Value::Texts(texts), size)
            }
        };
        bytes = bytes.saturating_add(fact.name.len()).saturating_add(size);
        at_most(Limit::FactBytes, bytes, limits.fact_bytes)?;
        facts.push(Fact { name: fact.name, value });
    }
    Ok(facts)
}

fn edit(wanted: policy::Edit, call: &mut Call) -> Result<Edit, Stop> {
    Ok(match wanted {
        policy::Edit::AddHeader(field) => Edit::AddHeader(header(field)),
        policy::Edit::InsertHeader(field) => Edit::InsertHeader(header(field)),
        policy::Edit::ReplaceHeader(field) => {
            Edit::ReplaceHeader { name: field.name, occurrence: field.occurrence, value: field.value }
        }
        policy::Edit::RemoveHeader(field) => Edit::RemoveHeader { name: field.name, occurrence: field.occurrence },
        policy::Edit::SetSubject(subject) => Edit::SetSubject(subject),
        policy::Edit::ReplacePart(part) => {
            Edit::ReplacePart { part: part.part, with: new_part(part.replacement, call)? }
        }
        policy::Edit::RemovePart(part) => Edit::RemovePart(part),
        policy::Edit::AddPart(part) => Edit::AddPart(new_part(part, call)?),
        policy::Edit::AppendText(text) => Edit::AppendText(annotation(text)),
        policy::Edit::PrependText(text) => Edit::PrependText(annotation(text)),
        policy::Edit::ReplaceContent(entity) => Edit::ReplaceContent {
            headers: entity.headers.into_iter().map(header).collect(),
            body: content(entity.body, call)?,
        },
        policy::Edit::SetSender(sender) => Edit::SetSender(address(sender)),
        policy::Edit::AddRecipient(recipient) => Edit::AddRecipient(address(recipient)),
        policy::Edit::RemoveRecipient(recipient) => Edit::RemoveRecipient(recipient),
        policy::Edit::SetClient(client) => Edit::SetClient(new_client(client).map_err(Stop::Misuse)?),
    })
}

fn header(field: policy::NewHeader) -> NewHeader {
    NewHeader { name: field.name, value: field.value }
}

fn new_part(part: policy::NewPart, call: &mut Call) -> Result<NewPart, Stop> {
    Ok(NewPart {
        media_type: part.media_type,
        file_name: part.file_name,
        disposition: part.disposition,
        content_id: part.content_id,
        content: content(part.content, call)?,
    })
}

fn annotation(text: policy::Annotation) -> Annotation {
    Annotation { plain: text.plain, html: text.html }
}

fn content(content: policy::Content, call: &mut Call) -> Result<Bytes, Stop> {
    match content {
        policy::Content::Inline(bytes) => Ok(bytes.into()),
        policy::Content::Blob(id) => call.blob(id),
    }
}

fn address(address: policy::NewAddress) -> NewAddress {
    NewAddress { address: address.address, arguments: address.arguments }
}

fn new_client(client: policy::NewClient) -> Result<NewClient, String> {
    let address = client.address.parse().map_err(|_| format!("{:?} is no IP address", one_line(&client.address)))?;
    let port = u16::try_from(client.port).map_err(|_| format!("there is no port {}", client.port))?;
    Ok(NewClient {
        address,
        port: (port != 0).then_some(port),
        hostname: Some(client.hostname).filter(|name| !name.is_empty()),
        helo: Some(client.helo).filter(|name| !name.is_empty()),
    })
}

fn at_most(limit: Limit, count: usize, most: usize) -> Result<(), Failure> {
    if count > most {
        return Err(Failure::limit(limit, format!("limit passed: {count} {}, at most {most}", limit.what())));
    }
    Ok(())
}

fn refused(reason: impl AsRef<str>) -> Failure {
    Failure::new(Cause::Refused, one_line(reason.as_ref()))
}
