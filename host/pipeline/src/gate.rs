//! The gate: where messages enter the pipeline, and where their life is told.

use crate::{
    bodies::{self, Bodies},
    breaker::Admitted,
    clock, combine,
    lane::Lane,
    merge::{Merge, Together, Unmade},
    metrics::{Counted, DoorMetrics},
    pipeline::Shared,
    record::Record,
    stage::{Ask, Decide, Mode},
    step::Step,
    turns::{Ticket, Turns},
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{AcquireError, SemaphorePermit, watch},
    time::{Instant, timeout_at},
};
use wasmilter_message::{
    deadline::Deadline,
    decision::{Decision, Edit, HookVerdict, Verdict},
    facts::Fact,
    failure::{Cause, Failure},
    judge::{BoxFuture, Hook, HookJudged, Judge, Needs},
    message::{JudgedMessage, ParsedMessage, ReceivedMessage, Transaction},
    policy::Used,
    trace::{ConditionTrace, StageTrace, Trace},
    turn::{self, Turn},
};

/// What a pipeline takes upon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Messages and hooks at one time. The sandbox's pool must have a slot for each.
    pub in_flight: usize,
    /// Bound of everything from the permit to the verdict.
    pub message_deadline: Duration,
    /// Bound of the wait to be let in: for a turn at the worker's processor and for a permit. Short: the client is better served by an
    /// early 451 than by a late one.
    pub queue_time: Duration,
    /// Bytes that bodies above 4 MiB may have together while they are judged; one more waits, for half of `message_deadline` at most.
    pub bodies_in_flight: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 256,
            message_deadline: Duration::from_secs(60),
            queue_time: Duration::from_millis(80),
            bodies_in_flight: 64_000_000,
        }
    }
}

/// The pipeline as one door sees it on one worker.
#[derive(Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
    worker: usize,
    /// Those of the worker.
    turns: Arc<Turns>,
    door: Arc<DoorMetrics>,
    /// Its end tells the pipeline that nobody needs it any more.
    _judge: watch::Receiver<()>,
}

/// What a message holds from when it is let in to its verdict.
struct LetIn<'a> {
    turn: Arc<Ticket>,
    _permits: [SemaphorePermit<'a>; 2],
    /// The room for its body, when that is large.
    _body: Option<bodies::Admitted<'a>>,
    _counted: Counted,
}

/// A message on its way, with what has happened to it.
struct Run {
    received: Arc<ParsedMessage>,
    message: Arc<ParsedMessage>,
    trace: Trace,
}

/// What a stage said, before it counts.
struct Said<'a> {
    /// Without what only counting it can tell.
    trace: StageTrace,
    answer: Answer<'a>,
}

enum Answer<'a> {
    NotAsked,
    /// A decision whose edits are not checked yet; the breaker is to hear how they were.
    Decided(Decision, Admitted<'a>),
    Failed(Failure),
}

/// One more part of the message computes, until this is dropped.
struct Part(Arc<dyn Turn>);

/// All stages together at one hook: the MTA waits for a reply, Sendmail for 10 s, and a door gives up on the pipeline
/// after 5 s. Earlier than that a stage that is too slow gets what its `on_failure` says.
const HOOK_DEADLINE: Duration = Duration::from_secs(4);

/// A body above this, or with more than this to write into it, is changed off the arbiter, which has other sessions to
/// serve. In bytes; changing less takes less than a millisecond.
const BLOCKING: usize = 256 * 1024;

impl Judge for Gate {
    fn needs(&self) -> Needs {
        self.shared.needs
    }

    fn hook(&self, hook: Hook, so_far: Transaction) -> BoxFuture<'static, HookJudged> {
        Box::pin(self.clone().ask(hook, so_far))
    }

    fn judge(&self, message: ReceivedMessage) -> BoxFuture<'static, JudgedMessage> {
        Box::pin(self.clone().lead(message))
    }
}

impl Gate {
    pub(crate) fn new(shared: Arc<Shared>, worker: usize, door: Arc<DoorMetrics>, judge: watch::Receiver<()>) -> Self {
        Self { turns: shared.turns(worker), shared, worker, door, _judge: judge }
    }

