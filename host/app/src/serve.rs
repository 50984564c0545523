//! The daemon's life: open the doors, take mail, stop, or hand over to the process that takes over.

use crate::{
    app::App,
    config::{Config, diagnostic::Diagnostics},
    descriptors,
    inherited::Inherited,
    memory,
    otlp::{self, Export},
    reload::{LINGER, Reloaded, Reloader, Reloading, log_stages},
    service_manager,
    shutdown::{self, Told},
    successor::{Successor, UpgradeError},
    tap::{self, Filter},
    workers::{self, Workers},
};
use futures_util::StreamExt;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use wasmilter_admin::{Admin, Hooks, Lines, Phase, Readiness, ReloadHook, TapHook};
use wasmilter_milter::{Address, Listener, Opening};

/// Why the daemon does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A mail server's address can not be listened on.
    #[error(transparent)]
    Milter(#[from] wasmilter_milter::BindError),
    /// The admin address can not be listened on.
    #[error(transparent)]
    Admin(#[from] wasmilter_admin::BindError),
    /// Sockets were passed to this process that the configuration does not name.
    #[error("{0}")]
    Sockets(Diagnostics),
    /// The system does not give what is needed to serve.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// A worker thread hangs, and does not come back.
    #[error("worker {0} does not answer: a defect, or a file system that hangs; the daemon must be started again")]
    Stuck(usize),
}

/// Where the daemon can be reached, as bound: with the port that the system chose where 0 was configured.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// For mail servers.
    pub milter: Vec<Address>,
    /// For monitoring.
    pub admin: Option<SocketAddr>,
}

/// Listeners to `/tap` at one time: each costs a copy of the names and numbers of every decision.
const TAPS: usize = 8;

/// For what the parts do after their own bounds have passed.
const GRACE: Duration = Duration::from_secs(5);

impl App {
    /// Takes mail until SIGTERM or SIGINT; SIGHUP reloads the configuration, SIGUSR2 has a new process take over. Then nothing more is
    /// accepted, and messages in flight may finish within `limits.shutdown`; a second signal ends that wait. Listens on the sockets
    /// that were `inherited`, and where there are none, on new ones. Calls `ready` once all addresses are listened on. Must be
    /// called in an actix system.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve(self, inherited: Inherited, ready: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
        let signals = shutdown::Signals::listen().map_err(|error| ServeError::System("signals", error))?;
        self.serve_until(signals, inherited, ready).await
    }

    /// The same until `signals` say so.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve_until(
        self,
        mut signals: shutdown::Signals,
        mut inherited: Inherited,
        ready: impl FnOnce(&Addresses),
    ) -> Result<(), ServeError> {
        descriptors::raise_limit();
        memory::large_blocks_apart();
        log_stages(&self.parts);

        let sockets = Sockets::open(&self.parts.config, &mut inherited)?;
        let readiness = Readiness::default();
        let admin_address = sockets.admin.as_ref().map(Admin::address);
        let admin = sockets.admin.map(|admin| self.start_admin(admin, &readiness)).transpose()?;
        let listeners = sockets.milter;
        let milter = listeners.iter().map(|listener| listener.address().clone()).collect();

        let spans = self.start_spans();

        let mut workers = Workers::start(self.parts.config.limits.workers);
        let handles = workers.handles();
        let pipeline = self.start_pipeline(&handles);

        let Self { process, parts, reloader, requests } = self;
        let reloading = Reloading::new(process, parts, pipeline, handles.clone(), requests);
        let mut doors = Doors::open(&reloading, &listeners, &handles)?;
        let (stop_reloading, stopped) = oneshot::channel();
        let reloading = actix_rt::spawn(reloading.run(stopped));
        memory::give_back();
        readiness.enter(Phase::Ready);
        ready(&Addresses { milter, admin: admin_address });
        inherited.tell_predecessor();
        service_manager::ready("taking mail");

        let passed_on = || listeners.iter().chain(&sockets.admin_shared);
        let mut successor: Option<Successor> = None;
        let watchdog = service_manager::watchdog(&readiness);
        tokio::pin!(watchdog);
        let watching = workers::stuck(workers.pulses(), &readiness);
        tokio::pin!(watching);
        let ended = loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Reload => reloader.ask(),
                    Told::Upgrade => match &successor {
                        None => successor = start_successor(passed_on()),
                        Some(started) => tracing::warn!(pid = started.pid(), "a new process is getting ready already"),
                    },
                    Told::Stop(signal) => {
                        tracing::info!(signal, "stopping: nothing more is accepted, messages in flight may finish");
                        break Ended::Told;
                    }
                },
                outcome = ready_of(&mut successor) => match outcome {
                    Ok(pid) => break Ended::Replaced(pid),
                    Err(error) => {
                        successor = None;
                        stays(&error);
                    }
                },
                failure = doors.failure() => break Ended::Failed(failure),
                worker = &mut watching => break Ended::Stuck(worker),
                () = &mut watchdog => {}
            }
        };

        readiness.enter(Phase::Stopping);
        if let Ended::Replaced(pid) = ended {
            tracing::info!(pid, "another process takes mail from now on, sessions here go on to their end");
            service_manager::replaced_by(pid);
            listeners.iter().for_each(Listener::leave_file);
        } else {
            service_manager::stopping();
            drop(successor);
        }
        drop((listeners, sockets.admin_shared));
        let mut admin = admin;
        if let Ended::Replaced(_) = ended {
            // Whoever asks now should be answered by the other process.
            if let Some(admin) = admin.take() {
                admin.stop(true).await;
            }
            tokio::select! {
                () = doors.hand_over() => {}
                () = sleep(LINGER) => tracing::warn!(after = ?LINGER, "sessions are still open: they end after their transaction"),
                signal = signals.stop() => tracing::info!(signal, "sessions end after their transaction"),
            }
        }

        drop(stop_reloading);
        let reloading = reloading.await.map_err(|error| ServeError::System("reloading", io::Error::other(error)))?;
        tokio::select! {
            () = doors.close(reloading.shutdown()) => reloading.stop().await,
            signal = signals.stop() => tracing::warn!(signal, "told again: not waiting for messages in flight"),
        }
        workers.stop(GRACE).await;
        if let Some(spans) = spans {
            spans.stop().await;
        }
        if let Some(admin) = admin {
            admin.stop(true).await;
        }
        tracing::info!("stopped");
        match ended {
            Ended::Failed(failure) => Err(ServeError::System("accepting connections", failure)),
            Ended::Stuck(worker) => Err(ServeError::Stuck(worker)),
            Ended::Told | Ended::Replaced(_) => Ok(()),
        }
    }

    fn start_admin(&self, admin: Admin, readiness: &Readiness) -> Result<wasmilter_admin::Handle, ServeError> {
        let hooks = Hooks { reload: Some(reload_by_request(self.reloader())), tap: Some(self.tap_by_request()) };
        let server = admin
            .serve(self.process.registry.clone(), readiness.clone(), hooks)
            .map_err(|error| ServeError::System("serving the admin address", error))?;
        let handle = server.handle();
        actix_rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the admin address is no longer served");
            }
        });
        Ok(handle)
    }
}

