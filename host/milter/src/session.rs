//! One connection of an MTA: an SMTP session, with any number of transactions. **The page to read first.**
//!
//! | event | what happens | reply |
//! |---|---|---|
//! | `O` offer | take of it what the judge needs; a second one is a protocol error | the answer |
//! | `D` macros | replace the set of their stage; the queue id is learned whenever it appears | never |
//! | `C` client | remember it; ask the hook | hook's |
//! | `H` HELO | remember it, forget what hooks said at an earlier HELO; ask the hook; comes again after STARTTLS | hook's |
//! | `M` MAIL | begin a transaction, whatever was before: Sendmail sends no `A` between messages; ask the hook | hook's |
//! | `R` RCPT | ask the hook; collect the recipient unless refused | hook's |
//! | `L` field, `B` chunk | collect; may come without `M` after errors in the MTA | continue |
//! | `T`, `N`, `U` | nothing: not wanted, but old MTAs send them | continue |
//! | `E` end | judge the message, telling the MTA now and then that work goes on; end the transaction | modifications and one verdict, always |
//! | `A` abort | end the transaction; after `E` that is nothing; client, HELO and their macros stay | never |
//! | `K` | end the session, wait for another on the same connection | never |
//! | `Q`, end of stream | end | never |
//!
//! Whether a reply is written is decided in one place, [`Negotiated::wants_reply`]: a reply too many would answer the
//! next command. A connection is closed only when its peer broke the protocol or was silent too long; a judge that
//! fails is a temporary failure on the wire, because an MTA takes a closed connection out on the whole SMTP session. So is a
//! defect of our own, see [`Session::panicked`].

use crate::{
    collect::Collected,
    connection::{Connection, ConnectionError},
    event::{ConnectInfo, Event, EventError, parse_address},
    macros::Macros,
    metrics::Metrics,
    negotiate::{Negotiated, Stage, TooOld},
    reply::{self, judgement},
    settings::Settings,
    smtp_reply::hook_reply,
    stranger::Stranger,
};
use futures_util::FutureExt;
use indymilter::message::reply::Reply as MilterReply;
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    sync::watch,
    time::{MissedTickBehavior, interval_at, sleep},
};
use wasmilter_message::{
    body::BodyStore,
    client::{Authentication, Client, Tls},
    decision::{HookVerdict, Reply, Verdict},
    envelope::{Envelope, Mailbox},
    facts::Facts,
    headers::Field,
    judge::{Hook, Judge},
    message::Transaction,
};

/// What sessions share. May be replaced while they go on (a reload): a transaction ends with the door that it began with,
/// the next one on the same connection takes the new one, see [`Session::catch_up`].
#[derive(Clone)]
pub struct Door {
    /// Who judges.
    pub judge: Arc<dyn Judge>,
    /// Where bodies are kept.
    pub store: Arc<dyn BodyStore>,
    /// Limits.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Why a session ended other than by the MTA's wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    TooOld(#[from] TooOld),
    #[error("mail server began without negotiation")]
    NotNegotiated,
    #[error("mail server negotiated a second time")]
    NegotiatedTwice,
    #[error("mail server closed the connection while it was waiting for an answer")]
    Gone,
    #[error("{0}")]
    Stranger(Stranger),
    #[error("the session panicked in the middle of a reply")]
    Panicked,
}

impl SessionError {
    fn is_protocol_error(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_protocol_error(),
            Self::Event(_) | Self::TooOld(_) | Self::NotNegotiated | Self::NegotiatedTwice | Self::Stranger(_) => true,
            Self::Gone | Self::Panicked => false,
        }
    }
}

/// How far the shutdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// There is none.
    Not,
    /// A session ends after the transaction that is under way.
    Draining,
    /// It ends now; who waits for a judgement gets a temporary failure.
    Now,
}

