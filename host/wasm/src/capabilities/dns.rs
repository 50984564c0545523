//! `dns`: the domain name system. Linked only with the grant `dns`. What stands behind it caches and bounds every question
//! in time; counting is done here.

use crate::{bindings::wasmilter::policy::dns, call::Call, failure::one_line};
use dns::DnsError;
use std::sync::Arc;
use wasmilter_message::{
    dns::{self as outside, Dns},
    limit::Limit,
    turn,
};

/// Longest name in its textual form (RFC 1035 §2.3.4), with room for escapes.
const NAME: usize = 1024;

impl dns::Host for Call {
    async fn addresses(&mut self, name: String) -> wasmtime::Result<Result<Vec<String>, DnsError>> {
        let resolver = match self.ask(&name)? {
            Ok(resolver) => resolver,
            Err(error) => return Ok(Err(error)),
        };
        Ok(turn::outside(resolver.addresses(&name, self.deadline)).await.map_err(told))
    }

    async fn texts(&mut self, name: String) -> wasmtime::Result<Result<Vec<String>, DnsError>> {
        let resolver = match self.ask(&name)? {
            Ok(resolver) => resolver,
            Err(error) => return Ok(Err(error)),
        };
        Ok(turn::outside(resolver.texts(&name, self.deadline)).await.map_err(told))
    }

    async fn mail_exchangers(&mut self, name: String) -> wasmtime::Result<Result<Vec<dns::MailExchanger>, DnsError>> {
        let resolver = match self.ask(&name)? {
            Ok(resolver) => resolver,
            Err(error) => return Ok(Err(error)),
        };
        let found = turn::outside(resolver.mail_exchangers(&name, self.deadline)).await;
        let seen = |found: outside::MailExchanger| dns::MailExchanger {
            preference: u32::from(found.preference),
            host: found.host,
        };
        Ok(found.map(|found| found.into_iter().map(seen).collect()).map_err(told))
    }

    async fn names(&mut self, address: String) -> wasmtime::Result<Result<Vec<String>, DnsError>> {
        let resolver = match self.ask(&address)? {
            Ok(resolver) => resolver,
            Err(error) => return Ok(Err(error)),
        };
        Ok(turn::outside(resolver.names(&address, self.deadline)).await.map_err(told))
    }
}

impl Call {
    /// Counts a question, and gives who answers it.
    fn ask(&mut self, name: &str) -> wasmtime::Result<Result<Arc<dyn Dns>, DnsError>> {
        self.charge()?;
        let limit = self.stage.limits.dns_queries;
        self.usage.dns_queries = self.usage.dns_queries.saturating_add(1);
        if self.usage.dns_queries > limit {
            self.refuse(Limit::DnsQueries);
            return Ok(Err(DnsError::Limit(format!("{limit} questions"))));
        }
        if name.len() > NAME {
            return Ok(Err(DnsError::Failed(format!("a name of {} bytes is no domain name", name.len()))));
        }
        Ok(Ok(Arc::clone(&self.stage.outside.dns)))
    }
}

fn told(error: outside::DnsError) -> DnsError {
    match error {
        outside::DnsError::TimedOut => DnsError::TimedOut,
        outside::DnsError::Failed(reason) => DnsError::Failed(one_line(&reason)),
        outside::DnsError::Limit(what) => DnsError::Limit(what),
    }
}
