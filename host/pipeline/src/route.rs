//! Routes: which stages a message takes.

use crate::{condition::Condition, lane::Lane, step::Step};
use std::sync::Arc;
use wasmilter_message::{
    failure::{Cause, Failure},
    message::ParsedMessage,
};

/// One `[[route]]` of the configuration.
#[derive(Debug, Clone)]
pub struct Route {
    /// Name, for the trace and the log.
    pub name: Arc<str>,
    /// The messages that take it; None: all that no route before it has taken.
    pub when: Option<Condition>,
    /// Names of its stages, in order.
    pub stages: Vec<Arc<str>>,
}

/// The routes of a running pipeline. Without any configured there is one, with all stages, that has no name.
pub(crate) struct Routes(Vec<Laid>);

/// A route with its stages.
pub(crate) struct Laid {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) steps: Vec<Step>,
    when: Option<Condition>,
}

impl Routes {
    /// Names that no stage has are left out: the configuration was checked for them.
    pub(crate) fn lay(routes: Vec<Route>, lanes: &[Arc<Lane>]) -> Self {
        if routes.is_empty() {
            return Self(vec![Laid { name: None, steps: Step::of(lanes), when: None }]);
        }
        let stages = |names: &[Arc<str>]| -> Vec<Arc<Lane>> {
            let named = |name: &Arc<str>| lanes.iter().find(|lane| lane.stage.name == *name).map(Arc::clone);
            names.iter().filter_map(named).collect()
        };
        let lay =
            |route: Route| Laid { name: Some(route.name), steps: Step::of(&stages(&route.stages)), when: route.when };
        Self(routes.into_iter().map(lay).collect())
    }

    /// The first that takes the message.
    ///
    /// # Errors
    /// The condition of a route before it has no value; or there is none, which a checked configuration excludes.
    pub(crate) fn of(&self, message: &ParsedMessage) -> Result<&Laid, Failure> {
        for route in &self.0 {
            let takes = route.when.as_ref().map_or(Ok(true), |when| when.evaluate(message));
            match takes {
                Ok(true) => return Ok(route),
                Ok(false) => {}
                Err(reason) => {
                    let name = route.name.as_deref().unwrap_or_default();
                    return Err(Failure::new(Cause::Condition, format!("condition of the route {name}: {reason}")));
                }
            }
        }
        Err(Failure::new(Cause::Condition, "no route takes the message"))
    }

    /// What decides between them.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter().filter_map(|route| route.when.as_ref())
    }

    /// Whether there is a choice.
    pub(crate) fn differ(&self) -> bool {
        self.0.len() > 1
    }
}

impl Laid {
    /// All stages in order.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.steps.iter().flat_map(Step::lanes).map(Arc::as_ref)
    }
}