    /// The life of a message.
    async fn lead(self, received: ReceivedMessage) -> JudgedMessage {
        let started = Instant::now();
        let mut run = Run::new(received);
        let verdict = match self.let_message_in(&run.received).await {
            Ok((let_in, deadline)) => {
                let stages = turn::within(Some(let_in.turn()), self.through_stages(&mut run, deadline));
                // Whatever panics here is a fault of ours; the client keeps the message.
                let verdict = AssertUnwindSafe(stages).catch_unwind().await;
                verdict.unwrap_or_else(|_| Err(self.panicked()))
            }
            Err(no_room) => Err(no_room),
        };
        let verdict = verdict.unwrap_or_else(|failure| self.give_up(failure, &mut run.trace));
        run.trace.took = started.elapsed();
        self.report(&run, &verdict);
        run.judged(verdict)
    }

    /// Lets a message in: first a large body, which may wait for half of the message's time, then the message. Gives its deadline.
    async fn let_message_in(&self, message: &ParsedMessage) -> Result<(LetIn<'_>, Deadline), Failure> {
        let (Shared { limits, metrics, bodies, .. }, size) = (&*self.shared, message.body.len());
        if !Bodies::is_large(size) {
            return Ok((self.let_in().await?, clock::after(limits.message_deadline)));
        }
        let began = Instant::now();
        let admitted = {
            let _waiting = Counted::new(&metrics.messages_waiting);
            bodies.admit(size, limits.message_deadline / 2, &metrics.bodies_in_flight).await
        };
        let waited = began.elapsed();
        metrics.body_wait.observe(waited.as_secs_f64());
        let body = admitted?;
        let let_in = LetIn { _body: Some(body), ..self.let_in().await? };
        Ok((let_in, clock::after(limits.message_deadline.saturating_sub(waited))))
    }

