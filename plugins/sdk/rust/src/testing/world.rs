//! What surrounds messages in a test: grants, services, names, the store, the clock.

use super::script::{Played, Script};
use crate::{
    Message, ServiceError,
    bindings::wasmilter::policy::{dns::DnsError, store::StoreError},
    source::Source,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    rc::Rc,
    time::Duration,
};

/// 2026-01-01T00:00:00Z
const NEW_YEAR: f64 = 1_767_225_600.0;
const LONGEST_KEY: usize = 512;
const LONGEST_VALUE: usize = 65_536;
const LONGEST_LIFE: u32 = 31_622_400;
const LARGEST_COUNT: u32 = i32::MAX.cast_unsigned();

/// The host as a plugin sees it, in memory. Clones are the same world, so several messages can meet the same store and
/// clock. Without [`World::with_grants`] everything is granted.
#[derive(Clone, Default)]
pub struct World(Rc<Inner>);

struct Inner {
    /// None: everything.
    grants: RefCell<Option<BTreeSet<String>>>,
    services: RefCell<BTreeMap<String, FakeService>>,
    connections: RefCell<Vec<Connection>>,
    records: RefCell<BTreeMap<Question, Result<Vec<String>, DnsError>>>,
    asked: RefCell<BTreeSet<Question>>,
    /// Complain about questions that have no answer.
    strict: Cell<bool>,
    values: RefCell<BTreeMap<String, Entry<Vec<u8>>>>,
    counters: RefCell<BTreeMap<String, Entry<u32>>>,
    now: Cell<f64>,
    complaints: RefCell<Vec<String>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            grants: RefCell::default(),
            services: RefCell::default(),
            connections: RefCell::default(),
            records: RefCell::default(),
            asked: RefCell::default(),
            strict: Cell::default(),
            values: RefCell::default(),
            counters: RefCell::default(),
            now: Cell::new(NEW_YEAR),
            complaints: RefCell::default(),
        }
    }
}

