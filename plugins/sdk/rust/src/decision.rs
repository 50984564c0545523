//! Building decisions.

use crate::{
    ContentEdit, Deferral, Destination, Edit, EmailAddress, Fact, FactValue, Failure, HeaderField, HeaderName,
    HeaderValue, Mailbox, NewClient, Rejection, Verdict,
    bindings::message::exports::wasmilter::policy::message_policy as contract, fact::fact, header::is_content_field,
    invalid::one_line, message::Recipients,
};

/// Edits in one decision that the host takes.
const MOST_EDITS: usize = 1000;
/// Longest subject that the host takes.
const LONGEST_SUBJECT: usize = 7500;
/// Longest reason of a quarantine, in characters.
const LONGEST_REASON: usize = 100;

/// What should happen to the message, and how it changes.
///
/// It can not say what the host would refuse: names, values, addresses, parts and occurrences are types whose values are
/// good ones. What only the whole can show (more than 1000 edits; a content field of the header edited together with the content)
/// is a [`Failure`] when the plugin returns it. What the stage was not granted is still the administrator's to grant.
///
/// ```
/// use wasmilter_sdk::{Decision, HeaderName, Rejection};
/// const SCORE: HeaderName = HeaderName::from_static("X-Spam-Score");
///
/// let marked = Decision::next().remove_headers(SCORE).add_header(SCORE, "7.3").with_fact("score", 7.3);
/// assert_eq!(marked.edits().len(), 2);
///
/// let refused = Decision::reject(Rejection::new("looks like spam").with_enhanced(7, 1));
/// assert!(refused.edits().is_empty());
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Decision {
    verdict: Verdict,
    edits: Vec<Edit>,
    facts: Vec<Fact>,
}

impl Decision {
    fn new(verdict: Verdict) -> Self {
        Self { verdict, edits: Vec::new(), facts: Vec::new() }
    }

    /// Go on with the next stage.
    #[allow(clippy::should_implement_trait, reason = "a constructor named like the verdict, not an iterator's method")]
    pub fn next() -> Self {
        Self::new(Verdict::Next)
    }

    /// Deliver; later stages do not run.
    pub fn accept() -> Self {
        Self::new(Verdict::Accept)
    }

    /// Refuse for good; a text is enough.
    pub fn reject(answer: impl Into<Rejection>) -> Self {
        Self::new(Verdict::Reject(answer.into().into_contract()))
    }

    /// Refuse for now; a text is enough.
    pub fn tempfail(answer: impl Into<Deferral>) -> Self {
        Self::new(Verdict::Tempfail(answer.into().into_contract()))
    }

    /// Answer 250, deliver to nobody.
    pub fn discard() -> Self {
        Self::new(Verdict::Discard)
    }

    /// Hold back; the reason is for the administrator: one line, cut at 100 characters.
    pub fn quarantine(reason: &str) -> Self {
        let reason: String = one_line(reason, usize::MAX).chars().take(LONGEST_REASON).collect();
        Self::new(Verdict::Quarantine(reason))
    }

    /// Publishes a fact: `true`, `7.3`, `"text"`, a `Vec<String>`. The name has lower case letters, digits and `_`; other
    /// characters become `_`. A number that is not finite is not published.
    pub fn with_fact(mut self, name: &str, value: impl Into<FactValue>) -> Self {
        self.facts.extend(fact(name, value.into()));
        self
    }

    /// Adds a header field below all others. Needs the grant `headers`, as do all edits of the header.
    pub fn add_header(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        let header = new_header(&name, &value.into());
        self.with(Edit::AddHeader(header))
    }

    /// Inserts a header field above all others; of several, the first ends on top.
    pub fn insert_header(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        let header = new_header(&name, &value.into());
        self.with(Edit::InsertHeader(header))
    }

    /// Replaces the value of a field of the message, in its place.
    pub fn replace_header(self, field: &HeaderField, value: impl Into<HeaderValue>) -> Self {
        self.with(Edit::ReplaceHeader(contract::HeaderReplacement {
            name: field.name.clone(),
            occurrence: field.occurrence(),
            value: value.into().as_str().to_owned(),
        }))
    }

    /// Removes a field of the message.
    pub fn remove_header(self, field: &HeaderField) -> Self {
        let (name, occurrence) = (field.name.clone(), field.occurrence());
        self.with(Edit::RemoveHeader(contract::HeaderOccurrence { name, occurrence }))
    }

    /// Removes every field of that name; there need not be one.
    pub fn remove_headers(self, name: HeaderName) -> Self {
        let name = name.as_str().to_owned();
        self.with(Edit::RemoveHeader(contract::HeaderOccurrence { name, occurrence: 0 }))
    }

    /// Sets the subject, as people read it; control characters become spaces, what is beyond 7500 bytes is cut off. The host
    /// encodes it.
    pub fn set_subject(self, subject: &str) -> Self {
        self.with(Edit::SetSubject(one_line(subject, LONGEST_SUBJECT)))
    }

    /// Changes the content: [`PartEdits`](crate::PartEdits) or a new [`Entity`](crate::Entity). What was said before about the
    /// content is taken back.
    pub fn with_content(mut self, edit: impl Into<ContentEdit>) -> Self {
        self.edits.retain(|edit| !is_content_edit(edit));
        self.edits.extend(edit.into().into_contract());
        self
    }

    /// Changes the envelope sender. Needs the grant `recipients`, as do all edits of the envelope.
    pub fn set_sender(self, sender: impl Into<Destination>) -> Self {
        self.with(Edit::SetSender(sender.into().into_contract()))
    }

    /// Makes the envelope sender the null sender, to whom nobody bounces.
    pub fn set_null_sender(self) -> Self {
        self.with(Edit::SetSender(Destination::null().into_contract()))
    }