    /// Lets a message or a hook in, or says soon that there is no room.
    async fn let_in(&self) -> Result<LetIn<'_>, Failure> {
        let metrics = &self.shared.metrics;
        if let Some(turn) = self.turns.take_now()
            && let Some(permits) = self.permits_now()
        {
            metrics.message_wait.observe(0.0);
            return Ok(self.has(turn, permits));
        }
        let _waiting = Counted::new(&metrics.messages_waiting);
        let began = Instant::now();
        let let_in = self.wait_for_room().await;
        metrics.message_wait.observe(began.elapsed().as_secs_f64());
        let_in
    }

    async fn wait_for_room(&self) -> Result<LetIn<'_>, Failure> {
        let Limits { in_flight, queue_time, .. } = self.shared.limits;
        let end = clock::instant(clock::after(queue_time));
        let Some(turn) = self.turns.take(queue_time).await else {
            let text = format!("no turn at the processor within {queue_time:?}: other messages compute");
            return Err(Failure::new(Cause::Overload, text));
        };
        let permits = turn::within(Some(Arc::clone(&turn) as Arc<dyn Turn>), turn::outside(self.permits()));
        match timeout_at(end, permits).await {
            Ok(Ok(permits)) => Ok(self.has(turn, permits)),
            Ok(Err(_)) => Err(Failure::new(Cause::Overload, "the pipeline has stopped")),
            Err(_) => Err(Failure::new(Cause::Overload, format!("{in_flight} messages in flight, the limit"))),
        }
    }

    async fn permits(&self) -> Result<[SemaphorePermit<'_>; 2], AcquireError> {
        let own = self.shared.permits.acquire().await?;
        Ok([own, self.shared.room.acquire().await?])
    }

    /// The permits, if there are any and nobody waits for them.
    fn permits_now(&self) -> Option<[SemaphorePermit<'_>; 2]> {
        Some([self.shared.permits.try_acquire().ok()?, self.shared.room.try_acquire().ok()?])
    }

    fn has<'a>(&self, turn: Arc<Ticket>, permits: [SemaphorePermit<'a>; 2]) -> LetIn<'a> {
        LetIn { turn, _permits: permits, _body: None, _counted: Counted::new(&self.shared.metrics.messages_in_flight) }
    }

    /// Whether so many messages are in flight that those who wait for a stage would keep out others who do not need it.
    fn is_crowded(&self) -> bool {
        self.shared.permits.available_permits() < self.shared.limits.in_flight / 2
    }

    /// Each step in turn, until one ends the run.
    async fn through_stages(&self, run: &mut Run, deadline: Deadline) -> Result<Verdict, Failure> {
        let route = self.shared.routes.of(&run.message)?;
        run.trace.route.clone_from(&route.name);
        let mut steps = route.steps.as_slice();
        while let [step, later @ ..] = steps {
            // What is left of the deadline is for those to come as well.
            let deadline = clock::share(deadline, step.time(), later.iter().map(Step::time).sum());
            let verdict = match step.lanes() {
                [lane] => self.at_stage(lane, run, deadline).await?,
                lanes => self.at_group(lanes, run, deadline).await?,
            };
            if verdict != Verdict::Next {
                return Ok(verdict);
            }
            steps = later;
        }
        Ok(Verdict::Accept)
    }

    /// One stage: condition → plugin → decision checked → edits applied → facts published. An error is the host's.
    async fn at_stage(&self, lane: &Lane, run: &mut Run, deadline: Deadline) -> Result<Verdict, Failure> {
        let message = Arc::clone(&run.message);
        let said = self.ask_stage(lane, self.worker, &message, deadline).await;
        self.obey(lane, said, run, &mut Merge::new(message)).await
    }

    /// The stages of a group, all at once on the message as it is now. The outcome is what they would have given one after the
    /// other, but that none sees what the others changed or published: what they say counts in their order, whichever
    /// answers first, until one ends the run. What later ones say, or would have said, is then dropped.
    async fn at_group(&self, lanes: &[Arc<Lane>], run: &mut Run, deadline: Deadline) -> Result<Verdict, Failure> {
        let message = Arc::clone(&run.message);
        let members = (0..).zip(lanes).map(|(place, lane)| self.ask_member(place, lane, &message, deadline));
        let mut under_way: FuturesUnordered<_> = members.collect();
        let mut heard: Vec<Option<Said<'_>>> = lanes.iter().map(|_| None).collect();
        let mut merge = Merge::new(Arc::clone(&message));
        let mut outcome = Ok(Verdict::Next);
        let mut next = 0;
        while let (Some(lane), Some(answer)) = (lanes.get(next), heard.get_mut(next)) {
            if let Some(said) = answer.take() {
                next = next.saturating_add(1);
                outcome = self.obey(lane, said, run, &mut merge).await;
                if !matches!(outcome, Ok(Verdict::Next)) {
                    break;
                }
            } else if let Some((place, said)) = turn::outside(under_way.next()).await
                && let Some(answer) = heard.get_mut(place)
            {
                *answer = Some(said);
            }
        }
        drop(under_way);
        let unheard = lanes.iter().zip(heard).skip(next);
        run.trace.stages.extend(unheard.map(|(lane, said)| dropped(lane, said, &message)));
        outcome
    }

    /// A stage of a group; on a worker that has nothing to do, if there is one and the stage usually takes long enough for that
    /// to help.
    async fn ask_member<'a>(
        &self,
        place: usize,
        lane: &'a Lane,
        message: &Arc<ParsedMessage>,
        deadline: Deadline,
    ) -> (usize, Said<'a>) {
        let elsewhere = (place > 0 && lane.computes_long()).then(|| self.shared.idle_worker(self.worker)).flatten();
        let said = if let Some((worker, turn)) = elsewhere {
            turn::within(Some(turn), self.ask_stage(lane, worker, message, deadline)).await
        } else {
            // A message computes in as many places as stages of it do.
            let _part = turn::at_hand().map(Part::begin);
            self.ask_stage(lane, self.worker, message, deadline).await
        };
        (place, said)
    }

    /// Has a stage say what it wants with the message, if it is to be asked.
    async fn ask_stage<'a>(
        &self,
        lane: &'a Lane,
        worker: usize,
        message: &Arc<ParsedMessage>,
        deadline: Deadline,
    ) -> Said<'a> {
        let started = Instant::now();
        let mut trace = stage_trace(lane);
        let wanted = if lane.needs.message { wanted(lane, message, &mut trace) } else { Ok(false) };
        let answer = match wanted {
            Ok(false) => Answer::NotAsked,
            Ok(true) => {
                trace.ran = true;
                match lane.breaker.admit() {
                    Ok(admitted) => self.call(lane, worker, message, deadline, admitted, &mut trace).await,
                    Err(paused) => Answer::Failed(paused),
                }
            }
            Err(failure) => Answer::Failed(failure),
        };
        trace.took = started.elapsed();
        Said { trace, answer }
    }

    async fn call<'a>(
        &self,
        lane: &'a Lane,
        worker: usize,
        message: &Arc<ParsedMessage>,
        deadline: Deadline,
        mut admitted: Admitted<'a>,
        trace: &mut StageTrace,
    ) -> Answer<'a> {
        let decide = |deadline, slot| Decide { message: Arc::clone(message), deadline, turn: turn::at_hand(), slot };
        let decided = lane.call(worker, deadline, self.is_crowded(), &mut admitted, trace, decide).await;
        let checked = decided.and_then(|decision: Decision| match combine::check(&decision) {
            Ok(()) => Ok(decision),
            Err(failure) => {
                trace.edits = decision.edits;
                Err(failure)
            }
        });
        match checked {
            Ok(decision) => Answer::Decided(decision, admitted),
            Err(failure) => {
                admitted.settle(Some(&failure));
                Answer::Failed(failure)
            }
        }
    }

    /// Does what a stage said. An error is the host's.
    async fn obey(&self, lane: &Lane, said: Said<'_>, run: &mut Run, merge: &mut Merge) -> Result<Verdict, Failure> {
        let started = Instant::now();
        let Said { mut trace, answer } = said;
        let outcome = match answer {
            Answer::NotAsked => {
                if lane.needs.message {
                    lane.metrics.skipped.inc();
                }
                run.trace.stages.push(trace);
                return Ok(Verdict::Next);
            }
            Answer::Decided(decision, admitted) => {
                self.make(lane, &run.message, decision, admitted, merge, &mut trace).await
            }
            Answer::Failed(failure) => Err(failure),
        };
        trace.took = trace.took.saturating_add(started.elapsed());
        lane.metrics.called(&trace);
        let verdict = match outcome {
            Ok((verdict, message)) => {
                lane.metrics.decided(verdict.name());
                lane.metrics.edited(&trace.edits);
                if !trace.shadow {
                    run.message = message;
                }
                Ok(verdict)
            }
            Err(failure) => {
                // What never began did not run.
                trace.ran &= !matches!(failure.cause, Cause::Deadline | Cause::Overload | Cause::CircuitOpen);
                lane.failed(&run.received.id, &failure);
                trace.failure = Some(failure.clone());
                match failure.cause {
                    Cause::Deadline | Cause::Store if !trace.shadow => Err(failure),
                    cause => Ok(combine::after_failure(&lane.stage.name, cause, lane.stage.on_failure)),
                }
            }
        };
        trace.verdict = verdict.as_ref().ok().cloned();
        let shadow = trace.shadow;
        run.trace.stages.push(trace);
        if shadow { Ok(Verdict::Next) } else { verdict }
    }

    /// Makes the edits of a decision, together with those of the stages before it in its group. Gives the verdict, and the message as
    /// the stage leaves it. The breaker hears how it went.
    async fn make(
        &self,
        lane: &Lane,
        message: &Arc<ParsedMessage>,
        decision: Decision,
        admitted: Admitted<'_>,
        merge: &mut Merge,
        trace: &mut StageTrace,
    ) -> Result<(Verdict, Arc<ParsedMessage>), Failure> {
        let Decision { verdict, edits, facts } = decision;
        let grants = lane.stage.grants;
        let made = if edits.is_empty() {
            Ok(Arc::clone(message))
        } else {
            let (edits, made) = self.apply(merge.with(edits, grants)).await;
            trace.edits = edits;
            made.map(|made| with_facts_of(made, message, &merge.seen))
        };
        let made = match made {
            Ok(made) => {
                if lane.stage.group.is_some() && !trace.shadow {
                    merge.keep(&trace.edits, grants);
                }
                made
            }
            // Nobody will see the changed message.
            Err(unmade) if unmade.failure.cause == Cause::Store && combine::drops_edits(&verdict) => {
                Arc::clone(message)
            }
            Err(unmade) => {
                admitted.settle((!unmade.conflict).then_some(&unmade.failure));
                return Err(unmade.failure);
            }
        };
        admitted.settle(None);
        // Of a refused decision the trace shows the edits, as one of them is why; nothing of it is published.
        trace.facts = facts;
        Ok((verdict, published(made, lane, &trace.facts)))
    }

    /// Makes all edits or none. Gives those of the stage back for the trace.
    async fn apply(&self, together: Together) -> (Vec<Edit>, Result<Arc<ParsedMessage>, Unmade>) {
        let large = together.bytes() > BLOCKING;
        let store = Arc::clone(&self.shared.store);
        let work = move || {
            let made = together.make(&*store);
            (together.into_edits(), made)
        };
        if !large {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(lost) => match lost.try_into_panic() {
                // On to the one place that turns panics into an answer.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => {
                    let failure = Failure::new(Cause::Store, "the host is shutting down");
                    (Vec::new(), Err(Unmade { failure, conflict: false }))
                }
            },
        }
    }

    /// The life of an envelope hook: the same, with less to look at and less to say.
    async fn ask(self, hook: Hook, so_far: Transaction) -> HookJudged {
        let started = Instant::now();
        let mut message = Arc::new(ParsedMessage::without_content(so_far));
        let mut trace = Trace::default();
        let verdict = match self.let_in().await {
            Ok(let_in) => {
                let deadline = clock::after(self.shared.limits.message_deadline.min(HOOK_DEADLINE));
                let stages =
                    turn::within(Some(let_in.turn()), self.asked_stages(&hook, &mut message, &mut trace, deadline));
                let verdict = AssertUnwindSafe(stages).catch_unwind().await;
                verdict.unwrap_or_else(|_| Err(self.panicked()))
            }
            Err(no_room) => Err(no_room),
        };
        let verdict = verdict.unwrap_or_else(|failure| combine::at_hook(self.give_up(failure, &mut trace)));
        trace.took = started.elapsed();
        self.report_hook(&hook, &message, &trace, &verdict);
        HookJudged { verdict, facts: message.facts.clone() }
    }

    /// Every stage that wants the hook, until one does not say next.
    async fn asked_stages(
        &self,
        hook: &Hook,
        message: &mut Arc<ParsedMessage>,
        trace: &mut Trace,
        deadline: Deadline,
    ) -> Result<HookVerdict, Failure> {
        let routes = &self.shared.routes;
        let route = match hook {
            // The one that it is about is not among the recipients yet.
            Hook::Rcpt(recipient) if routes.differ() => {
                let mut with = ParsedMessage::clone(message);
                with.envelope.recipients.push(recipient.clone());
                routes.of(&with)?
            }
            _ => routes.of(message)?,
        };
        let lanes: Vec<&Lane> = route.lanes().filter(|lane| asked(lane.needs, hook)).collect();
        let mut lanes = lanes.as_slice();
        while let [lane, later @ ..] = lanes {
            let deadline =
                clock::share(deadline, lane.stage.timeout, later.iter().map(|lane| lane.stage.timeout).sum());
            let mut stage = stage_trace(lane);
            let said = self.asked_stage(lane, hook, message, deadline, &mut stage).await;
            trace.stages.push(stage);
            match said? {
                HookVerdict::Next => {}
                verdict => return Ok(verdict),
            }
            lanes = later;
        }
        Ok(HookVerdict::Next)
    }

    async fn asked_stage(
        &self,
        lane: &Lane,
        hook: &Hook,
        message: &mut Arc<ParsedMessage>,
        deadline: Deadline,
        trace: &mut StageTrace,
    ) -> Result<HookVerdict, Failure> {
        let started = Instant::now();
        let outcome = match wanted(lane, message, trace) {
            Ok(false) => {
                lane.metrics.skipped.inc();
                return Ok(HookVerdict::Next);
            }
            Ok(true) => match lane.breaker.admit() {
                Ok(mut admitted) => {
                    let ask = |deadline, slot| {
                        let (so_far, turn) = (Arc::clone(message), turn::at_hand());
                        Ask { hook: hook.clone(), so_far, deadline, turn, slot }
                    };
                    let crowded = self.is_crowded();
                    let decided = lane.call(self.worker, deadline, crowded, &mut admitted, trace, ask).await;
                    let decided = decided.and_then(|decision| combine::check_hook(&decision).map(|()| decision));
                    admitted.settle(decided.as_ref().err());
                    decided
                }
                Err(paused) => Err(paused),
            },
            Err(failure) => Err(failure),
        };
        trace.took = started.elapsed();
        lane.metrics.called(trace);
        match outcome {
            Ok(decision) => {
                trace.ran = true;
                trace.verdict = Some(combine::of_hook(decision.verdict.clone()));
                lane.metrics.decided(combine::hook_name(&decision.verdict));
                if trace.shadow {
                    return Ok(HookVerdict::Next);
                }
                *message = published(Arc::clone(message), lane, &decision.facts);
                Ok(decision.verdict)
            }
            Err(failure) => {
                lane.failed(&message.id, &failure);
                trace.failure = Some(failure.clone());
                match failure.cause {
                    Cause::Deadline if !trace.shadow => Err(failure),
                    cause => {
                        let verdict = combine::after_failure(&lane.stage.name, cause, lane.stage.on_failure);
                        let verdict = combine::at_hook(verdict);
                        trace.verdict = Some(combine::of_hook(verdict.clone()));
                        Ok(if trace.shadow { HookVerdict::Next } else { verdict })
                    }
                }
            }
        }
    }

    fn panicked(&self) -> Failure {
        self.shared.metrics.panics.inc();
        Failure::new(Cause::Died, "the pipeline panicked")
    }

    /// The host itself can not go on.
    fn give_up(&self, failure: Failure, trace: &mut Trace) -> Verdict {
        self.shared.metrics.host_failures.with_label_values(&[failure.cause.name()]).inc();
        let verdict = combine::host(failure.cause);
        trace.host = Some(failure);
        verdict
    }

    /// Metrics, a line for debugging, and what listeners hear.
    fn report_hook(&self, hook: &Hook, message: &ParsedMessage, trace: &Trace, verdict: &HookVerdict) {
        let name = combine::hook_name(verdict);
        self.door.hook_judged(hook, name, trace.took);
        tracing::debug!(id = &*message.id, hook = hook.name(), verdict = name, "hook judged");
        self.shared.metrics.feed.tell(|| Record {
            hook: Some(hook.name()),
            queue_id: message.envelope.queue_id.clone(),
            ..Record::new(&message.id, self.door.name, name, trace)
        });
    }

    /// Metrics, log line and what listeners hear, all from the trace.
    fn report(&self, run: &Run, verdict: &Verdict) {
        let metrics = &self.shared.metrics;
        self.door.judged(verdict.name());
        metrics.message_duration.observe(run.trace.took.as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "sizes of mail are far below 2^52")]
        metrics.message_size.observe(run.received.size() as f64);
        tracing::info!(
            id = &*run.received.id,
            queue_id = run.received.envelope.queue_id.as_deref().unwrap_or_default(),
            door = self.door.name,
            verdict = verdict.name(),
            size = run.received.size(),
            microseconds = run.trace.took.as_micros(),
            route = run.trace.route.as_deref(),
            stages = stages_line(&run.trace),
            host_failure = run.trace.host.as_ref().map(tracing::field::display),
            "message judged"
        );
        metrics.feed.tell(|| Record {
            queue_id: run.received.envelope.queue_id.clone(),
            size: run.received.size(),
            ..Record::new(&run.received.id, self.door.name, verdict.name(), &run.trace)
        });
    }
}

