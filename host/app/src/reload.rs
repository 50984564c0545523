//! Another configuration while mail flows (`decisions/0007-reload.md`).
//!
//! Asked for by SIGHUP, `POST /reload`, a changed file or [`Reloader::reload`]; one task does them, one after the other, and whoever
//! asked meanwhile shares the next one. The life of one is [`Reloading::reload`]: read and build beside what runs, start the
//! new pipeline, put it behind the doors, let the old one finish. A mistake anywhere leaves everything as it was.

use crate::{
    app::{BuildError, Process},
    config::source::Source,
    memory,
    parts::{Parts, Purpose},
    service_manager,
    stages::StageSummary,
    watch::Watch,
};
use actix_rt::ArbiterHandle;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::sleep,
};
use wasmilter_milter::Door;
use wasmilter_pipeline::Pipeline;

/// Sessions that can not go over to the new configuration keep the old one this long; then their next message is a temporary
/// failure, and the client comes back in a new session. Longer than mail servers keep an idle SMTP session.
pub(crate) const LINGER: Duration = Duration::from_secs(600);
/// So many old configurations at one time; when there are more, the time of the oldest is over.
const MOST_OLD: usize = 4;
/// Requests that wait; one more is told so.
const QUEUE: usize = 64;

/// Asks a serving app to read its configuration again. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloader(mpsc::Sender<Request>);

/// What a reload brought.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// How many there have been, this one included.
    pub number: u64,
    /// The stages of now.
    pub stages: Vec<StageSummary>,
    /// What is allowed and most likely not meant, for people; empty when there is nothing.
    pub warnings: String,
    /// Reading, building and swapping.
    pub took: Duration,
}

/// Why everything is as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has mistakes, or can not be used.
    #[error("{0}")]
    Refused(BuildError),
    /// A defect of ours.
    #[error("the new configuration could not be built: {0}")]
    Failed(String),
    /// Nobody serves: not yet, or not any more.
    #[error("the daemon is not taking mail")]
    NotServing,
    /// Too many asked at once.
    #[error("too many reloads are asked for, try again")]
    Busy,
}

pub(crate) type Outcome = Result<Reloaded, ReloadError>;

/// Somebody wants a reload.
#[derive(Debug)]
pub(crate) struct Request(Option<oneshot::Sender<Outcome>>);

pub(crate) fn channel() -> (Reloader, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Reloader(sender), receiver)
}

impl Reloader {
    /// Has the configuration read again, and waits until messages are judged by it.
    ///
    /// # Errors
    /// See [`ReloadError`]. Then everything is as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Request(Some(answer))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReloadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReloadError::NotServing,
        })?;
        answered.await.unwrap_or(Err(ReloadError::NotServing))
    }

    /// Asks for a reload of whose outcome only the log tells.
    pub(crate) fn ask(&self) {
        if self.0.try_send(Request(None)).is_err() {
            tracing::warn!("reload: too many are asked for already, or the daemon is stopping");
        }
    }
}

/// The task that reloads, with all that a reload replaces.
pub(crate) struct Reloading {
    process: Arc<Process>,
    workers: Vec<ArbiterHandle>,
    /// One for each worker: what its sessions come through.
    doors: Vec<watch::Sender<Arc<Door>>>,
    current: Current,
    old: VecDeque<Old>,
    /// Stages that must keep their metrics.
    names: watch::Sender<Vec<String>>,
    number: u64,
    requests: mpsc::Receiver<Request>,
}

/// What mail is judged by.
struct Current {
    parts: Arc<Parts>,
    pipeline: Arc<Pipeline>,
}

/// What it was judged by before.
struct Old {
    task: tokio::task::JoinHandle<()>,
    /// Dropped: its time is over.
    hurry: Option<oneshot::Sender<()>>,
}

