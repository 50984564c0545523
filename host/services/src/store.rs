//! What plugins remember from one message to the next: values and counters that expire.
//!
//! **One thread owns the database.** Workers send it operations and wait without blocking; it performs all that have
//! come, in one transaction, and answers. So operations are atomic, no arbiter ever waits for a disk, and many operations at
//! once cost hardly more than one. An operation that is still waiting at its caller's deadline fails.
//!
//! **The file** is a redb database. Table `entries`: (space, kind, key) → (time of expiry, content), where the kind is 0 for
//! a value and 1 for a counter (four bytes, little endian). Table `expiry`: (time of expiry, space, kind, key), the same
//! entries in the order in which they go. Times are milliseconds since 1970, by the system's clock. Another layout would get
//! tables of other names. The file keeps the size that it once had; what was freed is used again.
//!
//! **What a crash can lose.** An operation is answered when its transaction is in memory and in the database's own order;
//! every transaction is complete or absent. The disk has it at most a second and one write to the disk later, and when the
//! store is dropped. `kill -9`, a panic or a power cut therefore lose at most the last second of operations (plus the time
//! that the disk takes), never older ones, and never half of one. Who needs more than that must not use this store.
//!
//! **When the disk fails** (full, read errors) the operations at hand fail, and the file is opened again, at most once a
//! second, until that works. It goes on as it was last written.

use crate::metrics::StoreMetrics;
use prometheus::Registry;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
    backends::{FileBackend, InMemoryBackend},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{timeout, timeout_at},
};
use wasmilter_message::{
    deadline::Deadline,
    judge::BoxFuture,
    store::{Store, StoreError},
};

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where the store is kept. None: in memory, and gone when the process ends.
    pub file: Option<PathBuf>,
    /// Values and counters of all stages together; who wants to add one more is refused until some expire.
    pub entries: u64,
}

/// Milliseconds since 1970; tests have their own.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Longest key, in bytes; `wit/host.wit` promises it, as it does the next two.
const LONGEST_KEY: usize = 512;
/// Longest value, in bytes.
const LONGEST_VALUE: usize = 65_536;
/// Longest life, in seconds: a leap year.
const LONGEST_LIFE: u32 = 31_622_400;
/// Where counters stop: 2³¹ − 1.
const HIGHEST_COUNT: u32 = i32::MAX.unsigned_abs();
/// Operations that wait for the thread; who comes then waits for room until its deadline.
const QUEUE: usize = 1024;
/// Operations in one transaction.
const BATCH: usize = 256;
/// How often the disk is brought up to date, expired entries are looked for, and a file that failed is opened again.
const PERIOD: Duration = Duration::from_secs(1);
/// Expired entries that are removed at a time; operations that came meanwhile go first.
const SWEEP: usize = 512;
/// Expired entries that are removed on the spot to make room for a new one.
const MAKE_ROOM: usize = 8;
/// Memory for pages of the file, in bytes.
const CACHE: usize = 16 << 20;

type EntryKey = (&'static str, u8, &'static str);
type ExpiryKey = (u64, &'static str, u8, &'static str);
const ENTRIES: TableDefinition<EntryKey, (u64, &[u8])> = TableDefinition::new("entries");
const EXPIRY: TableDefinition<ExpiryKey, ()> = TableDefinition::new("expiry");

/// The kind of a value in the tables.
const VALUE: u8 = 0;
/// The kind of a counter in the tables.
const COUNTER: u8 = 1;

/// The store. One object serves all workers and outlives reloads: a reload changes its limit by
/// [`KeyValueStore::set_entries`], and opens another one (by [`KeyValueStore::with_metrics`]) only for another file.
/// Dropping it waits until everything is on disk.
pub struct KeyValueStore {
    file: Option<PathBuf>,
    entries: Arc<AtomicU64>,
    metrics: Arc<StoreMetrics>,
    /// None only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    keeper: Option<thread::JoinHandle<()>>,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// The file can not be created, opened or written.
    #[error("store {file}: {error}", file = file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process, such as a daemon that runs, has the file open.
    #[error("store {file}: another process has it open", file = .0.display())]
    InUse(PathBuf),
    /// It is no store, or a damaged one.
    #[error(
        "store {file}: damaged, or not a store of Wasmilter ({detail}); move it away to begin with an empty one",
        file = file.display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What was found.
        detail: String,
    },
    /// No thread.
    #[error("starting the store's thread: {0}")]
    Thread(io::Error),
    /// The counters are registered already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

