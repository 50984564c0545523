//! The daemon's life: open the doors, take mail, stop.

use crate::{
    app::App,
    descriptors, memory,
    reload::{Reloaded, Reloader, Reloading, log_stages},
    shutdown::{self, Told},
};
use actix_rt::Arbiter;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use wasmilter_admin::{Admin, Phase, Readiness, ReloadHook};
use wasmilter_milter::{Address, Listener};

/// Why the daemon does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A mail server's address can not be listened on.
    #[error(transparent)]
    Milter(#[from] wasmilter_milter::BindError),
    /// The admin address can not be listened on.
    #[error(transparent)]
    Admin(#[from] wasmilter_admin::BindError),
    /// The system does not give what is needed to serve.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

/// Where the daemon can be reached, as bound: with the port that the system chose where 0 was configured.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// For mail servers.
    pub milter: Vec<Address>,
    /// For monitoring.
    pub admin: Option<SocketAddr>,
}

/// For what the parts do after their own bounds have passed.
const GRACE: Duration = Duration::from_secs(5);

impl App {
    /// Takes mail until SIGTERM or SIGINT; SIGHUP reloads the configuration. Then nothing more is accepted, and messages in flight may finish within
    /// `limits.shutdown`; a second signal ends that wait. Calls `ready` once all addresses are listened on. Must be
    /// called in an actix system.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve(self, ready: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
        let signals = shutdown::Signals::listen().map_err(|error| ServeError::System("signals", error))?;
        self.serve_until(signals, ready).await
    }

    /// The same until `signals` say so.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve_until(
        self,
        mut signals: shutdown::Signals,
        ready: impl FnOnce(&Addresses),
    ) -> Result<(), ServeError> {
        descriptors::raise_limit();
        log_stages(&self.parts);

        let readiness = Readiness::default();
        let admin = self.parts.config.admin.as_ref().map(|admin| Admin::bind(admin.listen.value)).transpose()?;
        let admin_address = admin.as_ref().map(Admin::address);
        let admin = admin.map(|admin| self.start_admin(admin, &readiness)).transpose()?;

        let listen = &self.parts.config.milter.listen;
        let listeners: Vec<Listener> =
            listen.iter().map(|address| Listener::bind(&address.value)).collect::<Result<_, _>>()?;
        let milter = listeners.iter().map(|listener| listener.address().clone()).collect();

        let workers: Vec<Arbiter> = (0..self.parts.config.limits.workers).map(|_| Arbiter::new()).collect();
        let handles: Vec<_> = workers.iter().map(Arbiter::handle).collect();
        let pipeline = self.start_pipeline(&handles);

        let Self { process, parts, reloader, requests } = self;
        let reloading = Reloading::new(process, parts, pipeline, handles.clone(), requests);
        let mut doors = Doors::open(&reloading, listeners, &handles)?;
        let (stop_reloading, stopped) = oneshot::channel();
        let reloading = actix_rt::spawn(reloading.run(stopped));
        memory::give_back();
        readiness.enter(Phase::Ready);
        ready(&Addresses { milter, admin: admin_address });

        let ended = loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Reload => reloader.ask(),
                    Told::Stop(signal) => {
                        tracing::info!(signal, "stopping: nothing more is accepted, messages in flight may finish");
                        break Ok(());
                    }
                },
                failure = doors.failure() => break Err(ServeError::System("accepting connections", failure)),
            }
        };

        readiness.enter(Phase::Stopping);
        drop(stop_reloading);
        let reloading = reloading.await.map_err(|error| ServeError::System("reloading", io::Error::other(error)))?;
        tokio::select! {
            () = doors.close(reloading.shutdown()) => reloading.stop().await,
            signal = signals.stop() => tracing::warn!(signal, "told again: not waiting for messages in flight"),
        }
        stop_workers(workers).await;
        if let Some(admin) = admin {
            admin.stop(true).await;
        }
        tracing::info!("stopped");
        ended
    }

    fn start_admin(&self, admin: Admin, readiness: &Readiness) -> Result<wasmilter_admin::Handle, ServeError> {
        let server = admin
            .serve(self.process.registry.clone(), readiness.clone(), Some(reload_by_request(self.reloader())))
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
    closing: watch::Sender<bool>,
    /// What went wrong with a door; ends when all doors have ended.
    failures: mpsc::Receiver<io::Error>,
}

impl Doors {
    fn open(
        reloading: &Reloading,
        listeners: Vec<Listener>,
        workers: &[actix_rt::ArbiterHandle],
    ) -> Result<Self, ServeError> {
        let (closing, _) = watch::channel(false);
        let (failed, failures) = mpsc::channel(1);
        for (worker, doors) in workers.iter().zip(reloading.doors()) {
            for listener in &listeners {
                let listener = listener.try_clone().map_err(|error| ServeError::System("sharing a listener", error))?;
                let (doors, failed, mut closing) = (doors.clone(), failed.clone(), closing.subscribe());
                let closed = async move {
                    // An error means that nobody is there to close it: then it is time as well.
                    let _closed_or_gone = closing.wait_for(|closing| *closing).await.is_ok();
                };
                worker.spawn(async move {
                    if let Err(error) = wasmilter_milter::serve_doors(listener, doors, closed).await
                        && failed.send(error).await.is_err()
                    {
                        tracing::debug!("a door failed while stopping");
                    }
                });
            }
        }
        Ok(Self { closing, failures })
    }

    /// The first failure of a door; forever pending without one.
    async fn failure(&mut self) -> io::Error {
        match self.failures.recv().await {
            Some(failure) => failure,
            None => io::Error::other("all workers have ended"),
        }
    }

    /// Closes all doors and waits until their transactions have ended; the doors keep to `drain` by themselves.
    async fn close(&mut self, drain: Duration) {
        self.closing.send_replace(true);
        let all_ended = async { while self.failures.recv().await.is_some() {} };
        if timeout(drain.saturating_add(GRACE), all_ended).await.is_err() {
            tracing::warn!("a worker does not answer: not waiting for its connections");
        }
    }
}

/// Ends the worker threads. One that does not answer is left behind: the process ends anyway.
async fn stop_workers(workers: Vec<Arbiter>) {
    for worker in &workers {
        worker.stop();
    }
    let joined = tokio::task::spawn_blocking(|| {
        workers.into_iter().for_each(|worker| {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        });
    });
    if timeout(GRACE, joined).await.is_err() {
        tracing::warn!("a worker does not end");
    }
}
