//! Turns at a worker's processor: how messages are kept from slowing each other down, and how too many are told early.
//!
//! A worker is one thread. Were all its messages to compute at once, each would take as long as all of them together; so
//! **one new message computes at a time** and the others wait for their turn, for `limits.queue_time` at most. What waits for
//! the outside (a service, the domain name system, a slot of its stage) does not compute and lets the next one in; when it
//! goes on it does so at once. Two things bend that:
//!
//! - **Long ones do not hold up the others.** Who has computed for [`LONG`] ([`LONG_FOR_ONE`] while only one waits) no longer counts as
//!   new: the next is let in beside it. The guests then share the thread, a millisecond each. No more than [`MOST_BESIDE`] at once; when
//!   that refuses somebody it was too many, and it becomes one less, down to [`LEAST_BESIDE`], until nobody is refused any more.
//! - **Nobody is sent away for a moment's crowd.** A large message, a burst, a machine that had other things to do: such a queue goes by.
//!   Only when somebody has been late, having waited for more than `queue_time`, for all of [`CROWD`] is it more load than there
//!   is processor.
//! - **Newest first, then.** Usually who came first is next. Under such a load first come would be served only after all of
//!   `queue_time`; so the newest goes first: those let in have waited least, and the oldest are told to come again. It is over when
//!   nobody was late for [`RECOVERY`]. Who has been overtaken for [`STALE`] is no longer quick, whatever happens, and goes in only once
//!   nobody else has come for [`LULL`]: crowds of clients that were told to come again do so at the same moment, and what they leave
//!   behind would be let in late while the next ones are on their way.
//!
//! Nothing here depends on how much a message computes: nobody has to know in advance what the machine can do.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use wasmilter_message::turn::Turn;

/// Who computes longer than this while others wait is one of the long ones. Most messages take less in all stages together.
const LONG: Duration = Duration::from_millis(10);
/// The same, while no more than one waits: there is no crowd that would share the processor, only somebody whose neighbour is in a
/// loop, for example. Above what nearly every message takes; guests yield every millisecond.
const LONG_FOR_ONE: Duration = Duration::from_millis(2);
/// Messages that compute at once, at most and …
const MOST_BESIDE: usize = 8;
/// … at least. One long message never keeps everybody else out.
const LEAST_BESIDE: usize = 2;
/// For so long a queue may be too long before anybody is told to come again.
const CROWD: Duration = Duration::from_secs(1);
/// Under a load that is too much: who has waited for so long has been overtaken by many …
const STALE: Duration = Duration::from_millis(2);
/// … and goes in when the processor has had nothing to do for so long.
const LULL: Duration = Duration::from_millis(1);
/// After so long without a refusal one more may compute at once.
const RECOVERY: Duration = Duration::from_secs(1);

/// The turns of one worker.
pub(crate) struct Turns(Mutex<State>);

struct State {
    /// Messages that compute and have not been at it for long.
    new: usize,
    /// Messages that compute for long already: those numbered below `first_new`.
    long: usize,
    next_number: u64,
    first_new: u64,
    /// How many may compute at once now, …
    beside: usize,
    /// … since when.
    beside_since: Instant,
    queue: VecDeque<Waiting>,
    /// Since when, and when last, somebody waits or waited for longer than it may; None when nobody did for a while.
    late: Option<(Instant, Instant)>,
    /// When a message last began to compute, or went on.
    began: Instant,
    /// When one last ended, or paused.
    ended: Instant,
}

/// One who waits.
struct Waiting {
    since: Instant,
    /// Tells it that its turn has come.
    turn: oneshot::Sender<Arc<Ticket>>,
}

/// The turn of a message, until it is dropped.
pub(crate) struct Ticket {
    turns: Arc<Turns>,
    number: u64,
    /// How much of the message computes: its stages, where several run at once.
    computing: AtomicUsize,
}

