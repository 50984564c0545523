//! Whose turn it is to compute. A worker has one processor for all its messages, so that each waits for its turn; one that
//! waits for something outside of the process gives its turn to the next.
//!
//! Who leads a message runs it [`within`] its turn, and whoever waits for a network or a disk on its way says so by
//! [`outside`]. The turn at hand is the thread's, as a task's is in an async runtime: what waits lies many layers below what
//! knows of turns, and they share nothing else.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    task::Poll,
};

/// The turn of one message.
pub trait Turn: Send + Sync {
    /// The message waits: others can compute.
    fn pause(&self);
    /// It computes again, at once: who was let in is not held up a second time.
    fn resume(&self);
}

thread_local! {
    static AT_HAND: RefCell<Option<Arc<dyn Turn>>> = const { RefCell::new(None) };
}

/// Drives `work` in that turn; none: in nobody's.
pub async fn within<T>(mut turn: Option<Arc<dyn Turn>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _at_hand = AtHand::begin(&mut turn);
        work.as_mut().poll(context)
    })
    .await
}

/// The turn at hand.
#[must_use]
pub fn at_hand() -> Option<Arc<dyn Turn>> {
    AT_HAND.with_borrow(Clone::clone)
}

/// Drives `wait`, which is for something outside: when it is not ready at once, the turn at hand is paused until it is.
pub async fn outside<T>(wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    let mut paused = None;
    poll_fn(|context| {
        let polled = wait.as_mut().poll(context);
        match polled {
            Poll::Ready(_) => paused = None,
            Poll::Pending if paused.is_none() => paused = Paused::begin(),
            Poll::Pending => {}
        }
        polled
    })
    .await
}

/// A turn is at hand until this is dropped, then the one before.
struct AtHand<'a>(&'a mut Option<Arc<dyn Turn>>);

impl<'a> AtHand<'a> {
    fn begin(turn: &'a mut Option<Arc<dyn Turn>>) -> Self {
        AT_HAND.with_borrow_mut(|at_hand| mem::swap(at_hand, turn));
        Self(turn)
    }
}

impl Drop for AtHand<'_> {
    fn drop(&mut self) {
        AT_HAND.with_borrow_mut(|at_hand| mem::swap(at_hand, self.0));
    }
}

/// The turn is paused until this is dropped.
struct Paused(Arc<dyn Turn>);

impl Paused {
    fn begin() -> Option<Self> {
        let turn = at_hand()?;
        turn.pause();
        Some(Self(turn))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.resume();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::Mutex,
        task::{Context, Waker},
    };

    #[derive(Default)]
    struct Diary(Mutex<Vec<&'static str>>);

    impl Turn for Diary {
        fn pause(&self) {
            self.0.lock().expect("no panic").push("pause");
        }

        fn resume(&self) {
            self.0.lock().expect("no panic").push("resume");
        }
    }

    impl Diary {
        fn lines(&self) -> Vec<&'static str> {
            self.0.lock().expect("no panic").clone()
        }
    }

    /// Is ready when polled for the second time.
    async fn once_pending() {
        let mut polled = false;
        poll_fn(|_| if mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[test]
    fn only_a_wait_pauses_and_every_pause_ends() {
        let diary = Arc::new(Diary::default());
        let turn: Arc<dyn Turn> = Arc::clone(&diary) as Arc<dyn Turn>;
        let mut context = Context::from_waker(Waker::noop());
        let mut work = Box::pin(within(Some(turn), async {
            outside(std::future::ready(())).await;
            once_pending().await;
            outside(once_pending()).await;
            outside(std::future::pending::<()>()).await;
        }));
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert!(diary.lines().is_empty(), "neither what is ready nor what is not outside");
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert_eq!(diary.lines(), ["pause"]);
        assert!(at_hand().is_none(), "it is at hand only while its work is polled");
        assert!(work.as_mut().poll(&mut context).is_pending());
        assert_eq!(diary.lines(), ["pause", "resume", "pause"]);
        drop(work);
        assert_eq!(diary.lines(), ["pause", "resume", "pause", "resume"], "dropped in the middle");
    }
}
