//! What was promised: atomic, expiring, bounded, kept. Time is the test's own.

#![allow(clippy::print_stderr, reason = "a child process tells its parent; a measurement tells who asked for it")]

use super::*;
use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Barrier,
};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(20);

/// A store whose clock stands still until a test moves it.
struct Fixture {
    store: KeyValueStore,
    now: Arc<AtomicU64>,
}

impl Fixture {
    fn new(file: Option<PathBuf>, entries: u64) -> Self {
        let now = Arc::new(AtomicU64::new(1_000_000));
        let clock = Arc::clone(&now);
        let metrics = StoreMetrics::register(&Registry::new()).expect("a new registry");
        let settings = StoreSettings { file, entries };
        let clock: Clock = Arc::new(move || clock.load(Ordering::SeqCst));
        Self { store: KeyValueStore::with_clock(&settings, &metrics, clock).expect("a store"), now }
    }

    fn in_memory() -> Self {
        Self::new(None, 1000)
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.store.get("stage", key, soon()).await.expect("a store that works")
    }

    async fn set(&self, key: &str, value: &[u8], seconds: u32) {
        self.store.set("stage", key, value, seconds, soon()).await.expect("a store that works");
    }

    async fn add(&self, key: &str, amount: u32, seconds: u32) -> u32 {
        self.store.add("stage", key, amount, seconds, soon()).await.expect("a store that works")
    }

    async fn keep_house(&self) {
        self.store.ask(Operation::Housekeeping, soon()).await.expect("a store that works");
    }

    fn count(&self, operation: &str, outcome: &str) -> u64 {
        self.store.metrics.operations.with_label_values(&[operation, outcome]).get()
    }
}

fn soon() -> Deadline {
    Deadline::after(LONG)
}

#[tokio::test]
async fn values_are_set_replaced_and_removed() {
    let fixture = Fixture::in_memory();
    assert_eq!(fixture.get("key").await, None);
    fixture.set("key", b"one", 60).await;
    fixture.set("key", b"\0\xff", 60).await;
    fixture.set("", b"", 60).await;
    assert_eq!(fixture.get("key").await.as_deref(), Some(&b"\0\xff"[..]));
    assert_eq!(fixture.get("").await.as_deref(), Some(&b""[..]));
    for _ in 0..2 {
        fixture.store.remove("stage", "key", soon()).await.expect("it need not exist");
        assert_eq!(fixture.get("key").await, None);
    }
    assert_eq!((fixture.count("get", "ok"), fixture.count("set", "ok"), fixture.count("remove", "ok")), (5, 3, 2));
}

#[tokio::test]
async fn values_live_from_the_last_set() {
    let fixture = Fixture::in_memory();
    fixture.set("key", b"one", 10).await;
    fixture.pass(9);
    assert!(fixture.get("key").await.is_some());
    fixture.set("key", b"two", 10).await;
    fixture.pass(9);
    assert!(fixture.get("key").await.is_some());
    fixture.pass(1);
    assert_eq!(fixture.get("key").await, None, "ten seconds after the last");
}

#[tokio::test]
async fn counters_are_a_fixed_window() {
    let fixture = Fixture::in_memory();
    assert_eq!(fixture.add("key", 0, 0).await, 0);
    assert_eq!(fixture.store.metrics.entries.get(), 0, "reading makes none");
    assert_eq!(fixture.add("key", 2, 10).await, 2);
    fixture.pass(9);
    assert_eq!(fixture.add("key", 1, 100).await, 3, "a later life does not count");
    assert_eq!(fixture.add("key", 0, 0).await, 3);
    fixture.pass(1);
    assert_eq!(fixture.add("key", 0, 0).await, 0, "gone");
    assert_eq!(fixture.add("key", 5, 10).await, 5, "a new window");
    fixture.pass(9);
    assert_eq!(fixture.add("key", 0, 0).await, 5);
}

#[tokio::test]
async fn counters_stop_at_their_end() {
    let fixture = Fixture::in_memory();
    assert_eq!(fixture.add("key", u32::MAX, 10).await, 2_147_483_647);
    assert_eq!(fixture.add("key", 1, 10).await, 2_147_483_647);
}