/// Why the daemon takes no more mail.
enum Ended {
    Told,
    /// By the process of that id.
    Replaced(u32),
    Failed(io::Error),
    /// A worker of that number.
    Stuck(usize),
}

/// All that is listened on.
struct Sockets {
    milter: Vec<Listener>,
    admin: Option<Admin>,
    /// The admin address's socket once more, to pass it on.
    admin_shared: Option<Listener>,
}

impl Sockets {
    /// What was inherited where there is something, otherwise new ones.
    fn open(config: &Config, inherited: &mut Inherited) -> Result<Self, ServeError> {
        let shared = |error| ServeError::System("sharing a listener", error);
        let milter: Vec<Address> = config.milter.listen.iter().map(|address| address.value.clone()).collect();
        let admin = config.admin.as_ref().map(|admin| admin.listen.value);
        let all: Vec<Address> = milter.iter().cloned().chain(admin.map(Address::Inet)).collect();

        let admin = admin.map(|address| match inherited.take(&Address::Inet(address), &all) {
            Some(listener) => {
                let socket = TcpListener::from(listener.descriptor().map_err(shared)?);
                Admin::adopt(socket).map_err(shared)
            }
            None => Ok(Admin::bind(address)?),
        });
        let admin = admin.transpose()?;
        let admin_shared = admin.as_ref().map(|admin| Listener::adopt(admin.descriptor()?, false)).transpose();
        let milter = milter.iter().map(|address| match inherited.take(address, &all) {
            Some(listener) => Ok(listener),
            None => Listener::bind(address),
        });
        let sockets =
            Self { milter: milter.collect::<Result<_, _>>()?, admin, admin_shared: admin_shared.map_err(shared)? };
        inherited.nothing_is_left(config).map_err(ServeError::Sockets)?;
        Ok(sockets)
    }
}

/// Starts the process that takes over. Failing is in the log, and everything goes on.
fn start_successor<'l>(listeners: impl Iterator<Item = &'l Listener>) -> Option<Successor> {
    match Successor::start(listeners) {
        Ok(successor) => {
            tracing::info!(pid = successor.pid(), "a new process was started and gets ready to take over");
            service_manager::status("taking mail, a new process gets ready to take over");
            Some(successor)
        }
        Err(error) => {
            stays(&error);
            None
        }
    }
}