impl KeyValueStore {
    /// Opens the store, with counters newly registered. To open another one for a reload, use
    /// [`KeyValueStore::with_metrics`].
    ///
    /// # Errors
    /// When the file can not be used, or the registry has the counters already.
    pub fn new(settings: &StoreSettings, registry: &Registry) -> Result<Self, StoreOpenError> {
        Self::with_metrics(settings, &StoreMetrics::register(registry)?)
    }

    /// Opens the store, counted by `metrics`.
    ///
    /// # Errors
    /// When the file can not be used.
    pub fn with_metrics(settings: &StoreSettings, metrics: &Arc<StoreMetrics>) -> Result<Self, StoreOpenError> {
        let since_1970 = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::with_clock(
            settings,
            metrics,
            Arc::new(move || u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// Opens the store with a clock of the caller's.
    ///
    /// # Errors
    /// When the file can not be used.
    pub fn with_clock(
        settings: &StoreSettings,
        metrics: &Arc<StoreMetrics>,
        clock: Clock,
    ) -> Result<Self, StoreOpenError> {
        let entries = Arc::new(AtomicU64::new(settings.entries));
        let keeper = Keeper {
            database: Some(open(settings.file.as_deref())?),
            file: settings.file.clone(),
            most_entries: Arc::clone(&entries),
            clock,
            metrics: Arc::clone(metrics),
            unsynced: false,
            housekeeping: Instant::now(),
        };
        let (requests, received) = mpsc::channel(QUEUE);
        let timers = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let timers = timers.map_err(StoreOpenError::Thread)?;
        let keeper = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || timers.block_on(keeper.run(received)))
            .map_err(StoreOpenError::Thread)?;
        Ok(Self {
            file: settings.file.clone(),
            entries,
            metrics: Arc::clone(metrics),
            requests: Some(requests),
            keeper: Some(keeper),
        })
    }

    /// The file it is kept in; None: in memory.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Changes how many entries there may be. Entries beyond that stay until they expire.
    pub fn set_entries(&self, entries: u64) {
        self.entries.store(entries, Ordering::Relaxed);
    }

    /// One operation, from its checks to its count.
    async fn perform(&self, operation: Result<Operation, StoreError>, name: &str, deadline: Deadline) -> Answer {
        let answer = match operation {
            Ok(operation) => self.ask(operation, deadline).await,
            Err(refused) => Err(refused),
        };
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(StoreError::Limit(_)) => "limit",
            Err(StoreError::Unavailable(_)) => "unavailable",
        };
        self.metrics.operations.with_label_values(&[name, outcome]).inc();
        answer
    }

    async fn ask(&self, operation: Operation, deadline: Deadline) -> Answer {
        let gone = || StoreError::Unavailable("the store has stopped".to_owned());
        let conversation = async {
            let (reply, answer) = oneshot::channel();
            let requests = self.requests.as_ref().ok_or_else(gone)?;
            requests.send(Request { operation, reply }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        let too_late = || StoreError::Unavailable("no answer of the store in time".to_owned());
        timeout_at(deadline.instant().into(), conversation).await.unwrap_or_else(|_| Err(too_late()))
    }
}

impl Drop for KeyValueStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the store's thread ended in a panic");
        }
    }
}

impl Store for KeyValueStore {
    fn get<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let operation = entry(space, key).map(Operation::Get);
            match self.perform(operation, "get", deadline).await? {
                Done::Value(value) => Ok(value),
                Done::Nothing | Done::Count(_) => Ok(None),
            }
        })
    }

    fn set<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        value: &'a [u8],
        seconds: u32,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let operation = || {
                if value.len() > LONGEST_VALUE {
                    let length = value.len();
                    return Err(StoreError::Limit(format!("value of {length} bytes, at most {LONGEST_VALUE}")));
                }
                Ok(Operation::Set(entry(space, key)?, value.to_vec(), life(seconds)?))
            };
            self.perform(operation(), "set", deadline).await.map(|_| ())
        })
    }

    fn remove<'a>(&'a self, space: &'a str, key: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let operation = entry(space, key).map(Operation::Remove);
            self.perform(operation, "remove", deadline).await.map(|_| ())
        })
    }

    fn add<'a>(
        &'a self,
        space: &'a str,
        key: &'a str,
        amount: u32,
        seconds: u32,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<u32, StoreError>> {
        Box::pin(async move {
            let operation = || {
                // Reading makes no counter, so that its life does not matter.
                let life = if amount == 0 { Duration::ZERO } else { life(seconds)? };
                Ok(Operation::Add(entry(space, key)?, amount, life))
            };
            match self.perform(operation(), "add", deadline).await? {
                Done::Count(count) => Ok(count),
                Done::Nothing | Done::Value(_) => Ok(0),
            }
        })
    }
}

