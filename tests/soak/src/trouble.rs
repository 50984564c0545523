//! What happens beside the mail: the scanner dies, hangs and comes back, the configuration is read again.

use crate::{ground::Ground, stages};
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    task::spawn_blocking,
    time::{sleep, sleep_until},
};
use wasmilter_tests::{clamd::Clamd, wasmilter};

/// How long a reload may take: the plugins are the same. If it does not come, that is a complaint, and the run goes on.
const RELOAD: Duration = Duration::from_secs(120);

const RELOADS: &str = "wasmilter_config_reloads_total";
const SUCCESSFUL: &str = "outcome=\"successful\"";

/// How often what happened.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Troubles {
    pub(crate) scanner_killed: u32,
    pub(crate) scanner_frozen: u32,
    pub(crate) reloads: u32,
}

/// Where the host can be told to reload.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) pid: u32,
    pub(crate) admin: SocketAddr,
    pub(crate) config: PathBuf,
}

/// One trouble after the other until the end, with a pause in between.
pub(crate) async fn make(
    ground: Rc<Ground>,
    host: Host,
    mut clamd: Clamd,
    seed: u64,
    pause: Duration,
) -> Result<(Troubles, Clamd)> {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x7477);
    let mut troubles = Troubles::default();
    loop {
        let next = Instant::now() + pause.mul_f64(0.5 + random.f64());
        sleep_until(next.min(ground.pace.end()).into()).await;
        if !ground.pace.goes_on() {
            // The last messages are still being scanned.
            return Ok((troubles, clamd));
        }
        match random.u32(0..4) {
            0 => {
                ground.known.scanner(false);
                clamd.kill();
                sleep(Duration::from_millis(random.u64(0..3_000))).await;
                clamd = spawn_blocking(move || {
                    clamd.restart();
                    clamd
                })
                .await
                .context("restarting clamd")?;
                ground.known.scanner(true);
                troubles.scanner_killed += 1;
            }
            1 => {
                ground.known.scanner(false);
                clamd.freeze(true);
                // Longer than the host waits for it, now and then.
                sleep(Duration::from_millis(random.u64(500..5_000))).await;
                clamd.freeze(false);
                ground.known.scanner(true);
                troubles.scanner_frozen += 1;
            }
            _ => match reload(&ground, &host).await {
                Ok(()) => troubles.reloads += 1,
                Err(error) => ground.tally.borrow_mut().wrong(format!("reloading: {error:#}")),
            },
        }
    }
}

/// The next generation of the configuration, by SIGHUP.
async fn reload(ground: &Ground, host: &Host) -> Result<()> {
    // One that did not come in time may still come.
    let old = ground.known.requested.get();
    let new = old + 1;
    let text = fs::read_to_string(&host.config).context("reading the configuration")?;
    let (was, will) = (stages::generation(old), stages::generation(new));
    if !text.contains(&was) {
        bail!("no {was} in {}", host.config.display());
    }
    fs::write(&host.config, text.replace(&was, &will)).context("writing the configuration")?;
    let admin = host.admin;
    let before = spawn_blocking(move || wasmilter::metrics(admin)).await?.sum(RELOADS, &[SUCCESSFUL]);
    ground.known.requested.set(new);
    kill(Pid::from_raw(i32::try_from(host.pid)?), Signal::SIGHUP).context("SIGHUP")?;
    let asked = Instant::now();
    loop {
        let metrics = spawn_blocking(move || wasmilter::metrics(admin)).await?;
        if metrics.sum(RELOADS, &[SUCCESSFUL]) > before {
            ground.known.confirmed.set(new);
            return Ok(());
        }
        if asked.elapsed() > RELOAD {
            let refused = metrics.sum(RELOADS, &["outcome=\"refused\""]);
            bail!("generation {new} was not there within {RELOAD:?} of SIGHUP; {refused} reloads were refused");
        }
        sleep(Duration::from_millis(100)).await;
    }
}