/// Serves a connection to its end, or until `closing` says so.
pub(crate) async fn run<S>(stream: S, mut doors: watch::Receiver<Arc<Door>>, closing: watch::Receiver<Closing>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let door = Arc::clone(&doors.borrow_and_update());
    let metrics = Arc::clone(&door.metrics);
    let mut session =
        Session::new(Connection::new(stream, door.settings.write, metrics.traffic.clone()), door, doors, closing);
    let result = session.run().await;
    session.abort();
    if let Err(error) = result {
        if error.is_protocol_error() {
            metrics.protocol_errors.inc();
            // Scrapers come again and again, and are told themselves.
            if matches!(error, SessionError::Stranger(Stranger::Http)) {
                return tracing::debug!(session = %session.id, %error, "connection closed");
            }
            tracing::warn!(session = %session.id, %error, "connection of the mail server closed");
        } else {
            tracing::info!(session = %session.id, %error, "connection of the mail server ended");
        }
    }
}

struct Session<S> {
    connection: Connection<S>,
    door: Arc<Door>,
    /// Tells of a new door.
    doors: watch::Receiver<Arc<Door>>,
    closing: watch::Receiver<Closing>,
    /// For the log, and the id of hooks before MAIL.
    id: Arc<str>,
    macros: Macros,
    client: ConnectInfo,
    /// Whether CONNECT came.
    connected: bool,
    helo: Option<String>,
    /// What hooks published at connect, and then at HELO.
    facts_at_connect: Facts,
    facts_at_helo: Facts,
    transaction: Option<Current>,
    /// What a panic has spoilt.
    spoilt: Option<Spoilt>,
}

/// What a panic has spoilt: nobody knows what it left behind, so every reply is a temporary failure and nothing is judged until that
/// has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spoilt {
    Transaction,
    Session,
}

/// The transaction that is under way.
struct Current {
    id: Arc<str>,
    facts: Facts,
    collected: Collected,
    /// The client as it was at the beginning: made once, shared by all copies.
    client: Arc<Client>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    fn new(
        connection: Connection<S>,
        door: Arc<Door>,
        doors: watch::Receiver<Arc<Door>>,
        closing: watch::Receiver<Closing>,
    ) -> Self {
        Self {
            connection,
            door,
            doors,
            closing,
            id: new_id(),
            macros: Macros::default(),
            client: ConnectInfo::default(),
            connected: false,
            helo: None,
            facts_at_connect: Facts::default(),
            facts_at_helo: Facts::default(),
            transaction: None,
            spoilt: None,
        }
    }

    async fn run(&mut self) -> Result<(), SessionError> {
        let Some(mut negotiated) = self.negotiate().await? else { return Ok(()) };
        while let Some(event) = self.next_event(Some(&mut negotiated)).await? {
            if matches!(event, Event::Helo(_) | Event::Mail(_)) {
                // A second EHLO ends the transaction (RFC 5321 §4.1.4; Postfix sends its `A` only after `H`), and so does
                // MAIL: Sendmail sends no `A` between messages.
                self.drop_transaction();
                self.catch_up(Some(&mut negotiated));
            }
            match event {
                Event::Quit => break,
                Event::Negotiate(_) => return Err(SessionError::NegotiatedTwice),
                event => self.take(event, &negotiated).await?,
            }
        }
        Ok(())
    }

    /// Takes an event. When that panics, or did so before and this is still part of what is spoilt, the answer is a temporary
    /// failure where one is due.
    async fn take(&mut self, event: Event, negotiated: &Negotiated) -> Result<(), SessionError> {
        let ends_message = matches!(event, Event::EndOfMessage(_));
        let stage = stage(&event);
        if self.spoilt.is_none() || !(ends_message || stage.is_some()) {
            let spoils = spoils(&event);
            let taken = AssertUnwindSafe(self.on(event, negotiated)).catch_unwind().await;
            match taken {
                Ok(taken) => return taken,
                Err(_) => self.panicked(spoils)?,
            }
        }
        if ends_message || stage.is_some_and(|stage| negotiated.wants_reply(stage)) {
            self.connection.send([reply::verdict(&Verdict::Tempfail(host_failed()))]).await?;
        }
        if ends_message {
            self.door.metrics.not_judged.with_label_values(&["tempfail"]).inc();
            self.drop_transaction();
            self.macros.end_transaction();
        }
        Ok(())
    }

