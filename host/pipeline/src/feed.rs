//! Decisions as they happen, for whoever listens. With nobody there, a message pays for one look at a number.

use crate::record::Record;
use prometheus::IntGauge;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// Decisions that are kept for listeners that are behind. One that is further behind than this loses the oldest: mail waits for
/// nobody who only looks.
const KEPT: usize = 4096;

/// The feed of all pipelines of a process.
#[derive(Debug, Clone)]
pub struct Feed {
    sender: broadcast::Sender<Arc<Record>>,
    listeners: IntGauge,
}

/// Hears every decision from now on.
#[derive(Debug)]
pub struct Listener {
    receiver: broadcast::Receiver<Arc<Record>>,
    listeners: IntGauge,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A decision.
    Record(Arc<Record>),
    /// It was too slow: so many decisions before the next one are lost to it.
    Lost(u64),
}

impl Feed {
    /// A feed; `listeners` shows how many listen.
    #[must_use]
    pub fn new(listeners: IntGauge) -> Self {
        Self { sender: broadcast::Sender::new(KEPT), listeners }
    }

    /// Listens.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let receiver = self.sender.subscribe();
        self.listeners.inc();
        Listener { receiver, listeners: self.listeners.clone() }
    }

    /// Tells listeners, if there are any.
    pub(crate) fn tell(&self, record: impl FnOnce() -> Record) {
        if self.listeners.get() > 0 {
            // An error says that the last listener has gone just now.
            let _heard = self.sender.send(Arc::new(record())).is_ok();
        }
    }
}

impl Listener {
    /// The next decision. None when no pipeline can decide anything any more. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(record) => Some(Heard::Record(record)),
            Err(RecvError::Lagged(lost)) => Some(Heard::Lost(lost)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmilter_message::trace::Trace;

    fn feed() -> Feed {
        Feed::new(IntGauge::new("listeners", "listeners").unwrap())
    }

    fn record(id: &str) -> Record {
        Record::new(id, "milter", "accept", &Trace::default())
    }

    #[tokio::test]
    async fn nothing_is_made_for_nobody() {
        let feed = feed();
        feed.tell(|| panic!("nobody listens"));
        drop(feed.listen());
        feed.tell(|| panic!("nobody listens any more"));
        let mut listener = feed.listen();
        feed.tell(|| record("a"));
        assert!(matches!(listener.next().await, Some(Heard::Record(record)) if &*record.id == "a"));
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_much_is_lost() {
        let feed = feed();
        let mut listener = feed.listen();
        for number in 0..KEPT + 5 {
            feed.tell(|| record(&number.to_string()));
        }
        assert!(matches!(listener.next().await, Some(Heard::Lost(5))));
        assert!(matches!(listener.next().await, Some(Heard::Record(record)) if &*record.id == "5"));
    }
}