impl Reloading {
    pub(crate) fn new(
        process: Arc<Process>,
        parts: Parts,
        pipeline: Pipeline,
        workers: Vec<ArbiterHandle>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        parts.in_force();
        process.in_force.show(&parts);
        let current = Current { parts: Arc::new(parts), pipeline: Arc::new(pipeline) };
        let doors = (0..workers.len()).map(|worker| watch::Sender::new(current.door(&process, worker))).collect();
        let names = watch::Sender::new(current.parts.stage_names());
        Self { process, workers, doors, current, old: VecDeque::new(), names, number: 0, requests }
    }

    /// What the sessions of each worker come through.
    pub(crate) fn doors(&self) -> Vec<watch::Receiver<Arc<Door>>> {
        self.doors.iter().map(watch::Sender::subscribe).collect()
    }

    /// Does what is asked for until `stop`; a reload that is under way then is given up.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Self {
        let mut watch = Watch::default();
        loop {
            let (on, files) = (self.current.parts.config.reload.watch, self.files());
            let request = tokio::select! {
                _ = &mut stop => return self,
                () = watch.changed(&files), if on => {
                    tracing::info!("a file of the configuration changed");
                    Request(None)
                }
                request = self.requests.recv() => match request {
                    Some(request) => request,
                    // Nobody is left to ask.
                    None => {
                        drop(stop.await);
                        return self;
                    }
                },
            };
            let mut asked = vec![request];
            while let Ok(another) = self.requests.try_recv() {
                asked.push(another);
            }
            service_manager::reloading();
            let outcome = tokio::select! {
                _ = &mut stop => return self,
                outcome = self.reload() => outcome,
            };
            self.report(&outcome);
            service_manager::ready(match outcome {
                Ok(_) => "taking mail, configuration reloaded",
                Err(_) => "taking mail, the last reload was refused: see the log",
            });
            for Request(answer) in asked {
                if let Some(answer) = answer
                    && answer.send(outcome.clone()).is_err()
                {
                    tracing::debug!("who asked for the reload did not wait");
                }
            }
        }
    }

    /// The life of a reload. Up to the swap nothing has happened; from there on nothing can go wrong.
    async fn reload(&mut self) -> Outcome {
        let began = Instant::now();
        let parts = Arc::new(self.build().await?);

        let both = [self.current.parts.stage_names(), parts.stage_names()].concat();
        self.names.send_replace(both);
        let pipeline = Pipeline::start_beside(
            &self.current.pipeline,
            parts.prepared.plan(),
            parts.pipeline_limits(),
            Arc::clone(&parts.bodies.part),
            Arc::clone(&self.process.pipeline_metrics),
            &self.workers,
        );
        parts.in_force();
        self.process.in_force.show(&parts);

        let new = Current { parts, pipeline: Arc::new(pipeline) };
        for (worker, door) in self.doors.iter().enumerate() {
            door.send_replace(new.door(&self.process, worker));
        }
        self.names.send_replace(new.parts.stage_names());
        let old = std::mem::replace(&mut self.current, new);
        self.number = self.number.saturating_add(1);
        self.let_finish(old);
        memory::give_back();

        let parts = &self.current.parts;
        Ok(Reloaded {
            number: self.number,
            stages: parts.prepared.summaries.clone(),
            warnings: parts.warnings.render_warnings(false),
            took: began.elapsed(),
        })
    }

    /// Reads the file and builds what it says, beside what runs, off this thread.
    async fn build(&self) -> Result<Parts, ReloadError> {
        let (process, before) = (Arc::clone(&self.process), Arc::clone(&self.current.parts));
        let built = spawn_blocking(move || {
            let source = Source::read(before.config.source.path()).map_err(BuildError::Config)?;
            Parts::build(&source, &process, Purpose::Serve, Some(&before))
        });
        match built.await {
            Ok(built) => built.map_err(ReloadError::Refused),
            Err(error) => Err(ReloadError::Failed(error.to_string())),
        }
    }

    /// The old configuration goes when nobody needs it any more, or its time is over.
    fn let_finish(&mut self, old: Current) {
        self.old.retain(|old| !old.task.is_finished());
        if self.old.len() >= MOST_OLD
            && let Some(oldest) = self.old.iter_mut().find(|old| old.hurry.is_some())
        {
            oldest.hurry = None;
        }
        let (hurry, hurried) = oneshot::channel();
        let (metrics, names) = (Arc::clone(&self.process.pipeline_metrics), self.names.subscribe());
        let task = actix_rt::spawn(old.finish(hurried, self.number, metrics, names));
        self.old.push_back(Old { task, hurry: Some(hurry) });
    }

    fn report(&self, outcome: &Outcome) {
        let metrics = &self.process.config_metrics;
        match outcome {
            Ok(reloaded) => {
                metrics.reloaded(true);
                log_stages(&self.current.parts);
                tracing::info!(number = reloaded.number, took = ?reloaded.took, "configuration reloaded");
            }
            Err(error) => {
                metrics.reloaded(false);
                tracing::error!("reload refused, mail is judged as before:\n{error}");
            }
        }
    }

    /// What a changed configuration would show in.
    fn files(&self) -> Vec<std::path::PathBuf> {
        let parts = &self.current.parts;
        let mut files = parts.prepared.files.clone();
        files.push(parts.config.source.path().to_owned());
        files
    }

    /// How long messages in flight may take at the end.
    pub(crate) fn shutdown(&self) -> Duration {
        self.current.parts.config.limits.shutdown
    }

    /// Ends all pipelines; messages in flight may finish within the limits that they have anyway.
    pub(crate) async fn stop(mut self) {
        self.doors.clear();
        for old in &mut self.old {
            old.hurry = None;
        }
        self.current.pipeline.stop().await;
        for old in self.old {
            if let Err(error) = old.task.await {
                tracing::error!(%error, "an old configuration did not end well");
            }
        }
    }
}