    /// A defect of the door. Where it can still be said, the client hears of a temporary failure, and the connection goes on: an MTA
    /// may take a closed one for leave to let everything pass (`milter_default_action = accept`).
    ///
    /// # Errors
    /// It happened while a reply was being written: nothing that follows would be understood.
    fn panicked(&mut self, spoils: Spoilt) -> Result<(), SessionError> {
        self.door.metrics.session_panics.inc();
        tracing::error!(session = %self.id, ?spoils, "session panicked: a temporary failure until what it spoilt has ended");
        self.transaction = None;
        // What is spoilt stays so: the session is more than the transaction.
        self.spoilt = self.spoilt.max(Some(spoils));
        if self.connection.is_writing() { Err(SessionError::Panicked) } else { Ok(()) }
    }

    async fn on(&mut self, event: Event, negotiated: &Negotiated) -> Result<(), SessionError> {
        match event {
            Event::Macros { command, macros } => self.macros.define(command, macros),
            Event::Connect(client) => self.connect(client, negotiated).await?,
            Event::Helo(name) => self.helo(name, negotiated).await?,
            Event::Mail(sender) => self.mail(sender, negotiated).await?,
            Event::Rcpt(recipient) => self.rcpt(recipient, negotiated).await?,
            Event::Header(field) => self.header(field, negotiated).await?,
            Event::Body(chunk) => self.body(&chunk, negotiated).await?,
            Event::EndOfMessage(chunk) => self.end_of_message(&chunk, negotiated).await?,
            Event::Data => self.go_on(Stage::Data, negotiated).await?,
            Event::EndOfHeader => self.go_on(Stage::EndOfHeader, negotiated).await?,
            Event::Unknown => self.go_on(Stage::Unknown, negotiated).await?,
            Event::Abort => self.abort(),
            Event::QuitKeepConnection => self.forget(),
            // They end the session.
            Event::Quit | Event::Negotiate(_) => {}
        }
        Ok(())
    }

    async fn negotiate(&mut self) -> Result<Option<Negotiated>, SessionError> {
        let offer = loop {
            let event = match self.next_event(None).await {
                Err(error @ SessionError::Connection(ConnectionError::Length { .. })) => {
                    return Err(self.send_off(error).await);
                }
                event => event?,
            };
            match event {
                Some(Event::Negotiate(offer)) => break offer,
                None | Some(Event::Quit) => return Ok(None),
                Some(Event::Macros { .. } | Event::Abort) => {}
                Some(_) => return Err(SessionError::NotNegotiated),
            }
        };
        let negotiated = Negotiated::new(&offer, self.door.judge.needs())?;
        tracing::debug!(
            session = %self.id,
            version = negotiated.version,
            actions = negotiated.actions.bits(),
            options = negotiated.options.bits(),
            "negotiated"
        );
        self.connection.send([negotiated.reply()]).await?;
        Ok(Some(negotiated))
    }

    /// Tells a peer that does not speak the milter protocol at all, where it can be told.
    async fn send_off(&mut self, error: SessionError) -> SessionError {
        let Some(stranger) = self.connection.stranger() else { return error };
        if let Some(answer) = stranger.answer()
            && let Err(error) = self.connection.send_off(answer).await
        {
            tracing::debug!(session = %self.id, %error, "a stranger did not wait for the answer");
        }
        SessionError::Stranger(stranger)
    }