impl Part {
    fn begin(turn: Arc<dyn Turn>) -> Self {
        turn.resume();
        Self(turn)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.pause();
    }
}

impl LetIn<'_> {
    fn turn(&self) -> Arc<dyn Turn> {
        Arc::clone(&self.turn) as Arc<dyn Turn>
    }
}

impl Run {
    fn new(received: ReceivedMessage) -> Self {
        let received = Arc::new(ParsedMessage::new(received));
        Self { message: Arc::clone(&received), received, trace: Trace::default() }
    }

    fn judged(self, verdict: Verdict) -> JudgedMessage {
        let message = if combine::drops_edits(&verdict) { Arc::clone(&self.received) } else { self.message };
        JudgedMessage { received: self.received, message, verdict, trace: self.trace }
    }
}

impl Lane {
    fn failed(&self, id: &str, failure: &Failure) {
        self.metrics.failed(failure);
        tracing::warn!(
            id,
            stage = &*self.stage.name,
            cause = failure.cause.name(),
            detail = failure.detail,
            "stage failed"
        );
    }
}

/// Whether the stage's conditions want it to run on the message as it is now.
fn wanted(lane: &Lane, message: &ParsedMessage, trace: &mut StageTrace) -> Result<bool, Failure> {
    for (condition, negated) in [(&lane.stage.when, false), (&lane.stage.unless, true)] {
        let Some(condition) = condition else { continue };
        let value = condition.evaluate(message);
        trace.condition = Some(ConditionTrace { source: condition.source(), negated, value: value.clone() });
        if value.map_err(|reason| Failure::new(Cause::Condition, reason))? == negated {
            return Ok(false);
        }
    }
    Ok(true)
}