impl Turns {
    pub(crate) fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self(Mutex::new(State {
            new: 0,
            long: 0,
            next_number: 0,
            first_new: 0,
            beside: MOST_BESIDE,
            beside_since: now,
            queue: VecDeque::new(),
            late: None,
            began: now,
            ended: now,
        })))
    }

    /// Takes a turn now, if nobody has to be waited for.
    pub(crate) fn take_now(self: &Arc<Self>) -> Option<Arc<Ticket>> {
        let mut state = self.lock();
        (state.queue.is_empty() && state.has_room()).then(|| self.ticket(&mut state))
    }

    /// Waits for a turn. None when it did not come within `patience` and there is more to do than can be done.
    pub(crate) async fn take(self: &Arc<Self>, patience: Duration) -> Option<Arc<Ticket>> {
        let (turn, mut mine) = oneshot::channel();
        let now = Instant::now();
        let end = now.checked_add(patience).unwrap_or(now);
        self.lock().line_up(Waiting { since: now, turn });
        loop {
            // It may have come free since somebody looked, and who computes may have been at it for long.
            let next_look = self.look_for_long_ones();
            let now = Instant::now();
            let look = if now < end { next_look.min(end) } else { next_look };
            match timeout_at(look, &mut mine).await {
                Ok(turn) => return turn.ok(),
                Err(_) if Instant::now() < end || !self.lock().is_too_much() => {}
                Err(_) => {
                    // When the whole machine stood still, nobody had a chance to look.
                    self.look_for_long_ones();
                    mine.close();
                    let in_the_last_moment = mine.try_recv().ok();
                    if in_the_last_moment.is_none() {
                        self.lock().refused();
                    }
                    return in_the_last_moment;
                }
            }
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().queue.iter().filter(|waiting| !waiting.turn.is_closed()).count()
    }

    /// Lets the next one in, if there is one and room for it.
    fn let_in(self: &Arc<Self>) {
        loop {
            let (waiting, ticket) = {
                let mut state = self.lock();
                let Some(waiting) = state.next_in() else { return };
                (waiting, self.ticket(&mut state))
            };
            // Who has gone meanwhile gives its turn back as it is dropped.
            if waiting.turn.send(ticket).is_ok() {
                return;
            }
        }
    }

    /// Gives when to look again.
    fn look_for_long_ones(self: &Arc<Self>) -> Instant {
        let next_look = self.lock().look_for_long_ones();
        self.let_in();
        next_look
    }

    fn ticket(self: &Arc<Self>, state: &mut State) -> Arc<Ticket> {
        let number = state.next_number;
        state.next_number = state.next_number.wrapping_add(1);
        state.new = state.new.saturating_add(1);
        state.began = Instant::now();
        Arc::new(Ticket { turns: Arc::clone(self), number, computing: AtomicUsize::new(1) })
    }

    fn leave(self: &Arc<Self>, number: u64) {
        let crowded = {
            let mut state = self.lock();
            let of_its_kind = state.of_its_kind(number);
            *of_its_kind = of_its_kind.saturating_sub(1);
            state.ended = Instant::now();
            !state.queue.is_empty()
        };
        if crowded {
            self.let_in();
        }
    }

    fn enter_again(&self, number: u64) {
        let mut state = self.lock();
        let of_its_kind = state.of_its_kind(number);
        *of_its_kind = of_its_kind.saturating_add(1);
        state.began = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.new == 0 && self.long < self.beside
    }

    fn of_its_kind(&mut self, number: u64) -> &mut usize {
        if number < self.first_new { &mut self.long } else { &mut self.new }
    }

    fn line_up(&mut self, waiting: Waiting) {
        self.forget_the_gone();
        self.queue.push_back(waiting);
    }

    /// Takes the next one out of the queue, if there is room for it.
    fn next_in(&mut self) -> Option<Waiting> {
        if !self.has_room() {
            return None;
        }
        self.forget_the_gone();
        let now = Instant::now();
        let newest_first = self.late.is_some_and(|late| was_too_much(late, now));
        while let Some(next) = if newest_first { self.queue.pop_back() } else { self.queue.pop_front() } {
            if next.turn.is_closed() {
                continue;
            }
            let since = |when| now.saturating_duration_since(when);
            if newest_first && since(next.since) >= STALE && since(self.ended) < LULL {
                self.queue.push_back(next);
                return None;
            }
            return Some(next);
        }
        None
    }

    /// Somebody is late: whether that has been so for long enough to be more than a crowd.
    fn is_too_much(&mut self) -> bool {
        let now = Instant::now();
        let since = match self.late {
            Some((since, last)) if now.saturating_duration_since(last) < RECOVERY => since,
            _ => now,
        };
        self.late = Some((since, now));
        was_too_much((since, now), now)
    }

    /// The oldest lose patience first: what is gone is in front. Who hung up behind them leaves with them.
    fn forget_the_gone(&mut self) {
        while self.queue.front().is_some_and(|first| first.turn.is_closed()) {
            self.queue.pop_front();
        }
    }

    /// Gives when to look again.
    fn look_for_long_ones(&mut self) -> Instant {
        let now = Instant::now();
        self.recover(now);
        let long = if self.queue.len() > 1 { LONG } else { LONG_FOR_ONE };
        let computes = now.saturating_duration_since(self.began);
        if computes >= long && self.new > 0 && self.new.saturating_add(self.long) < self.beside {
            self.long = self.long.saturating_add(self.new);
            self.new = 0;
            self.first_new = self.next_number;
        }
        // Of a crowd each looks only now and then: they are many.
        let until_long = long.checked_sub(computes).filter(|left| !left.is_zero() && self.queue.len() <= 1);
        let wait = until_long.unwrap_or(LONG);
        now.checked_add(wait).unwrap_or(now)
    }

    fn refused(&mut self) {
        let now = Instant::now();
        self.recover(now);
        self.beside = self.beside.saturating_sub(1).max(LEAST_BESIDE);
        self.beside_since = now;
        self.forget_the_gone();
    }

    fn recover(&mut self, now: Instant) {
        while self.beside < MOST_BESIDE && now.saturating_duration_since(self.beside_since) >= RECOVERY {
            self.beside = self.beside.saturating_add(1);
            self.beside_since = self.beside_since.checked_add(RECOVERY).unwrap_or(now);
        }
    }
}

fn was_too_much((since, last): (Instant, Instant), now: Instant) -> bool {
    now.saturating_duration_since(last) < RECOVERY && last.saturating_duration_since(since) >= CROWD
}

impl Turn for Ticket {
    fn pause(&self) {
        if self.computing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.turns.leave(self.number);
        }
    }

    fn resume(&self) {
        if self.computing.fetch_add(1, Ordering::AcqRel) == 0 {
            self.turns.enter_again(self.number);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if *self.computing.get_mut() > 0 {
            self.turns.leave(self.number);
        }
    }
}