#[tokio::test]
async fn values_counters_and_spaces_are_separate() {
    let fixture = Fixture::in_memory();
    fixture.set("key", b"value", 60).await;
    fixture.add("key", 7, 60).await;
    assert_eq!(fixture.store.metrics.entries.get(), 2);
    for space in [":stage", "stag", "stagek", ""] {
        assert_eq!(fixture.store.get(space, "key", soon()).await, Ok(None), "{space}");
        assert_eq!(fixture.store.add(space, "key", 0, 60, soon()).await, Ok(0), "{space}");
        fixture.store.remove(space, "key", soon()).await.expect("it need not exist");
    }
    assert_eq!(fixture.get("key").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(fixture.add("key", 0, 60).await, 7);
    fixture.store.remove("stage", "key", soon()).await.expect("both");
    assert_eq!((fixture.get("key").await, fixture.add("key", 0, 60).await), (None, 0));
    assert_eq!(fixture.store.metrics.entries.get(), 0);
}

#[tokio::test]
async fn limits_from_both_sides() {
    let fixture = Fixture::in_memory();
    let store = &fixture.store;
    let (key, value) = ("k".repeat(512), vec![1; 65_536]);
    assert_eq!(store.set("stage", &key, &value, 31_622_400, soon()).await, Ok(()));
    assert_eq!(store.get("stage", &key, soon()).await, Ok(Some(value.clone())));
    let longer = "k".repeat(513);
    let limit = |text: &str| StoreError::Limit(text.to_owned());
    let long_key = limit("key of 513 bytes, at most 512");
    assert_eq!(store.set("stage", &longer, b"", 1, soon()).await, Err(long_key.clone()));
    assert_eq!(store.get("stage", &longer, soon()).await, Err(long_key.clone()));
    assert_eq!(store.remove("stage", &longer, soon()).await, Err(long_key.clone()));
    assert_eq!(store.add("stage", &longer, 1, 1, soon()).await, Err(long_key));
    let long_value = limit("value of 65537 bytes, at most 65536");
    assert_eq!(store.set("stage", "k", &vec![1; 65_537], 1, soon()).await, Err(long_value));
    for seconds in [0, 31_622_401, u32::MAX] {
        let wrong = limit(&format!("life of {seconds} seconds, must be 1 to 31622400"));
        assert_eq!(store.set("stage", "k", b"", seconds, soon()).await, Err(wrong.clone()));
        assert_eq!(store.add("stage", "k", 1, seconds, soon()).await, Err(wrong));
    }
    assert_eq!(fixture.count("set", "limit"), 5);
    assert_eq!(store.metrics.entries.get(), 1);
}

#[tokio::test]
async fn entries_are_bounded_until_some_expire() {
    let fixture = Fixture::new(None, 3);
    fixture.set("a", b"", 10).await;
    fixture.set("b", b"", 20).await;
    fixture.add("a", 1, 20).await;
    let full = Err(StoreError::Limit("the store has 3 entries, its most".to_owned()));
    assert_eq!(fixture.store.set("other", "c", b"", 10, soon()).await, full);
    assert_eq!(fixture.store.add("other", "c", 1, 10, soon()).await.map(|_| ()), full);
    // What is there can be changed and read.
    fixture.set("a", b"changed", 10).await;
    assert_eq!(fixture.add("a", 1, 20).await, 2);
    assert_eq!(fixture.add("c", 0, 20).await, 0);
    fixture.pass(10);
    // The expired one makes room at once, without housekeeping.
    fixture.set("c", b"", 10).await;
    assert_eq!(fixture.store.set("other", "d", b"", 10, soon()).await, full);
    fixture.store.set_entries(4);
    assert_eq!(fixture.store.set("other", "d", b"", 10, soon()).await, Ok(()));
    fixture.store.set_entries(1);
    assert!(fixture.store.set("other", "e", b"", 10, soon()).await.is_err());
    assert_eq!(fixture.get("b").await.as_deref(), Some(&b""[..]), "nothing is thrown away");
}

#[tokio::test]
async fn expired_entries_go_in_the_background_in_steps() {
    let fixture = Fixture::new(None, 100_000);
    for n in 0..SWEEP + 100 {
        fixture.set(&n.to_string(), b"x", 10).await;
    }
    fixture.set("stays", b"x", 1000).await;
    let entries = || fixture.store.metrics.entries.get();
    assert_eq!(entries(), SWEEP as i64 + 101);
    fixture.pass(10);
    fixture.keep_house().await;
    assert!(entries() <= 101, "{}", entries());
    fixture.keep_house().await;
    assert_eq!(entries(), 1);
    assert_eq!(fixture.store.metrics.expired.get(), SWEEP as u64 + 100);
    assert!(fixture.get("stays").await.is_some());
}

#[test]
fn adding_from_many_threads_loses_nothing() {
    let fixture = Fixture::in_memory();
    let (threads, each) = (8, 200);
    let begin = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                begin.wait();
                let mut last = 0;
                for _ in 0..each {
                    let now = runtime.block_on(fixture.add("key", 1, 60));
                    assert!(now > last, "{now} after {last}");
                    last = now;
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    assert_eq!(runtime.block_on(fixture.add("key", 0, 60)) as usize, threads * each);
}

#[tokio::test]
async fn what_is_too_late_is_not_done() {
    let fixture = Fixture::in_memory();
    let passed = Deadline::at(Instant::now());
    // One of both happens: not sent at all, or sent and given up before it was performed.
    let Err(StoreError::Unavailable(text)) = fixture.store.add("stage", "key", 1, 60, passed).await else {
        return assert_eq!(fixture.add("key", 0, 60).await, 1, "answered in no time");
    };
    assert_eq!(text, "no answer of the store in time");
    assert_eq!(fixture.count("add", "unavailable"), 1);
}

#[tokio::test]
async fn a_file_keeps_what_was_written() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("store");
    let fixture = Fixture::new(Some(file.clone()), 100);
    fixture.set("key", b"value", 100).await;
    fixture.add("key", 3, 10).await;
    drop(fixture);
    let fixture = Fixture::new(Some(file.clone()), 100);
    fixture.pass(9);
    assert_eq!(fixture.get("key").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(fixture.add("key", 0, 0).await, 3);
    fixture.pass(1);
    assert_eq!(fixture.add("key", 0, 0).await, 0, "its life went on");
    assert_eq!(fixture.store.file(), Some(&*file));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn the_file_is_whole_at_any_moment() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("store");
    let copy = directory.path().join("copy");
    let fixture = Fixture::new(Some(file.clone()), 100_000);
    for n in 1..=20_u32 {
        for m in 0..50 {
            fixture.set(&format!("{n} {m}"), &vec![7; 1000], 100).await;
        }
        let synced = n % 5 == 0;
        if synced {
            fixture.keep_house().await;
        }
        // What another process would find if this one ended here.
        std::fs::copy(&file, &copy).expect("a copy");
        let found = Fixture::new(Some(copy.clone()), 100_000);
        for earlier in 1..=n / 5 * 5 {
            for m in 0..50 {
                let value = found.get(&format!("{earlier} {m}")).await;
                assert!(value.is_some_and(|value| value == [7; 1000]), "{earlier} {m}, copied after {n}");
            }
        }
    }
}

/// Run by [`killing_loses_at_most_the_last_second`] in a process of its own: counts and tells how far it is.
#[test]
fn child_that_counts() {
    let Ok(file) = env::var("WASMILTER_TEST_STORE") else { return };
    let fixture = Fixture::new(Some(file.into()), 100);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    loop {
        // Standard error is not kept by the test harness, and not buffered.
        eprintln!("{}", runtime.block_on(fixture.add("key", 1, 100_000)));
    }
}

#[tokio::test]
async fn killing_loses_at_most_the_last_second() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("store");
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "store::tests::child_that_counts", "--nocapture"])
        .env("WASMILTER_TEST_STORE", &file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let told: Vec<(Instant, u32)> = lines
        .map(|line| (Instant::now(), line.expect("text")))
        .filter_map(|(when, line)| Some((when, line.parse().ok()?)))
        .scan(None, |first, (when, count): (Instant, u32)| {
            let first = *first.get_or_insert(when);
            (when - first < Duration::from_millis(4500)).then_some((when, count))
        })
        .collect();
    child.kill().expect("a process that runs");
    child.wait().expect("a process that ends");
    let (end, last) = *told.last().expect("it counted");
    // One second, and generously what the disk and this machine take.
    let before = told.iter().rev().find(|(when, _)| end - *when > Duration::from_millis(2500));
    let (_, at_least) = *before.expect("it counted for longer");
    let fixture = Fixture::new(Some(file), 100);
    let found = fixture.add("key", 0, 0).await;
    assert!(found >= at_least, "{found} of {last}, at least {at_least}");
}