fn entry(space: &str, key: &str) -> Result<Entry, StoreError> {
    match key.len() {
        0..=LONGEST_KEY => Ok(Entry { space: space.to_owned(), key: key.to_owned() }),
        length => Err(StoreError::Limit(format!("key of {length} bytes, at most {LONGEST_KEY}"))),
    }
}

fn life(seconds: u32) -> Result<Duration, StoreError> {
    match seconds {
        1..=LONGEST_LIFE => Ok(Duration::from_secs(seconds.into())),
        _ => Err(StoreError::Limit(format!("life of {seconds} seconds, must be 1 to {LONGEST_LIFE}"))),
    }
}

struct Request {
    operation: Operation,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Done, StoreError>;

struct Entry {
    space: String,
    key: String,
}

impl Entry {
    fn of(&self, kind: u8) -> (&str, u8, &str) {
        (&self.space, kind, &self.key)
    }
}

enum Operation {
    Get(Entry),
    Set(Entry, Vec<u8>, Duration),
    Remove(Entry),
    Add(Entry, u32, Duration),
    #[cfg(test)]
    Housekeeping,
    #[cfg(test)]
    Fail,
}

enum Done {
    Nothing,
    Value(Option<Vec<u8>>),
    Count(u32),
}

/// The thread that owns the database.
struct Keeper {
    /// None after a failure, until it could be opened again.
    database: Option<Database>,
    file: Option<PathBuf>,
    most_entries: Arc<AtomicU64>,
    clock: Clock,
    metrics: Arc<StoreMetrics>,
    /// There are transactions that the disk may not have.
    unsynced: bool,
    /// When it is due next.
    housekeeping: Instant,
}

impl Keeper {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.keep_house();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let idle = self.housekeeping.saturating_duration_since(Instant::now());
            let received = timeout(idle, requests.recv_many(&mut batch, BATCH)).await;
            if received == Ok(0) {
                break;
            }
            self.perform(&mut batch);
            if self.housekeeping <= Instant::now() {
                self.keep_house();
            }
        }
        // What expired goes at the next start; the rest must be on disk.
        let _logged = self.guarded(Self::sync);
    }

    /// All operations in one transaction, then their answers.
    fn perform(&mut self, batch: &mut Vec<Request>) {
        // Nobody waits for these any more, and who gave up was told that they failed.
        batch.retain(|request| !request.reply.is_closed());
        #[cfg(test)]
        if batch.iter().any(|request| matches!(request.operation, Operation::Housekeeping)) {
            self.keep_house();
        }
        if batch.is_empty() {
            return;
        }
        let answers = self.guarded(|keeper| keeper.transaction(batch));
        match answers {
            Ok(answers) => {
                for (request, answer) in batch.drain(..).zip(answers) {
                    // Who has gone meanwhile does not need it.
                    let _gone = request.reply.send(answer);
                }
            }
            Err(error) => {
                for request in batch.drain(..) {
                    let _gone = request.reply.send(Err(StoreError::Unavailable(error.clone())));
                }
            }
        }
    }

    /// Runs `work`; when that fails or panics (redb panics at damaged pages), the database is given up until
    /// housekeeping opens it again.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, redb::Error>) -> Result<T, String> {
        let failed = match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "damaged".to_owned(),
        };
        if self.database.take().is_some() {
            tracing::error!(file = ?self.file, error = failed, "the store failed");
        }
        Err(format!("the store can not be read or written: {failed}"))
    }

    fn transaction(&mut self, batch: &[Request]) -> Result<Vec<Answer>, redb::Error> {
        let now = (self.clock)();
        if batch.iter().all(|request| matches!(request.operation, Operation::Get(_))) {
            let entries = self.database()?.begin_read()?.open_table(ENTRIES)?;
            return batch.iter().map(|request| get(&entries, &request.operation, now)).collect();
        }
        let mut transaction = self.database()?.begin_write()?;
        transaction.set_durability(Durability::None)?;
        let answers = {
            let mut tables = Tables::open(&transaction, now)?;
            let most = self.most_entries.load(Ordering::Relaxed);
            let answers: Result<_, redb::Error> =
                batch.iter().map(|request| tables.perform(&request.operation, most)).collect();
            self.count(&tables)?;
            answers?
        };
        transaction.commit()?;
        self.unsynced = true;
        Ok(answers)
    }

    /// Opens the file again where that is needed, removes expired entries, brings the disk up to date.
    fn keep_house(&mut self) {
        let begun = Instant::now();
        self.housekeeping = begun.checked_add(PERIOD).unwrap_or(begun);
        if self.database.is_none() {
            match open(self.file.as_deref()) {
                Ok(database) => {
                    tracing::info!(file = ?self.file, "the store works again");
                    self.database = Some(database);
                    self.unsynced = false;
                }
                Err(error) => return tracing::error!(%error, "the store still fails"),
            }
        }
        // A failure is in the log, and the next second tries again.
        if let Ok(SWEEP) = self.guarded(Self::sweep) {
            // There may be more. What the workers want goes first.
            self.housekeeping = begun;
        }
        let _logged = self.guarded(Self::sync);
    }

    /// Removes expired entries, a limited number of them; says how many.
    fn sweep(&mut self) -> Result<usize, redb::Error> {
        let now = (self.clock)();
        let due = self.database()?.begin_read()?.open_table(EXPIRY)?;
        let due = due.first()?.is_some_and(|(key, _)| key.value().0 <= now);
        let mut transaction = match due {
            true => self.database()?.begin_write()?,
            false => return Ok(0),
        };
        transaction.set_durability(Durability::None)?;
        let removed = {
            let mut tables = Tables::open(&transaction, now)?;
            let removed = tables.remove_expired(SWEEP)?;
            self.count(&tables)?;
            removed
        };
        transaction.commit()?;
        self.unsynced = true;
        self.metrics.expired.inc_by(u64::try_from(removed).unwrap_or(u64::MAX));
        Ok(removed)
    }

    /// Brings the disk up to date.
    fn sync(&mut self) -> Result<(), redb::Error> {
        if !self.unsynced {
            return Ok(());
        }
        let begun = Instant::now();
        let mut transaction = self.database()?.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // Otherwise the next start after a crash would read the whole file before anything else.
        transaction.set_quick_repair(true);
        transaction.commit()?;
        self.unsynced = false;
        self.metrics.sync.observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn count(&self, tables: &Tables) -> Result<(), redb::Error> {
        self.metrics.entries.set(i64::try_from(tables.entries.len()?).unwrap_or(i64::MAX));
        Ok(())
    }

    fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }
}