    /// Adds a recipient.
    pub fn add_recipient(self, recipient: impl Into<Destination>) -> Self {
        self.with(Edit::AddRecipient(recipient.into().into_contract()))
    }

    /// Removes recipients; see [`Recipients::removal`], which never removes all. What was said before is taken back.
    pub fn remove_recipients(mut self, removal: Removal) -> Self {
        self.edits.retain(|edit| !matches!(edit, Edit::RemoveRecipient(_)));
        self.edits.extend(removal.0.into_iter().map(Edit::RemoveRecipient));
        self
    }

    /// Sends the message to these alone, in the place of all recipients that it has.
    pub fn redirect(self, from: &Recipients, first: EmailAddress, others: Vec<EmailAddress>) -> Self {
        let to: Vec<EmailAddress> = std::iter::once(first).chain(others).collect();
        let stays = |mailbox: &Mailbox| to.iter().any(|address| address.as_str() == mailbox.address);
        let gone: Vec<String> =
            from.iter().filter(|mailbox| !stays(mailbox)).map(|mailbox| mailbox.address.clone()).collect();
        let new: Vec<EmailAddress> = to
            .iter()
            .filter(|address| !from.iter().any(|mailbox| mailbox.address == address.as_str()))
            .cloned()
            .collect();
        new.into_iter().fold(self, Self::add_recipient).remove_recipients(Removal(gone))
    }

    /// Sets the client for all later stages. Needs the grant `set-client`.
    pub fn set_client(mut self, client: NewClient) -> Self {
        self.edits.retain(|edit| !matches!(edit, Edit::SetClient(_)));
        self.with(Edit::SetClient(client.into_contract()))
    }

    /// What should happen.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The edits, in order, as the contract has them.
    #[must_use]
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The facts, in order.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The value of a fact; the last one of that name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&FactValue> {
        self.facts.iter().rfind(|fact| fact.name == name).map(|fact| &fact.value)
    }

    fn with(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// What the host gets.
    ///
    /// # Errors
    /// When the edits do not go together.
    pub(crate) fn into_contract(self) -> Result<contract::Decision, Failure> {
        if self.edits.len() > MOST_EDITS {
            return Err(Failure::internal(format!(
                "the decision has {} edits, at most {MOST_EDITS} go",
                self.edits.len()
            )));
        }
        if self.edits.iter().any(is_content_edit) && self.edits.iter().any(is_content_field_edit) {
            return Err(Failure::internal("the decision edits the content and a header field that describes it"));
        }
        Ok(contract::Decision { verdict: self.verdict, edits: self.edits, facts: self.facts })
    }
}

fn new_header(name: &HeaderName, value: &HeaderValue) -> contract::NewHeader {
    contract::NewHeader { name: name.as_str().to_owned(), value: value.as_str().to_owned() }
}

pub(crate) fn is_content_edit(edit: &Edit) -> bool {
    matches!(
        edit,
        Edit::ReplacePart(_)
            | Edit::RemovePart(_)
            | Edit::AddPart(_)
            | Edit::AppendText(_)
            | Edit::PrependText(_)
            | Edit::ReplaceContent(_)
    )
}

fn is_content_field_edit(edit: &Edit) -> bool {
    match edit {
        Edit::ReplaceHeader(field) => is_content_field(field.name.as_bytes()),
        Edit::RemoveHeader(field) => is_content_field(field.name.as_bytes()),
        _ => false,
    }
}

/// Recipients to remove, never all. Made by [`Recipients::removal`].
#[derive(Debug, Clone)]
pub struct Removal(pub(crate) Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Annotation, Entity, Message, PartEdits};

    #[test]
    fn edits_of_the_content_exclude_each_other() {
        let text = PartEdits::new().append_text(Annotation::text("x").unwrap());
        let decision = Decision::next().with_content(text.clone()).with_content(Entity::new("y"));
        assert!(matches!(decision.edits(), [Edit::ReplaceContent(_)]));

        let message = Message::parse(b"Content-Type: text/plain\n\nx");
        let fields = message.header("content-type");
        let decision = Decision::next().remove_header(&fields[0]);
        assert!(decision.clone().into_contract().is_ok());
        assert!(decision.with_content(text).into_contract().is_err());
    }

    #[test]
    fn there_is_always_a_recipient_left() {
        let message = Message::parse(b"\n").with_recipients(&["a@x", "b@x"]);
        let recipients = message.recipients();
        assert!(recipients.removal(|_| true).is_none());
        let one = |address: &'static str| recipients.removal(move |mailbox| mailbox.address == address).unwrap();
        let decision = Decision::next().remove_recipients(one("a@x")).remove_recipients(one("b@x"));
        assert_eq!(decision.edits().len(), 1, "the second takes the place of the first");
        let address = |text: &str| EmailAddress::new(text).unwrap();
        let redirected = Decision::next().redirect(&recipients, address("b@x"), vec![address("c@x")]);
        assert!(matches!(redirected.edits(), [Edit::AddRecipient(_), Edit::RemoveRecipient(gone)] if gone == "a@x"));
    }

    #[test]
    fn facts_and_reasons_are_made_legal() {
        let decision =
            Decision::quarantine(&"a\n".repeat(100)).with_fact("Spam Score", f64::NAN).with_fact("Spam Score", 1.0);
        assert!(
            matches!(decision.verdict(), Verdict::Quarantine(reason) if reason.len() == 100 && !reason.contains('\n'))
        );
        assert_eq!(decision.facts().len(), 1);
        assert!(matches!(decision.fact("spam_score"), Some(FactValue::Number(_))));
    }
}