#[test]
fn files_that_are_no_stores() {
    let directory = TempDir::new().expect("a directory");
    let metrics = StoreMetrics::register(&Registry::new()).expect("a new registry");
    let open = |file: &Path| {
        let settings = StoreSettings { file: Some(file.to_owned()), entries: 1 };
        KeyValueStore::with_metrics(&settings, &metrics).map(|_| ())
    };
    let garbage = directory.path().join("garbage");
    for bytes in [&b"x"[..], &[0; 100], &[b'x'; 100_000]] {
        std::fs::write(&garbage, bytes).expect("a file");
        let error = open(&garbage).expect_err("garbage");
        assert!(matches!(error, StoreOpenError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("move it away"), "{error}");
    }
    let none = directory.path().join("none/store");
    let error = open(&none).expect_err("no directory");
    assert!(matches!(error, StoreOpenError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("none/store: No such file"), "{error}");
    assert!(matches!(open(directory.path()), Err(StoreOpenError::File { .. })), "a directory");

    let file = directory.path().join("store");
    let settings = StoreSettings { file: Some(file.clone()), entries: 1 };
    let first = KeyValueStore::with_metrics(&settings, &metrics).expect("a store");
    assert!(matches!(open(&file), Err(StoreOpenError::InUse(_))), "two at once");
    drop(first);
    open(&file).expect("one after the other");
}

#[tokio::test]
async fn damage_inside_is_an_error_and_never_a_panic() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("store");
    let fixture = Fixture::new(Some(file.clone()), 10_000);
    for n in 0..500 {
        fixture.set(&n.to_string(), &[7; 200], 100).await;
    }
    drop(fixture);
    let whole = std::fs::read(&file).expect("a file");
    let metrics = StoreMetrics::register(&Registry::new()).expect("a new registry");
    let settings = StoreSettings { file: Some(file.clone()), entries: 10_000 };
    let mut failed = 0;
    for at in (0..whole.len()).step_by(whole.len() / 64) {
        let mut damaged = whole.clone();
        let end = (at + 64).min(damaged.len());
        damaged[at..end].fill(0xa5);
        std::fs::write(&file, damaged).expect("a file");
        match KeyValueStore::with_clock(&settings, &metrics, Arc::new(|| 1_000_000)) {
            Err(error) => failed += usize::from(error.to_string().contains("move it away")),
            Ok(store) => {
                for n in 0..500 {
                    match store.get("stage", &n.to_string(), soon()).await {
                        Ok(_) => {}
                        Err(StoreError::Unavailable(_)) => failed += 1,
                        Err(limit) => panic!("{limit}"),
                    }
                }
            }
        }
    }
    assert!(failed > 0, "some of it was damaged");
}

#[tokio::test]
async fn a_store_that_failed_is_opened_again() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("store");
    let fixture = Fixture::new(Some(file.clone()), 100);
    fixture.set("key", b"value", 100).await;
    fixture.keep_house().await;
    fixture.store.ask(Operation::Fail, soon()).await.map(|_| ()).expect_err("as wanted");
    let error = fixture.store.get("stage", "key", soon()).await;
    assert!(matches!(error, Ok(Some(_)) | Err(StoreError::Unavailable(_))), "{error:?}");
    fixture.keep_house().await;
    assert_eq!(fixture.get("key").await.as_deref(), Some(&b"value"[..]));
}