/// The task that sends spans.
struct Spans {
    task: tokio::task::JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Spans {
    /// Lets it send what it has; its requests have a bound.
    async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "sending spans did not end well");
        }
    }
}

/// Its process id when it is ready; pending without one.
async fn ready_of(successor: &mut Option<Successor>) -> Result<u32, UpgradeError> {
    match successor {
        Some(successor) => successor.ready().await.map(|()| successor.pid()),
        None => std::future::pending().await,
    }
}

fn stays(error: &UpgradeError) {
    tracing::error!(%error, "no other process takes over, this one goes on");
    service_manager::status("taking mail, the last upgrade failed: see the log");
}

impl App {
    /// `/tap`.
    fn tap_by_request(&self) -> TapHook {
        let metrics = Arc::clone(&self.process.pipeline_metrics);
        let places = Arc::new(Semaphore::new(TAPS));
        Arc::new(move |query| {
            let filter = Filter::parse(query)?;
            let place = Arc::clone(&places).try_acquire_owned().map_err(|_| format!("{TAPS} listen already"))?;
            // The stream has the place until it ends.
            let lines: Lines = Box::pin(tap::lines(metrics.feed(), filter).map(move |line| (&place, line).1));
            Ok(lines)
        })
    }

    fn start_spans(&self) -> Option<Spans> {
        let telemetry = &self.parts.config.telemetry;
        let collector = telemetry.otlp.as_ref()?.value.clone();
        let export = Export { collector, sampling: telemetry.sampling };
        let (stop, stopped) = oneshot::channel();
        // Listens from now on: setting up the client takes longer than the first message.
        let listener = self.process.pipeline_metrics.feed().listen();
        let metrics = self.process.span_metrics.clone();
        Some(Spans { task: actix_rt::spawn(otlp::run(export, listener, metrics, stopped)), stop })
    }
}

/// `POST /reload`.
fn reload_by_request(reloader: Reloader) -> ReloadHook {
    Arc::new(move || {
        let reloader = reloader.clone();
        Box::pin(async move {
            match reloader.reload().await {
                Ok(reloaded) => {
                    let Reloaded { number, stages, warnings, took } = reloaded;
                    Ok(format!("{warnings}reload {number}: {} stages, took {took:.1?}\n", stages.len()))
                }
                Err(error) => Err(format!("{error}\n\nreload refused, mail is judged as before\n")),
            }
        })
    })
}

/// The milter door on every worker: each accepts from each listener.
struct Doors {
    opening: watch::Sender<Opening>,
    /// What went wrong with a door; ends when all doors have ended.
    failures: mpsc::Receiver<io::Error>,
}

impl Doors {
    fn open(
        reloading: &Reloading,
        listeners: &[Listener],
        workers: &[actix_rt::ArbiterHandle],
    ) -> Result<Self, ServeError> {
        let (opening, _) = watch::channel(Opening::Open);
        let (failed, failures) = mpsc::channel(1);
        for (worker, doors) in workers.iter().zip(reloading.doors()) {
            for listener in listeners {
                let listener = listener.try_clone().map_err(|error| ServeError::System("sharing a listener", error))?;
                let (doors, failed, opening) = (doors.clone(), failed.clone(), opening.subscribe());
                worker.spawn(async move {
                    if let Err(error) = wasmilter_milter::serve_doors(listener, doors, opening).await
                        && failed.send(error).await.is_err()
                    {
                        tracing::debug!("a door failed while stopping");
                    }
                });
            }
        }
        Ok(Self { opening, failures })
    }

    /// The first failure of a door; forever pending without one.
    async fn failure(&mut self) -> io::Error {
        match self.failures.recv().await {
            Some(failure) => failure,
            None => io::Error::other("all workers have ended"),
        }
    }

    /// Accepts nothing more, and waits until all sessions have ended by themselves.
    async fn hand_over(&mut self) {
        self.opening.send_replace(Opening::HandedOver);
        self.all_ended().await;
    }

    /// Closes all doors and waits until their transactions have ended; the doors keep to `drain` by themselves.
    async fn close(&mut self, drain: Duration) {
        self.opening.send_replace(Opening::Closed);
        if timeout(drain.saturating_add(GRACE), self.all_ended()).await.is_err() {
            tracing::warn!("a worker does not answer: not waiting for its connections");
        }
    }

    async fn all_ended(&mut self) {
        while self.failures.recv().await.is_some() {}
    }
}