impl Current {
    fn door(&self, process: &Process, worker: usize) -> Arc<Door> {
        Arc::new(Door {
            judge: self.pipeline.judge(worker),
            store: Arc::clone(&self.parts.bodies.part),
            settings: Arc::new(self.parts.milter_settings()),
            metrics: Arc::clone(&process.milter_metrics),
        })
    }

    /// Waits until no session and no message needs it, and ends it. `hurried` ends with its sender.
    async fn finish(
        self,
        hurried: oneshot::Receiver<()>,
        number: u64,
        metrics: Arc<wasmilter_pipeline::Metrics>,
        names: watch::Receiver<Vec<String>>,
    ) {
        tokio::select! {
            () = self.pipeline.unused() => {}
            _ = hurried => tracing::warn!(number, "sessions still use an old configuration, their next message is a temporary failure"),
            () = sleep(LINGER) => {
                tracing::warn!(number, after = ?LINGER, "sessions still use an old configuration, their next message is a temporary failure");
            }
        }
        self.pipeline.stop().await;
        let stages = self.parts.stage_names();
        // Dropping plugins gives much memory back to the system, and the store may have to be written: not on this thread.
        if spawn_blocking(move || drop(self)).await.is_err() {
            tracing::error!(number, "an old configuration could not be taken down");
        }
        let kept = names.borrow().clone();
        for stage in stages.iter().filter(|stage| !kept.contains(stage)) {
            metrics.forget(stage);
        }
        tracing::debug!(number, "the configuration before this reload is gone");
    }
}

/// One line for each stage: what it is and all that it can reach.
pub(crate) fn log_stages(parts: &Parts) {
    for stage in &parts.prepared.summaries {
        tracing::info!(
            stage = %stage.name,
            plugin = %stage.version,
            file = %stage.file.display(),
            isolation = stage.isolation,
            started_from = %stage.started_from,
            grants = %stage.grants.join(" "),
            "stage ready"
        );
    }
    for warning in parts.warnings.list() {
        tracing::warn!(key = warning.key, line = warning.line, "{}", warning.message);
    }
}