#[test]
fn counters_of_operations_have_their_names() {
    let registry = Registry::new();
    let settings = StoreSettings { file: None, entries: 1 };
    let _store = KeyValueStore::new(&settings, &registry).expect("a store");
    let names: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    let expected = [
        "wasmilter_store_entries",
        "wasmilter_store_expired_total",
        "wasmilter_store_operations_total",
        "wasmilter_store_sync_duration_seconds",
    ];
    assert_eq!(names, expected);
    assert!(matches!(KeyValueStore::new(&settings, &registry), Err(StoreOpenError::Metrics(_))));
}

/// `cargo test -p wasmilter-services --release -- --ignored --nocapture how_long`: what an operation costs.
#[test]
#[ignore = "measures"]
fn how_long_operations_take() {
    let directory = TempDir::new().expect("a directory");
    for file in [None, Some(directory.path().join("store"))] {
        for threads in [1, 16] {
            let fixture = Fixture::new(file.clone(), 10_000_000);
            let mut times: Vec<Duration> = thread::scope(|scope| {
                let working: Vec<_> = (0..threads)
                    .map(|thread| {
                        let fixture = &fixture;
                        scope.spawn(move || {
                            let runtime =
                                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                            (0..20_000 / threads)
                                .map(|n| {
                                    let begun = Instant::now();
                                    runtime.block_on(fixture.add(&format!("{thread} {}", n % 1000), 1, 60));
                                    begun.elapsed()
                                })
                                .collect::<Vec<_>>()
                        })
                    })
                    .collect();
                working.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
            });
            times.sort();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            eprintln!(
                "{} threads, {}: median {:?}, 99 % {:?}, worst {:?}",
                threads,
                if file.is_some() { "file" } else { "memory" },
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
}
