//! What the stages of a group change, put together as if they had been asked one after the other.
//!
//! All edits name fields and parts of the message as the group saw it, as those of one decision do. So the edits of all
//! stages so far are applied to that message together, and in the order that one after the other would have given: what a later
//! stage puts on top stands above what an earlier one put there. Each stage's edits are checked by themselves first, against its
//! own grants; edits that are good but can not be made together with those before them are a conflict, which the later stage
//! loses.

use std::sync::Arc;
use wasmilter_message::{
    apply::{ApplyError, EditGrants, apply, check},
    body::BodyStore,
    decision::Edit,
    failure::{Cause, Failure},
    message::ParsedMessage,
};

/// What the stages of a group have changed so far; of a stage by itself, nothing.
pub(crate) struct Merge {
    /// The message as all stages see it.
    pub(crate) seen: Arc<ParsedMessage>,
    edits: Vec<Edit>,
    /// Of all stages whose edits these are.
    grants: EditGrants,
}

/// A stage's edits, and those that they are made together with.
pub(crate) struct Together {
    seen: Arc<ParsedMessage>,
    edits: Vec<Edit>,
    grants: EditGrants,
    /// With the stage's own among them; None when there are no others.
    all: Option<(Vec<Edit>, EditGrants)>,
}

/// Why a stage's edits were not made.
pub(crate) struct Unmade {
    pub(crate) failure: Failure,
    /// They were good by themselves.
    pub(crate) conflict: bool,
}

impl Merge {
    pub(crate) fn new(seen: Arc<ParsedMessage>) -> Self {
        Self { seen, edits: Vec::new(), grants: EditGrants::default() }
    }

    /// A stage's edits with those before them.
    pub(crate) fn with(&self, edits: Vec<Edit>, grants: EditGrants) -> Together {
        let all = || (in_order(&self.edits, &edits), self.grants.or(grants));
        let all = (!self.edits.is_empty()).then(all);
        Together { seen: Arc::clone(&self.seen), edits, grants, all }
    }

    /// They were made.
    pub(crate) fn keep(&mut self, edits: &[Edit], grants: EditGrants) {
        if !edits.is_empty() {
            self.edits = in_order(&self.edits, edits);
            self.grants = self.grants.or(grants);
        }
    }
}

impl Together {
    /// How much work it is to make them: bytes of the body, or of new content if that is more.
    pub(crate) fn bytes(&self) -> usize {
        let edits = self.all.as_ref().map_or(&self.edits, |(all, _)| all);
        let new = edits.iter().map(Edit::content_len).fold(0, usize::saturating_add);
        new.max(self.seen.body.len())
    }

    /// Makes all edits or none.
    pub(crate) fn make(&self, store: &dyn BodyStore) -> Result<Arc<ParsedMessage>, Unmade> {
        let by_itself = |error: ApplyError| Unmade { failure: failure(&error), conflict: false };
        let Some((all, grants)) = &self.all else {
            return apply(&self.seen, &self.edits, self.grants, store).map(Arc::new).map_err(by_itself);
        };
        check(&self.seen, &self.edits, self.grants).map_err(by_itself)?;
        apply(&self.seen, all, *grants, store).map(Arc::new).map_err(|error| match error {
            ApplyError::Refused { edit, reason, .. } => {
                let text = format!("does not go with what other stages of the group changed: {edit}: {reason}");
                Unmade { failure: Failure::new(Cause::Refused, text), conflict: true }
            }
            ApplyError::Store(_) => by_itself(error),
        })
    }

    /// The stage's own.
    pub(crate) fn into_edits(self) -> Vec<Edit> {
        self.edits
    }
}

fn failure(error: &ApplyError) -> Failure {
    let cause = match error {
        ApplyError::Refused { .. } => Cause::Refused,
        ApplyError::Store(_) => Cause::Store,
    };
    Failure::new(cause, error.to_string())
}

/// Of several insertions the first ends on top: those of a later stage go before those of an earlier one.
fn in_order(earlier: &[Edit], later: &[Edit]) -> Vec<Edit> {
    let on_top = |edit: &Edit| matches!(edit, Edit::InsertHeader(_) | Edit::PrependText(_));
    let (above, below): (Vec<&Edit>, Vec<&Edit>) = later.iter().partition(|edit| on_top(edit));
    above.into_iter().chain(earlier).chain(below).cloned().collect()
}