fn asked(needs: Needs, hook: &Hook) -> bool {
    match hook {
        Hook::Connect => needs.connect,
        Hook::Helo => needs.helo,
        Hook::Mail => needs.mail,
        Hook::Rcpt(_) => needs.rcpt,
    }
}

fn stage_trace(lane: &Lane) -> StageTrace {
    StageTrace {
        name: Arc::clone(&lane.stage.name),
        plugin: Arc::clone(&lane.stage.plugin),
        group: lane.stage.group.clone(),
        condition: None,
        ran: false,
        dropped: false,
        shadow: lane.stage.mode == Mode::Shadow,
        verdict: None,
        edits: Vec::new(),
        facts: Vec::new(),
        failure: None,
        took: Duration::ZERO,
        waited: Duration::ZERO,
        used: Used::default(),
    }
}

/// The trace of a stage of a group whose decision does not count, because one before it ended the run. None: it had not decided yet.
fn dropped(lane: &Lane, said: Option<Said<'_>>, message: &ParsedMessage) -> StageTrace {
    let Some(Said { mut trace, answer }) = said else {
        let mut trace = stage_trace(lane);
        // It was asked, or else it would have said so at once.
        trace.ran = matches!(wanted(lane, message, &mut trace), Ok(true));
        trace.dropped = trace.ran;
        return trace;
    };
    match answer {
        Answer::NotAsked => return trace,
        Answer::Decided(Decision { verdict, edits, facts }, admitted) => {
            admitted.settle(None);
            (trace.verdict, trace.edits, trace.facts) = (Some(verdict), edits, facts);
        }
        Answer::Failed(failure) => trace.failure = Some(failure),
    }
    trace.dropped = true;
    trace
}