    /// The next event; None at the end of the stream, and at shutdown as soon as no transaction is under way and all that
    /// had arrived is answered: a connection that closes makes the MTA fail the whole SMTP session.
    async fn next_event(&mut self, mut negotiated: Option<&mut Negotiated>) -> Result<Option<Event>, SessionError> {
        let Settings { idle, frame, .. } = *self.door.settings;
        let frame = if self.transaction.is_some() {
            select! {
                biased;
                frame = self.connection.next(idle, frame) => frame?,
                () = closed(&mut self.closing) => None,
            }
        } else {
            loop {
                select! {
                    biased;
                    Ok(()) = self.doors.changed() => {}
                    frame = self.connection.next(idle, frame) => break frame?,
                    _ = self.closing.wait_for(|closing| *closing != Closing::Not) => break None,
                }
                // A session that waits lets go of what was replaced.
                self.doors.mark_changed();
                self.catch_up(negotiated.as_deref_mut());
            }
        };
        Ok(frame.map(Event::parse).transpose()?)
    }

    /// Between two transactions: takes the new door when there is one and all that its judge needs can still be had on this
    /// connection. What hooks said at CONNECT and HELO belongs to the judge that said it; when either judge has such a hook and it is
    /// over, or when events or replies that the new one needs were negotiated away, the session stays with the door that it
    /// has. So every transaction is judged by one door, hooks included.
    fn catch_up(&mut self, negotiated: Option<&mut Negotiated>) {
        if self.transaction.is_some() || !self.doors.has_changed().unwrap_or(false) {
            return;
        }
        let new = Arc::clone(&self.doors.borrow_and_update());
        if let Some(negotiated) = negotiated {
            let (before, after) = (negotiated.needs, new.judge.needs());
            let over = (self.connected && (before.connect || after.connect))
                || (self.helo.is_some() && (before.helo || after.helo));
            match negotiated.serving(after) {
                Some(serving) if !over => *negotiated = serving,
                _ => {
                    tracing::debug!(session = %self.id, "session goes on with the configuration that it began with");
                    return;
                }
            }
        }
        self.door = new;
    }

    async fn connect(&mut self, client: ConnectInfo, negotiated: &Negotiated) -> Result<(), SessionError> {
        self.macros.reached(b'C');
        self.connected = true;
        self.client = client;
        let (verdict, facts) = if negotiated.needs.connect {
            self.hook(Hook::Connect, Facts::default()).await?
        } else {
            (HookVerdict::Next, Facts::default())
        };
        self.facts_at_helo = facts.clone();
        self.facts_at_connect = facts;
        self.answer(Stage::Connect, &verdict, negotiated).await
    }

    async fn helo(&mut self, name: String, negotiated: &Negotiated) -> Result<(), SessionError> {
        self.macros.reached(b'H');
        self.helo = Some(name);
        let before = self.facts_at_connect.clone();
        let (verdict, facts) =
            if negotiated.needs.helo { self.hook(Hook::Helo, before).await? } else { (HookVerdict::Next, before) };
        self.facts_at_helo = facts;
        self.answer(Stage::Helo, &verdict, negotiated).await
    }

    async fn mail(&mut self, sender: Mailbox, negotiated: &Negotiated) -> Result<(), SessionError> {
        self.macros.reached(b'M');
        self.transaction().collected.sender(sender);
        let verdict = self.hook_in_transaction(negotiated.needs.mail, Hook::Mail).await?;
        if verdict != HookVerdict::Next {
            self.transaction = None;
        }
        self.answer(Stage::Mail, &verdict, negotiated).await
    }

    async fn rcpt(&mut self, recipient: Mailbox, negotiated: &Negotiated) -> Result<(), SessionError> {
        self.macros.reached(b'R');
        // With an option that we never ask for, MTAs also report recipients that they refused.
        let refused = self.macros.get("rcpt_mailer").is_some_and(|mailer| mailer == "error");
        let asked = negotiated.needs.rcpt && !refused;
        let verdict = self.hook_in_transaction(asked, Hook::Rcpt(recipient.clone())).await?;
        if verdict == HookVerdict::Next && !refused {
            let door = Arc::clone(&self.door);
            self.transaction().collected.recipient(recipient, &door.settings);
        }
        self.answer(Stage::Rcpt, &verdict, negotiated).await
    }

