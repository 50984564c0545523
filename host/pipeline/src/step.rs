//! Steps of a pipeline: a stage, or the stages of a group, which are asked at once.

use crate::lane::Lane;
use std::{sync::Arc, time::Duration};

/// One step; never without a stage.
#[derive(Clone)]
pub(crate) struct Step(Vec<Arc<Lane>>);

impl Step {
    /// Neighbours of the same group are one step.
    pub(crate) fn of(lanes: &[Arc<Lane>]) -> Vec<Self> {
        let together = |a: &Arc<Lane>, b: &Arc<Lane>| a.stage.group.is_some() && a.stage.group == b.stage.group;
        lanes.chunk_by(together).map(|lanes| Self(lanes.to_vec())).collect()
    }

    pub(crate) fn lanes(&self) -> &[Arc<Lane>] {
        &self.0
    }

    /// What it may take: the longest time limit of its stages.
    pub(crate) fn time(&self) -> Duration {
        self.0.iter().map(|lane| lane.stage.timeout).max().unwrap_or_default()
    }
}