/// What is asked for, in the words of the case format, and of which name.
type Question = (&'static str, String);

struct Entry<T> {
    value: T,
    /// Seconds since 1970.
    until: f64,
}

type Responder = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// What a service does in a test.
enum FakeService {
    /// Answers what was written before the first read.
    Answer(Responder),
    /// Plays one script after the other.
    Scripts(Vec<Script>),
    /// Is a real server at this address.
    Address(String),
    /// Can not be used.
    Broken(ServiceError),
}

enum Connection {
    Fake { service: String, written: Vec<u8>, answer: Option<Vec<u8>>, read: usize },
    Scripted { service: String, played: Played },
    Real(TcpStream),
    Closed,
}

/// To set it up.
impl World {
    /// Everything is granted, nothing is there; the clock shows 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A message in this world, from the bytes of an .eml file; see [`Message::parse`].
    #[must_use]
    pub fn message(&self, eml: &[u8]) -> Message {
        Message::new(Source::parse(eml, self.clone()))
    }

    /// Grants this and nothing else, as `grants = […]` of a stage. Services must be there, too.
    #[must_use]
    pub fn with_grants<G: AsRef<str>>(self, grants: &[G]) -> Self {
        let mut all = BTreeSet::new();
        for grant in grants {
            match grant.as_ref() {
                "body" => all.extend(["text", "attachments", "raw"].map(str::to_owned)),
                grant => drop(all.insert(grant.to_owned())),
            }
        }
        self.0.grants.replace(Some(all));
        self
    }

    /// A service that answers, once, what the plugin wrote before its first read.
    #[must_use]
    pub fn with_service(self, name: &str, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        self.service(name, FakeService::Answer(Box::new(answer)))
    }

    /// A service that is a real server at `address` (`127.0.0.1:3310`).
    #[must_use]
    pub fn with_service_at(self, name: &str, address: &str) -> Self {
        self.service(name, FakeService::Address(address.to_owned()))
    }

    /// A service that can not be opened.
    #[must_use]
    pub fn with_broken_service(self, name: &str, error: ServiceError) -> Self {
        self.service(name, FakeService::Broken(error))
    }

    pub(super) fn with_scripts(self, name: &str, scripts: Vec<Script>) -> Self {
        self.service(name, FakeService::Scripts(scripts))
    }

    fn service(self, name: &str, service: FakeService) -> Self {
        self.0.services.borrow_mut().insert(name.to_owned(), service);
        self
    }

    /// A and AAAA records.
    #[must_use]
    pub fn with_addresses(self, name: &str, addresses: &[&str]) -> Self {
        self.answer("addresses", name, Ok(owned(addresses)))
    }

    /// TXT records.
    #[must_use]
    pub fn with_texts(self, name: &str, texts: &[&str]) -> Self {
        self.answer("texts", name, Ok(owned(texts)))
    }

    /// MX records, each a preference, a space and a host: `"10 mx.example.org"`.
    #[must_use]
    pub fn with_mail_exchangers(self, domain: &str, exchangers: &[&str]) -> Self {
        self.answer("mail_exchangers", domain, Ok(owned(exchangers)))
    }

    /// PTR records of an address.
    #[must_use]
    pub fn with_names(self, address: &str, names: &[&str]) -> Self {
        self.answer("names", address, Ok(owned(names)))
    }

    /// A name that the resolver has no answer for, whatever is asked about it.
    #[must_use]
    pub fn with_failing_name(mut self, name: &str) -> Self {
        for question in ["addresses", "texts", "mail_exchangers", "names"] {
            self = self.answer(question, name, Err(DnsError::TimedOut));
        }
        self
    }

    pub(super) fn answer(self, question: &'static str, name: &str, answer: Result<Vec<String>, DnsError>) -> Self {
        self.0.records.borrow_mut().insert((question, normal(name)), answer);
        self
    }

    /// A value in the store that does not expire.
    #[must_use]
    pub fn with_value(self, key: &str, value: &[u8]) -> Self {
        self.put_value(key, value, f64::INFINITY);
        self
    }

    /// A counter in the store that does not expire.
    #[must_use]
    pub fn with_counter(self, key: &str, value: u32) -> Self {
        self.put_counter(key, value, f64::INFINITY);
        self
    }

    pub(super) fn put_value(&self, key: &str, value: &[u8], seconds: f64) {
        let entry = Entry { value: value.to_vec(), until: self.now() + seconds };
        self.0.values.borrow_mut().insert(key.to_owned(), entry);
    }

    pub(super) fn put_counter(&self, key: &str, value: u32, seconds: f64) {
        self.0.counters.borrow_mut().insert(key.to_owned(), Entry { value, until: self.now() + seconds });
    }

    /// Sets the clock, in seconds since 1970.
    #[must_use]
    pub fn with_now(self, now: f64) -> Self {
        self.0.now.set(now);
        self
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.0.now.set(self.now() + time.as_secs_f64());
    }

    /// What the store has under `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.values().remove(key)
    }

    /// What the counter `key` shows.
    #[must_use]
    pub fn counter(&self, key: &str) -> Option<u32> {
        self.counters().remove(key)
    }

    pub(super) fn values(&self) -> BTreeMap<String, Vec<u8>> {
        self.living(&self.0.values.borrow())
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u32> {
        self.living(&self.0.counters.borrow())
    }

    fn living<T: Clone>(&self, entries: &BTreeMap<String, Entry<T>>) -> BTreeMap<String, T> {
        let living = entries.iter().filter(|(_, entry)| entry.until > self.now());
        living.map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
    }

    /// From now on questions that have no answer are complaints.
    pub(super) fn be_strict(&self) {
        self.0.strict.set(true);
    }

    /// Everything that did not go by the script.
    pub(super) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.0.complaints.borrow().clone();
        for connection in self.0.connections.borrow_mut().iter_mut() {
            if let Connection::Scripted { service, played } = connection {
                complaints.extend(played.complaints().into_iter().map(|what| format!("service {service}: {what}")));
            }
        }
        for (name, service) in self.0.services.borrow().iter() {
            if let FakeService::Scripts(left) = service
                && !left.is_empty()
            {
                complaints.push(format!("service {name}: {} streams were not opened", left.len()));
            }
        }
        if self.0.strict.get() {
            let asked = self.0.asked.borrow();
            let left = self
                .0
                .records
                .borrow()
                .keys()
                .filter(|question| !asked.contains(*question))
                .cloned()
                .collect::<Vec<_>>();
            complaints
                .extend(left.into_iter().map(|(kind, name)| format!("dns: nobody asked for the {kind} of {name}")));
        }
        complaints
    }

    fn complain(&self, what: String) {
        self.0.complaints.borrow_mut().push(what);
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// What plugins call.
impl World {
    /// Whether one of these was granted.
    pub(crate) fn granted(&self, one_of: &[&str]) -> bool {
        self.0.grants.borrow().as_ref().is_none_or(|grants| one_of.iter().any(|grant| grants.contains(*grant)))
    }

    /// Ends the plugin's call when none of these was granted, as the host does.
    pub(crate) fn needs(&self, one_of: &[&str]) {
        assert!(self.granted(one_of), "refused: needs the grant {one_of:?}, which was not given");
    }

    fn needs_store(&self) {
        let granted = self
            .0
            .grants
            .borrow()
            .as_ref()
            .is_none_or(|grants| grants.iter().any(|grant| grant == "store" || grant.starts_with("store:")));
        assert!(granted, "refused: needs the grant [\"store\"], which was not given");
    }

    pub(crate) fn now(&self) -> f64 {
        self.0.now.get()
    }

    pub(crate) fn open(&self, service: &str) -> Result<u32, ServiceError> {
        if !self.granted(&[&format!("service:{service}")]) {
            return Err(ServiceError::Denied);
        }
        let connection = match self.0.services.borrow_mut().get_mut(service) {
            None => return Err(ServiceError::Denied),
            Some(FakeService::Broken(error)) => return Err(error.clone()),
            Some(FakeService::Answer(_)) => {
                Connection::Fake { service: service.to_owned(), written: Vec::new(), answer: None, read: 0 }
            }
            Some(FakeService::Scripts(scripts)) => {
                if scripts.is_empty() {
                    self.complain(format!("service {service}: a stream was opened beyond the script"));
                    return Err(ServiceError::Unreachable("the case has no more streams".to_owned()));
                }
                match scripts.remove(0).play() {
                    Ok(played) => Connection::Scripted { service: service.to_owned(), played },
                    Err(error) => return Err(error),
                }
            }
            Some(FakeService::Address(address)) => {
                let unreachable = |error: std::io::Error| ServiceError::Unreachable(error.to_string());
                let stream = TcpStream::connect(address.as_str()).map_err(unreachable)?;
                stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(unreachable)?;
                Connection::Real(stream)
            }
        };
        let mut connections = self.0.connections.borrow_mut();
        connections.push(connection);
        Ok(u32::try_from(connections.len() - 1).unwrap_or(u32::MAX))
    }

    pub(crate) fn send(&self, connection: u32, bytes: &[u8]) -> Result<(), ServiceError> {
        match self.0.connections.borrow_mut().get_mut(connection as usize) {
            Some(Connection::Fake { written, .. }) => {
                written.extend_from_slice(bytes);
                Ok(())
            }
            Some(Connection::Scripted { played, .. }) => {
                played.write(bytes);
                Ok(())
            }
            Some(Connection::Real(stream)) => stream.write_all(bytes).map_err(|_| ServiceError::Closed),
            Some(Connection::Closed) | None => Err(ServiceError::Closed),
        }
    }

    pub(crate) fn finish(&self, connection: u32) -> Result<(), ServiceError> {
        match self.0.connections.borrow_mut().get_mut(connection as usize) {
            Some(Connection::Fake { .. } | Connection::Scripted { .. }) => Ok(()),
            Some(Connection::Real(stream)) => stream.shutdown(Shutdown::Write).map_err(|_| ServiceError::Closed),
            Some(Connection::Closed) | None => Err(ServiceError::Closed),
        }
    }

    pub(crate) fn receive(&self, connection: u32, max: u32) -> Result<Vec<u8>, ServiceError> {
        // In small pieces, so that nothing relies on getting an answer whole.
        let small = (max as usize).min(7);
        match self.0.connections.borrow_mut().get_mut(connection as usize) {
            Some(Connection::Fake { service, written, answer, read }) => {
                let services = self.0.services.borrow();
                let Some(FakeService::Answer(respond)) = services.get(service) else {
                    return Err(ServiceError::Closed);
                };
                let answer = answer.get_or_insert_with(|| respond(written));
                let end = answer.len().min(*read + small);
                let piece = answer[*read..end].to_vec();
                *read = end;
                Ok(piece)
            }
            Some(Connection::Scripted { played, .. }) => played.read(small),
            Some(Connection::Real(stream)) => {
                let mut buffer = vec![0; max as usize];
                let read = stream.read(&mut buffer).map_err(|_| ServiceError::TimedOut)?;
                buffer.truncate(read);
                Ok(buffer)
            }
            Some(Connection::Closed) | None => Err(ServiceError::Closed),
        }
    }

    pub(crate) fn close(&self, connection: u32) {
        if let Some(connection) = self.0.connections.borrow_mut().get_mut(connection as usize) {
            if let Connection::Scripted { service, played } = connection {
                for what in played.complaints() {
                    self.complain(format!("service {service}: {what}"));
                }
            }
            *connection = Connection::Closed;
        }
    }

    pub(crate) fn records(&self, question: &'static str, name: &str) -> Result<Vec<String>, DnsError> {
        self.needs(&["dns"]);
        let key = (question, normal(name));
        self.0.asked.borrow_mut().insert(key.clone());
        if let Some(answer) = self.0.records.borrow().get(&key) {
            return answer.clone();
        }
        if self.0.strict.get() {
            self.complain(format!("dns: the case does not say the {question} of {}", key.1));
        }
        Ok(Vec::new())
    }

    pub(crate) fn store_get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.needs_store();
        short(key)?;
        Ok(self.value(key))
    }

    pub(crate) fn store_set(&self, key: &str, value: &[u8], seconds: u32) -> Result<(), StoreError> {
        self.needs_store();
        short(key)?;
        if value.len() > LONGEST_VALUE {
            return Err(StoreError::Limit(format!(
                "a value has at most {LONGEST_VALUE} bytes, this one {}",
                value.len()
            )));
        }
        self.put_value(key, value, life(seconds)?);
        Ok(())
    }

    pub(crate) fn store_remove(&self, key: &str) -> Result<(), StoreError> {
        self.needs_store();
        short(key)?;
        self.0.values.borrow_mut().remove(key);
        self.0.counters.borrow_mut().remove(key);
        Ok(())
    }

    pub(crate) fn store_add(&self, key: &str, amount: u32, seconds: u32) -> Result<u32, StoreError> {
        self.needs_store();
        short(key)?;
        let old = self.counter(key);
        let value = old.unwrap_or(0).saturating_add(amount).min(LARGEST_COUNT);
        match old {
            _ if amount == 0 => {}
            Some(_) => {
                if let Some(entry) = self.0.counters.borrow_mut().get_mut(key) {
                    entry.value = value;
                }
            }
            None => self.put_counter(key, value, life(seconds)?),
        }
        Ok(value)
    }
}

fn short(key: &str) -> Result<(), StoreError> {
    if key.len() > LONGEST_KEY {
        return Err(StoreError::Limit(format!("a key has at most {LONGEST_KEY} bytes, this one {}", key.len())));
    }
    Ok(())
}

fn life(seconds: u32) -> Result<f64, StoreError> {
    if !(1..=LONGEST_LIFE).contains(&seconds) {
        return Err(StoreError::Limit(format!("entries live for 1 to {LONGEST_LIFE} seconds, not {seconds}")));
    }
    Ok(f64::from(seconds))
}