    async fn header(&mut self, field: Field, negotiated: &Negotiated) -> Result<(), SessionError> {
        let door = Arc::clone(&self.door);
        self.transaction().collected.header(field, negotiated.leading_space(), &door.settings);
        self.go_on(Stage::Header, negotiated).await
    }

    async fn body(&mut self, chunk: &[u8], negotiated: &Negotiated) -> Result<(), SessionError> {
        let door = Arc::clone(&self.door);
        let collected = &mut self.transaction().collected;
        collected.body(chunk, door.store.as_ref(), &door.settings);
        if collected.is_decided() && negotiated.may_skip_body() && negotiated.wants_reply(Stage::Body) {
            return Ok(self.connection.send([MilterReply::Skip]).await?);
        }
        self.go_on(Stage::Body, negotiated).await
    }

    async fn end_of_message(&mut self, chunk: &[u8], negotiated: &Negotiated) -> Result<(), SessionError> {
        let replies = if negotiated.needs.message {
            let door = Arc::clone(&self.door);
            self.transaction().collected.body(chunk, door.store.as_ref(), &door.settings);
            self.judge(negotiated).await?
        } else {
            vec![MilterReply::Accept]
        };
        self.transaction = None;
        self.macros.end_transaction();
        self.connection.send(replies).await?;
        self.connection.shrink();
        Ok(())
    }

    /// Has the message judged, and says the judgement in replies.
    async fn judge(&mut self, negotiated: &Negotiated) -> Result<Vec<MilterReply>, SessionError> {
        let so_far = self.so_far();
        let collected = std::mem::take(&mut self.transaction().collected);
        let message = match collected.finish(so_far) {
            Ok(message) => message,
            Err(verdict) => {
                let queue_id = self.macros.get("i").unwrap_or_default();
                tracing::info!(id = %self.transaction().id, queue_id, verdict = verdict.name(), "message was not judged");
                self.door.metrics.not_judged.with_label_values(&[verdict.name()]).inc();
                return Ok(vec![reply::verdict(&verdict)]);
            }
        };
        let judge = Arc::clone(&self.door.judge);
        let limit = self.door.settings.judgement;
        let judged = match self.wait_for(async move { judge.judge(message).await }, limit, true).await? {
            Ok(judged) => judged,
            Err(failure) => return Ok(vec![reply::verdict(&Verdict::Tempfail(failure))]),
        };
        Ok(judgement(&judged, negotiated).unwrap_or_else(|error| {
            tracing::error!(id = %self.transaction().id, %error, "judgement can not be told to the mail server");
            vec![reply::verdict(&Verdict::Tempfail(host_failed()))]
        }))
    }

    async fn hook_in_transaction(&mut self, asked: bool, hook: Hook) -> Result<HookVerdict, SessionError> {
        let before = &mut self.transaction().facts;
        if !asked {
            return Ok(HookVerdict::Next);
        }
        let before = before.clone();
        let (verdict, facts) = self.hook(hook, before).await?;
        self.transaction().facts = facts;
        Ok(verdict)
    }

    /// Asks an envelope hook. A hook that fails altogether is a temporary failure and publishes nothing.
    async fn hook(&mut self, hook: Hook, facts: Facts) -> Result<(HookVerdict, Facts), SessionError> {
        let so_far = Transaction { facts: facts.clone(), ..self.so_far() };
        let judge = Arc::clone(&self.door.judge);
        let limit = self.door.settings.hook;
        let judged = self.wait_for(async move { judge.hook(hook, so_far).await }, limit, false).await?;
        Ok(match judged {
            Ok(judged) => (judged.verdict, judged.facts),
            Err(failure) => (HookVerdict::Tempfail(failure), facts),
        })
    }