/// What was made of the message as a group saw it, with what stages of the group have published since.
fn with_facts_of(
    mut made: Arc<ParsedMessage>,
    message: &Arc<ParsedMessage>,
    seen: &Arc<ParsedMessage>,
) -> Arc<ParsedMessage> {
    if !Arc::ptr_eq(message, seen) {
        Arc::make_mut(&mut made).facts = message.facts.clone();
    }
    made
}

/// The message with the stage's facts.
fn published(mut message: Arc<ParsedMessage>, lane: &Lane, facts: &[Fact]) -> Arc<ParsedMessage> {
    if !facts.is_empty() {
        let message = Arc::make_mut(&mut message);
        for fact in facts {
            message.facts.publish(&lane.stage.name, fact);
        }
    }
    message
}

/// `virus=next/1203us spam=failed:timeout/20000000us`: stages that ran, for the log.
fn stages_line(trace: &Trace) -> String {
    let stage = |stage: &StageTrace| {
        let said = match (&stage.failure, &stage.verdict) {
            (Some(failure), _) => format!("failed:{}", failure.cause.name()),
            (None, Some(verdict)) => verdict.name().to_owned(),
            (None, None) => return None,
        };
        let shadow = if stage.shadow { "(shadow)" } else { "" };
        Some(format!("{}{shadow}={said}/{}us", stage.name, stage.took.as_micros()))
    };
    trace.stages.iter().filter_map(stage).collect::<Vec<_>>().join(" ")
}