/// Both tables in one transaction that writes.
struct Tables<'t> {
    now: u64,
    entries: Table<'t, EntryKey, (u64, &'static [u8])>,
    expiry: Table<'t, ExpiryKey, ()>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction, now: u64) -> Result<Self, redb::Error> {
        Ok(Self { now, entries: transaction.open_table(ENTRIES)?, expiry: transaction.open_table(EXPIRY)? })
    }

    fn perform(&mut self, operation: &Operation, most_entries: u64) -> Result<Answer, redb::Error> {
        match operation {
            Operation::Get(_) => get(&self.entries, operation, self.now),
            Operation::Set(entry, value, life) => {
                let answer = self.put(entry.of(VALUE), value, self.expires(*life), most_entries)?;
                Ok(answer.map(|()| Done::Nothing))
            }
            Operation::Remove(entry) => {
                self.take(entry.of(VALUE))?;
                self.take(entry.of(COUNTER))?;
                Ok(Ok(Done::Nothing))
            }
            Operation::Add(entry, amount, life) => self.add(entry, *amount, *life, most_entries),
            #[cfg(test)]
            Operation::Housekeeping => Ok(Ok(Done::Nothing)),
            #[cfg(test)]
            Operation::Fail => Err(redb::Error::PreviousIo),
        }
    }

    fn add(&mut self, entry: &Entry, amount: u32, life: Duration, most_entries: u64) -> Result<Answer, redb::Error> {
        let found = self.entries.get(entry.of(COUNTER))?.and_then(|found| {
            let (expires, count) = found.value();
            (expires > self.now).then(|| (expires, count.try_into().map_or(0, u32::from_le_bytes)))
        });
        let (expires, before) = found.unwrap_or_else(|| (self.expires(life), 0));
        let count = before.saturating_add(amount).min(HIGHEST_COUNT);
        if amount == 0 {
            return Ok(Ok(Done::Count(count)));
        }
        let answer = self.put(entry.of(COUNTER), &count.to_le_bytes(), expires, most_entries)?;
        Ok(answer.map(|()| Done::Count(count)))
    }

    /// Writes an entry; refused when it is a new one and there are too many.
    fn put(
        &mut self,
        key: (&str, u8, &str),
        content: &[u8],
        expires: u64,
        most_entries: u64,
    ) -> Result<Result<(), StoreError>, redb::Error> {
        let there = self.take(key)?;
        if !there && self.entries.len()? >= most_entries {
            self.remove_expired(MAKE_ROOM)?;
            if self.entries.len()? >= most_entries {
                return Ok(Err(StoreError::Limit(format!("the store has {most_entries} entries, its most"))));
            }
        }
        self.entries.insert(key, (expires, content))?;
        self.expiry.insert((expires, key.0, key.1, key.2), ())?;
        Ok(Ok(()))
    }

    /// Removes an entry; says whether it was there.
    fn take(&mut self, key: (&str, u8, &str)) -> Result<bool, redb::Error> {
        let expires = self.entries.remove(key)?.map(|entry| entry.value().0);
        if let Some(expires) = expires {
            self.expiry.remove((expires, key.0, key.1, key.2))?;
        }
        Ok(expires.is_some())
    }

    /// Removes at most that many entries that have expired; says how many.
    fn remove_expired(&mut self, most: usize) -> Result<usize, redb::Error> {
        for removed in 0..most {
            match self.expiry.first()? {
                Some((key, _)) if key.value().0 <= self.now => {}
                _ => return Ok(removed),
            }
            if let Some((key, _)) = self.expiry.pop_first()? {
                let (_, space, kind, key) = key.value();
                self.entries.remove((space, kind, key))?;
            }
        }
        Ok(most)
    }

    fn expires(&self, life: Duration) -> u64 {
        self.now.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The value that a `Get` asks for.
fn get(
    entries: &impl ReadableTable<EntryKey, (u64, &'static [u8])>,
    operation: &Operation,
    now: u64,
) -> Result<Answer, redb::Error> {
    let Operation::Get(entry) = operation else { return Ok(Ok(Done::Nothing)) };
    let value = entries.get(entry.of(VALUE))?.and_then(|found| {
        let (expires, value) = found.value();
        (expires > now).then(|| value.to_vec())
    });
    Ok(Ok(Done::Value(value)))
}

/// Opens or creates the database, and the tables in it.
fn open(file: Option<&Path>) -> Result<Database, StoreOpenError> {
    let Some(path) = file else {
        let database = Builder::new().set_cache_size(CACHE).create_with_backend(InMemoryBackend::new());
        let database = database.map_err(redb::Error::from);
        let database = database.and_then(|database| with_tables(&database).map(|()| database));
        return database.map_err(|error| open_error(Path::new("in memory"), error));
    };
    let failed = |error| StoreOpenError::File { file: path.to_owned(), error };
    // What plugins remember is about people: for the daemon's user only.
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let opened = opened.map_err(failed)?;
    let is_new = opened.metadata().map_err(failed)?.len() == 0;
    let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Database, redb::Error> {
        let database = Builder::new().set_cache_size(CACHE).create_with_backend(FileBackend::new(opened)?)?;
        with_tables(&database)?;
        Ok(database)
    }));
    let database = match opened {
        Ok(database) => database.map_err(|error| open_error(path, error))?,
        Err(_) => {
            return Err(StoreOpenError::Damaged { file: path.to_owned(), detail: "it is inconsistent".to_owned() });
        }
    };
    if is_new && let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        // The file's name is in the directory, which has to reach the disk, too.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(database)
}

/// Makes the tables where there are none, and looks whether those that are there have the right types.
fn with_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(EXPIRY)?;
    transaction.commit()?;
    Ok(())
}

fn open_error(file: &Path, error: redb::Error) -> StoreOpenError {
    let file = file.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => StoreOpenError::InUse(file),
        redb::Error::Io(error)
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreOpenError::File { file, error }
        }
        error => StoreOpenError::Damaged { file, detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