    /// Waits for the judge, but not longer than `limit` or the shutdown, and not when the MTA has gone. With `progress`, tells the MTA
    /// now and then that work goes on: allowed at the end of a message only. When the judge panics or is too slow, gives
    /// the reply of a temporary failure.
    async fn wait_for<T>(
        &mut self,
        judge: impl Future<Output = T>,
        limit: Duration,
        progress: bool,
    ) -> Result<Result<T, Reply>, SessionError> {
        let judge = AssertUnwindSafe(judge).catch_unwind();
        tokio::pin!(judge);
        // Most judgements are ready in a moment: no timers for those.
        if let Some(judged) = judge.as_mut().now_or_never() {
            return Ok(self.unpanicked(judged));
        }
        let every = self.door.settings.progress;
        let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let too_long = sleep(limit);
        tokio::pin!(too_long);
        loop {
            select! {
                judged = &mut judge => return Ok(self.unpanicked(judged)),
                () = self.connection.gone() => return Err(SessionError::Gone),
                () = &mut too_long => {
                    tracing::error!(session = %self.id, ?limit, "judge did not answer in time");
                    return Ok(Err(host_failed()));
                }
                () = closed(&mut self.closing) => return Ok(Err(host_failed())),
                _ = ticks.tick(), if progress => self.connection.send([MilterReply::Progress]).await?,
            }
        }
    }

    fn unpanicked<T>(&self, judged: std::thread::Result<T>) -> Result<T, Reply> {
        judged.map_err(|_| {
            self.door.metrics.judge_panics.inc();
            tracing::error!(session = %self.id, "judge panicked");
            host_failed()
        })
    }

    /// Answers an envelope command.
    async fn answer(
        &mut self,
        stage: Stage,
        verdict: &HookVerdict,
        negotiated: &Negotiated,
    ) -> Result<(), SessionError> {
        match hook_reply(verdict).as_deref().and_then(reply::refusal) {
            None => self.go_on(stage, negotiated).await,
            Some(refusal) if negotiated.wants_reply(stage) => Ok(self.connection.send([refusal]).await?),
            Some(_) => Ok(()),
        }
    }

    /// Answers "continue" if the MTA waits for it.
    async fn go_on(&mut self, stage: Stage, negotiated: &Negotiated) -> Result<(), SessionError> {
        if negotiated.wants_reply(stage) {
            self.connection.send([MilterReply::Continue]).await?;
        }
        Ok(())
    }

    /// The transaction that is under way; begins one when the MTA did not say MAIL.
    fn transaction(&mut self) -> &mut Current {
        let Self { transaction, macros, client, helo, facts_at_helo, .. } = self;
        transaction.get_or_insert_with(|| Current {
            id: new_id(),
            facts: facts_at_helo.clone(),
            collected: Collected::default(),
            client: Arc::new(describe(client, helo.as_deref(), macros)),
        })
    }

    /// All that is known of the transaction, content aside.
    fn so_far(&self) -> Transaction {
        let queue_id = self.macros.get("i");
        match &self.transaction {
            None => Transaction {
                id: Arc::clone(&self.id),
                connected: Arc::new(describe(&self.client, self.helo.as_deref(), &self.macros)),
                envelope: Envelope { queue_id, ..Envelope::default() },
                facts: self.facts_at_helo.clone(),
            },
            Some(current) => {
                let (sender, recipients) = current.collected.envelope();
                Transaction {
                    id: Arc::clone(&current.id),
                    connected: Arc::clone(&current.client),
                    envelope: Envelope { sender: sender.clone(), recipients: recipients.to_vec(), queue_id },
                    facts: current.facts.clone(),
                }
            }
        }
    }

