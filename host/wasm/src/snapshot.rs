//! The snapshot: a component whose memory begins where `configure` left it.
//!
//! `wasmtime-wizer` writes accessors for memory and globals into the component; the host instantiates that, calls
//! `configure`, reads the state and has it written into a copy of the original component. The host calls `configure`
//! itself, so that one call gives the list of problems and the state.

use crate::{
    bindings::exports::wasmilter::policy::lifecycle,
    call::{self, Call, Phase},
    failure::classify,
    prepare::{CONFIGURE, PrepareError, Problem},
    sandbox::{PAGE, Sandbox},
    stage::Stage,
};
use std::sync::Arc;
use wasmilter_message::deadline::Deadline;
use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance, Lift, Linker, WasmList},
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

/// Linear memories in one component that the accessors may grow by a page each.
const MEMORIES: u64 = 8;

/// What came of it.
pub(crate) enum Snapshot {
    /// A component that is configured already.
    Taken(Vec<u8>),
    /// It can not be had of this component, and why; the configuration is good all the same.
    Impossible(String),
}

/// Configures the component `wasm` and takes a snapshot of it.
///
/// # Errors
/// When it could not be configured.
pub(crate) async fn take(
    sandbox: &Sandbox,
    linker: &Linker<Call>,
    stage: &Arc<Stage>,
    config: &str,
    wasm: &[u8],
) -> Result<Snapshot, PrepareError> {
    let wizer = Wizer::new();
    let instrumented = wizer
        .instrument_component(wasm)
        .and_then(|(context, instrumented)| Ok((context, sandbox.compile(&instrumented)?)));
    let (context, instrumented) = match instrumented {
        Ok(instrumented) => instrumented,
        Err(error) => {
            // The configuration still has to be checked.
            configure(sandbox, linker, stage, config, &sandbox.compile(wasm).map_err(PrepareError::link)?).await?;
            return Ok(Snapshot::Impossible(format!("{error:#}")));
        }
    };
    let (mut store, instance) = configure(sandbox, linker, stage, config, &instrumented).await?;
    if store.data().touched() {
        return Ok(Snapshot::Impossible("configure, or the language's runtime, called an import".to_owned()));
    }
    // Reading the memory grows it by a page, and hands all of it over in one piece.
    store.data_mut().memory.raise(MEMORIES.saturating_mul(PAGE));
    store.set_hostcall_fuel(usize::MAX);
    let mut state = State { store, instance, failed: None };
    let snapshot = wizer.snapshot_component(&context, &mut state).await;
    Ok(match (snapshot, state.failed) {
        (Ok(snapshot), None) => Snapshot::Taken(snapshot),
        (Ok(_), Some(error)) | (Err(error), _) => Snapshot::Impossible(format!("{error:#}")),
    })
}

/// A fresh instance that was configured.
///
/// # Errors
/// The problems that the guest found, or why it could not say.
pub(crate) async fn configure(
    sandbox: &Sandbox,
    linker: &Linker<Call>,
    stage: &Arc<Stage>,
    config: &str,
    compiled: &wasmtime::component::Component,
) -> Result<(Store<Call>, Instance), PrepareError> {
    let pre = linker.instantiate_pre(compiled).map_err(PrepareError::link)?;
    let indices = lifecycle::GuestIndices::new(&pre).map_err(PrepareError::link)?;
    // Only now: compiling a large plugin takes longer than any guest may.
    let deadline = Deadline::after(CONFIGURE);
    let call = Call::new(Arc::clone(stage), Phase::Configure { touched: false }, deadline);
    let mut store = call::store(sandbox.engine(), call);
    let _running = sandbox.run_clock();
    let configured = async {
        let instance = pre.instantiate_async(&mut store).await?;
        let guest = indices.load(&mut store, &instance)?;
        Ok((instance, guest.call_configure(&mut store, config).await?))
    };
    let configured = tokio::time::timeout_at(deadline.instant().into(), configured).await;
    match configured.unwrap_or_else(|_| Err(crate::failure::Stop::Expired.into())) {
        Ok((instance, Ok(()))) => Ok((store, instance)),
        Ok((_, Err(problems))) => Err(PrepareError::Config(problems.into_iter().map(Problem::from).collect())),
        Err(error) => Err(PrepareError::Configure(classify(&error, &store.data().memory))),
    }
}

/// Reads the state of a configured instance through its accessors. `wasmtime-wizer` expects that this can not fail; so
/// a failure is kept, and the snapshot thrown away.
struct State {
    store: Store<Call>,
    instance: Instance,
    failed: Option<wasmtime::Error>,
}

impl State {
    async fn call<R>(&mut self, instance: &str, function: &str) -> Option<R>
    where
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        if self.failed.is_some() {
            return None;
        }
        match self.try_call(instance, function).await {
            Ok(result) => Some(result),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    async fn try_call<R>(&mut self, instance: &str, function: &str) -> wasmtime::Result<R>
    where
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let missing = || wasmtime::Error::msg(format!("no accessor {function}"));
        let (_, accessors) = self.instance.get_export(&mut self.store, None, instance).ok_or_else(missing)?;
        let (_, function) =
            self.instance.get_export(&mut self.store, Some(&accessors), function).ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut self.store, function)?;
        Ok(function.call_async(&mut self.store, ()).await?.0)
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.call::<WasmList<u8>>(instance, func).await {
            Some(bytes) => contents(bytes.as_le_slice(&self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call::<f32>(instance, func).await.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call::<f64>(instance, func).await.unwrap_or_default().to_bits()
    }
}
