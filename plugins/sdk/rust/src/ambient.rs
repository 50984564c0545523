//! Where a message comes from in the sandbox: the imports of the contract. `testing/source.rs` is its double. One plain
//! function each and no trait, so that a plugin imports only what it uses.

use crate::{
    Address, ClientInfo, FactValue, MailExchanger, Mailbox, PartInfo, ServiceError,
    bindings::wasmilter::policy::{
        client, clock, dns, dns::DnsError, envelope, facts, headers, log as host_log, output, parts, random, raw,
        services, store, store::StoreError, types::HeaderField,
    },
};

/// The most that the host gives in one call.
pub(crate) const LARGEST_READ: u32 = 65_536;

pub(crate) struct Source;

pub(crate) fn log(level: host_log::Level, message: &str) {
    host_log::write(level, message);
}

impl Source {
    pub(crate) fn client(&self) -> ClientInfo {
        client::get()
    }

    pub(crate) fn connected(&self) -> ClientInfo {
        client::connected()
    }

    pub(crate) fn sender(&self) -> Mailbox {
        envelope::sender()
    }

    pub(crate) fn recipients(&self) -> Vec<Mailbox> {
        envelope::recipients()
    }

    pub(crate) fn queue_id(&self) -> String {
        envelope::queue_id()
    }

    pub(crate) fn headers(&self) -> Vec<HeaderField> {
        headers::all()
    }

    pub(crate) fn header_count(&self, name: &str) -> u32 {
        headers::count(name)
    }

    pub(crate) fn header(&self, name: &str) -> Vec<HeaderField> {
        headers::get(name)
    }

    pub(crate) fn header_text(&self, name: &str) -> Vec<String> {
        headers::text(name)
    }

    pub(crate) fn addresses(&self, name: &str) -> Vec<Address> {
        headers::addresses(name)
    }

    pub(crate) fn parts(&self) -> Vec<PartInfo> {
        parts::all()
    }

    pub(crate) fn part_headers(&self, part: u32) -> Vec<HeaderField> {
        parts::header_fields(part)
    }

    pub(crate) fn part_size(&self, part: u32) -> u32 {
        parts::size(part)
    }

    pub(crate) fn part_text(&self, part: u32, limit: u32) -> String {
        parts::text(part, limit)
    }

    pub(crate) fn read_part(&self, part: u32, offset: u32, length: u32) -> Vec<u8> {
        parts::read(part, offset, length)
    }

    pub(crate) fn read_entity(&self, part: u32, offset: u32, length: u32) -> Vec<u8> {
        parts::read_entity(part, offset, length)
    }

    pub(crate) fn raw_size(&self) -> u32 {
        raw::size()
    }

    pub(crate) fn read_raw(&self, offset: u32, length: u32) -> Vec<u8> {
        raw::read(offset, length)
    }

    pub(crate) fn fact(&self, name: &str) -> Option<FactValue> {
        facts::get(name)
    }

    pub(crate) fn open(&self, service: &str) -> Result<u32, ServiceError> {
        services::open(service)
    }

    pub(crate) fn send(&self, connection: u32, bytes: &[u8]) -> Result<(), ServiceError> {
        services::write(connection, bytes)
    }

    pub(crate) fn finish(&self, connection: u32) -> Result<(), ServiceError> {
        services::finish(connection)
    }

    pub(crate) fn receive(&self, connection: u32, max: u32) -> Result<Vec<u8>, ServiceError> {
        services::read(connection, max)
    }

    pub(crate) fn close(&self, connection: u32) {
        services::close(connection);
    }

    pub(crate) fn create_blob(&self) -> u32 {
        output::create()
    }

    pub(crate) fn append(&self, blob: u32, bytes: &[u8]) {
        output::append(blob, bytes);
    }

    pub(crate) fn append_entity(&self, blob: u32, part: u32) {
        output::append_entity(blob, part);
    }

    pub(crate) fn now(&self) -> f64 {
        clock::now()
    }

    pub(crate) fn random(&self, length: u32) -> Vec<u8> {
        random::bytes(length)
    }

    pub(crate) fn dns_addresses(&self, name: &str) -> Result<Vec<String>, DnsError> {
        dns::addresses(name)
    }

    pub(crate) fn dns_texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        dns::texts(name)
    }

    pub(crate) fn dns_mail_exchangers(&self, name: &str) -> Result<Vec<MailExchanger>, DnsError> {
        dns::mail_exchangers(name)
    }

    pub(crate) fn dns_names(&self, address: &str) -> Result<Vec<String>, DnsError> {
        dns::names(address)
    }

    pub(crate) fn store_get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        store::get(key)
    }

    pub(crate) fn store_set(&self, key: &str, value: &[u8], seconds: u32) -> Result<(), StoreError> {
        store::set(key, value, seconds)
    }

    pub(crate) fn store_remove(&self, key: &str) -> Result<(), StoreError> {
        store::remove(key)
    }

    pub(crate) fn store_add(&self, key: &str, amount: u32, seconds: u32) -> Result<u32, StoreError> {
        store::add(key, amount, seconds)
    }
}
