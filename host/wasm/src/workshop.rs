//! Where components are compiled, described, configured and snapshot: a thread of its own, so that it does not matter
//! whether the caller is inside an async runtime, and so that a panic in a compiler is an error and not the end.

use std::{future::Future, thread};

/// Stack of the thread. Compilers recurse.
const STACK: usize = 16 << 20;

/// Runs `work` on a thread of its own and waits for it.
///
/// # Errors
/// When the thread could not be started or `work` panicked, in words.
pub(crate) fn run<T, F>(work: impl FnOnce() -> F + Send) -> Result<T, String>
where
    F: Future<Output = T>,
    T: Send,
{
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("sandbox-workshop".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                runtime.map(|runtime| runtime.block_on(work()))
            })
            .map_err(|error| format!("starting a thread: {error}"))?;
        match worker.join() {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(format!("starting a runtime: {error}")),
            Err(panic) => Err(format!("panicked: {}", words(panic.as_ref()))),
        }
    })
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