    /// The transaction ends without a message.
    fn abort(&mut self) {
        self.drop_transaction();
        self.macros.end_transaction();
    }

    fn drop_transaction(&mut self) {
        self.spoilt = self.spoilt.filter(|spoilt| *spoilt == Spoilt::Session);
        if self.transaction.take().is_some() {
            self.door.metrics.aborted.inc();
        }
    }

    /// The SMTP session ends; another may follow.
    fn forget(&mut self) {
        self.drop_transaction();
        self.spoilt = None;
        self.macros = Macros::default();
        self.client = ConnectInfo::default();
        self.connected = false;
        self.helo = None;
        self.facts_at_connect = Facts::default();
        self.facts_at_helo = Facts::default();
    }
}

/// The command of an event, when that may need a reply. (The end of a message always does.)
fn stage(event: &Event) -> Option<Stage> {
    Some(match event {
        Event::Connect(_) => Stage::Connect,
        Event::Helo(_) => Stage::Helo,
        Event::Mail(_) => Stage::Mail,
        Event::Rcpt(_) => Stage::Rcpt,
        Event::Data => Stage::Data,
        Event::Header(_) => Stage::Header,
        Event::EndOfHeader => Stage::EndOfHeader,
        Event::Body(_) => Stage::Body,
        Event::Unknown => Stage::Unknown,
        _ => return None,
    })
}

/// What a panic over that event spoils.
fn spoils(event: &Event) -> Spoilt {
    match event {
        Event::Mail(_)
        | Event::Rcpt(_)
        | Event::Data
        | Event::Header(_)
        | Event::EndOfHeader
        | Event::Body(_)
        | Event::EndOfMessage(_) => Spoilt::Transaction,
        _ => Spoilt::Session,
    }
}

/// Waits for the time when the session must end, whatever is under way.
async fn closed(closing: &mut watch::Receiver<Closing>) {
    if closing.wait_for(|closing| *closing == Closing::Now).await.is_err() {
        // Nobody is left to say so; who left the session behind ends it by dropping it.
        std::future::pending::<()>().await;
    }
}

/// The client, from what CONNECT and HELO said and what macros say. Macros know better where they say anything:
/// Sendmail's CONNECT has a name even when it is forged.
fn describe(connect: &ConnectInfo, helo: Option<&str>, macros: &Macros) -> Client {
    let address = connect.address.or_else(|| parse_address(&macros.get("client_addr")?));
    let port = connect.port.or_else(|| macros.get("client_port")?.parse().ok().filter(|port| *port != 0));
    let hostname = macros.get("client_name").unwrap_or_else(|| connect.hostname.clone());
    // "[192.0.2.1]" and Postfix' "unknown" stand for: there is no verified name.
    let verified = !hostname.is_empty()
        && hostname != "unknown"
        && !hostname.starts_with('[')
        && macros.get("client_resolve").is_none_or(|resolved| resolved == "OK");
    let auth = match (macros.get("auth_authen"), macros.get("auth_type")) {
        (None, None) => None,
        (user, mechanism) => {
            Some(Authentication { user: user.unwrap_or_default(), mechanism: mechanism.unwrap_or_default() })
        }
    };
    let cipher = macros.get("cipher").unwrap_or_default();
    Client {
        address,
        port: port.filter(|_| address.is_some()),
        hostname: verified.then_some(hostname),
        helo: helo.map(str::to_owned),
        auth,
        tls: macros.get("tls_version").map(|version| Tls { version, cipher }),
        listener: macros.get("daemon_name"),
    }
}

/// What the client hears when the host itself failed.
fn host_failed() -> Reply {
    Reply { code: 451, enhanced: "4.3.2".to_owned(), text: "Service unavailable, try again later".to_owned() }
}

/// Unique in this process, and with the time of its start nearly so beyond.
fn new_id() -> Arc<str> {
    static START: std::sync::LazyLock<u64> =
        std::sync::LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:x}.{:x}", *START, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}
