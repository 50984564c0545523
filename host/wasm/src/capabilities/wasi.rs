//! WASI 0.2, for runtimes of other languages that can not start without it: no files, no sockets, no environment, no
//! arguments. What they print goes to the log.
//!
//! Without the grant `random` their randomness is a fixed sequence, which is enough to seed a hash table; without
//! `clock` the time of day stands still at 1970. The monotonic clock runs: sleeping needs it.

use crate::{
    call::{Call, Written},
    failure::one_line,
    outside::Clock,
    stage::Stage,
};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{
    HostWallClock, WasiCtx, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
    random::Deterministic,
};

/// Interfaces that are linked, by the package that they are in.
const PACKAGES: [&str; 6] = ["io", "cli", "clocks", "random", "filesystem", "sockets"];

/// At most so many bytes of randomness in one call.
const RANDOM_AT_ONCE: u64 = 64 << 10;

/// Streams, timers and other things of WASI that one instance has at the same time.
const HANDLES: usize = 1000;

/// Bytes of output that are taken in one call; the rest of a longer line comes as a line of its own.
const PRINTED_AT_ONCE: usize = 4096;

/// Where randomness begins that is none.
const SEED: [u8; 8] = *b"wasmilte";

/// Whether an import is one of the interfaces here.
pub(crate) fn provides(import: &str) -> bool {
    import
        .strip_prefix("wasi:")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(package, _)| PACKAGES.contains(package))
        .and_then(|(_, rest)| rest.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// Links WASI 0.2.
pub(crate) fn add_to_linker(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// What a guest has of WASI; made at its first call.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn new(stage: &Arc<Stage>, written: &Arc<Written>) -> Self {
        let mut builder = WasiCtx::builder();
        let printed = Printed { stage: Arc::clone(stage), written: Arc::clone(written) };
        builder
            .stdout(printed.clone())
            .stderr(printed)
            .max_random_size(RANDOM_AT_ONCE)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let wall_clock = WallClock { shown: stage.grants.clock.then(|| Arc::clone(&stage.outside.clock)) };
        builder.wall_clock(wall_clock);
        if !stage.grants.random {
            builder
                .secure_random(Deterministic::new(SEED.to_vec()))
                .insecure_random(Deterministic::new(SEED.to_vec()))
                .insecure_random_seed(u128::from(u64::from_be_bytes(SEED)));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self { context: builder.build(), table }
    }
}

impl WasiView for Call {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Handles that a guest got while it was configured do not exist in the instances that start from its snapshot.
        // This can not fail here; a guest that calls too often is ended at the next tick (`Call::within_calls`). In
        // `describe`, runtimes may start.
        drop(self.charge());
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.stage, &self.written)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

struct WallClock {
    /// None: the clock stands still.
    shown: Option<Clock>,
}

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        if self.shown.is_some() { Duration::from_nanos(1) } else { Duration::from_secs(1) }
    }

    fn now(&self) -> Duration {
        let since_1970 = |clock: &Clock| clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.shown.as_ref().map(since_1970).unwrap_or_default()
    }
}

/// Standard output and standard error: lines to the log, as many as the stage may write; the rest is dropped.
#[derive(Clone)]
struct Printed {
    stage: Arc<Stage>,
    written: Arc<Written>,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Asked for by WASI 0.3 only, which is not linked.
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let text = one_line(&String::from_utf8_lossy(line));
            if self.written.line(&text, &self.stage.limits).is_err() {
                break;
            }
            tracing::info!(target: "plugin", stage = &*self.stage.name, "{text}");
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PRINTED_AT_ONCE)
    }
}
