//! What it costs that a guest can be interrupted: the same code, compiled without any check, with epoch checks (as the sandbox has them)
//! and with fuel, measured in turns within one run. Time is the thread's processor time, so that a busy machine matters
//! little; every number is the median of the ratios of neighbouring measurements.
//!
//! `cargo bench -p wasmilter-wasm --profile dev --bench interruption`: what is measured is Cranelift's code, which does not depend on
//! the host's own profile. Needs the test guests (`cargo xtask plugins`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement for people"
)]

use nix::time::{ClockId, clock_gettime};
use std::{path::PathBuf, time::Duration};
use wasmtime::{
    Config, Engine, Store,
    component::{Component, ComponentType, Lift, Linker},
};

/// Loops, calls and memory by themselves: `run` takes how often.
const KERNELS: &str = r#"(module
  (memory 16)
  (func (export "empty loop") (param $n i32) (result i32)
    (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $n))
  (func $fib (export "recursive calls") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
                     (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func (export "sum of bytes") (param $n i32) (result i32) (local $at i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.and (local.get $at) (i32.const 0xfffff)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))"#;

const ROUNDS: usize = 41;

#[derive(Clone, Copy, PartialEq)]
enum Check {
    Nothing,
    Epoch,
    Fuel,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Problem {
    path: String,
    message: String,
}

fn main() {
    println!("| code | without | epoch | fuel |\n|---|---|---|---|");
    for (name, argument) in [("empty loop", 20_000_000), ("recursive calls", 27), ("sum of bytes", 10_000_000)] {
        report(name, |check| kernel(check, name, argument));
    }
    report("a plugin's `configure`: 300 kB of JSON, in Rust", configure);
}

/// Measures in turns: without, epoch, fuel, without, …
fn report(name: &str, measured: impl Fn(Check) -> Box<dyn FnMut() -> Duration>) {
    let [mut without, mut epoch, mut fuel] = [Check::Nothing, Check::Epoch, Check::Fuel].map(measured);
    let (mut times, mut with_epoch, mut with_fuel) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let base = without();
        let (epoch, fuel) = (epoch(), fuel());
        // The first is for the caches.
        if round > 0 {
            times.push(base.as_secs_f64() * 1000.0);
            with_epoch.push(epoch.as_secs_f64() / base.as_secs_f64());
            with_fuel.push(fuel.as_secs_f64() / base.as_secs_f64());
        }
    }
    let percent = |ratios| (median(ratios) - 1.0) * 100.0;
    println!("| {name} | {:.2} ms | {:+.1} % | {:+.1} % |", median(times), percent(with_epoch), percent(with_fuel));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn engine(check: Check) -> Engine {
    let mut config = Config::new();
    config.epoch_interruption(check == Check::Epoch).consume_fuel(check == Check::Fuel);
    Engine::new(&config).unwrap()
}

fn store(engine: &Engine, check: Check) -> Store<()> {
    let mut store = Store::new(engine, ());
    match check {
        Check::Nothing => {}
        Check::Epoch => store.set_epoch_deadline(1),
        Check::Fuel => store.set_fuel(u64::MAX).unwrap(),
    }
    store
}

fn kernel(check: Check, name: &str, argument: i32) -> Box<dyn FnMut() -> Duration> {
    let engine = engine(check);
    let module = wasmtime::Module::new(&engine, wat::parse_str(KERNELS).unwrap()).unwrap();
    let mut store = store(&engine, check);
    let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
    Box::new(move || {
        timed(|| {
            std::hint::black_box(run.call(&mut store, argument).unwrap());
        })
    })
}

/// A guest reads its configuration, a large one: allocation, UTF-8, maps, as in any plugin.
fn configure(check: Check) -> Box<dyn FnMut() -> Duration> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/scripted.wasm");
    assert!(path.exists(), "{} is missing: run `cargo xtask plugins`", path.display());
    let engine = engine(check);
    let component = Component::from_file(&engine, path).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let pre = linker.instantiate_pre(&component).unwrap();
    let lifecycle = component.get_export_index(None, "wasmilter:policy/lifecycle@1.0.0").unwrap();
    let configure = component.get_export_index(Some(&lifecycle), "configure").unwrap();
    let facts: serde_json::Map<String, serde_json::Value> =
        (0..8000).map(|number| (format!("fact_{number}"), format!("value \"{number}\" of many").into())).collect();
    let config = serde_json::json!({"facts": facts}).to_string();
    assert!(config.len() > 250_000);
    Box::new(move || {
        let mut store = store(&engine, check);
        let instance = pre.instantiate(&mut store).unwrap();
        let configure = instance.get_typed_func::<(&str,), (Result<(), Vec<Problem>>,)>(&mut store, configure).unwrap();
        timed(|| {
            let (result,) = configure.call(&mut store, (&config,)).unwrap();
            let wrong = result
                .err()
                .map(|problems| problems.iter().map(|p| format!("{} {}", p.path, p.message)).collect::<String>());
            assert_eq!(wrong, None);
        })
    })
}

fn timed(work: impl FnOnce()) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let start = now();
    work();
    now() - start
}
