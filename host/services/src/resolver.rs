//! The domain name system, through the servers that the administrator named, or those of the system.
//!
//! Names are looked up as they are: no search list, no hosts file. Answers are kept as long as they say, at most an hour,
//! in a cache that all workers share. One lookup is tried again within its time when a server does not answer.

use crate::metrics::ResolverMetrics;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::{DnsError as ServerError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use prometheus::Registry;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout_at;
use wasmilter_message::{
    deadline::Deadline,
    dns::{Dns, DnsError, MailExchanger},
    judge::BoxFuture,
};

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverSettings {
    /// Recursive name servers, asked over UDP and, for long answers, over TCP. Empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Bound of one lookup, with everything that it takes. The stage's deadline bounds their sum.
    pub timeout: Duration,
    /// Answers that are kept, in number; 0 keeps none.
    pub cache: u64,
}

/// How often a server that does not answer is asked again within one lookup.
const RETRIES: u8 = 2;
/// The longest that an answer is kept, whatever it says.
const LONGEST_KEPT: Duration = Duration::from_secs(3600);
/// No answer has more records than that; what comes after them is dropped. An answer of 64 kB could have some thousands.
const MOST_RECORDS: usize = 256;

/// Asks name servers. Shared by all workers.
pub struct Resolver {
    inner: TokioResolver,
    timeout: Duration,
    metrics: Arc<ResolverMetrics>,
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// No servers were named, and the system's could not be read.
    #[error("name servers of the system (/etc/resolv.conf): {0}")]
    System(String),
    /// The counters are registered already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

impl Resolver {
    /// The resolver, with counters newly registered. To make one anew for a reload, use [`Resolver::with_metrics`].
    ///
    /// # Errors
    /// When the system's settings are needed and can not be read, or the registry has the counters already.
    pub fn new(settings: &ResolverSettings, registry: &Registry) -> Result<Self, ResolverError> {
        Self::with_metrics(settings, &ResolverMetrics::register(registry)?)
    }

    /// The resolver, counted by `metrics`. Begins with an empty cache.
    ///
    /// # Errors
    /// When the system's settings are needed and can not be read.
    pub fn with_metrics(settings: &ResolverSettings, metrics: &Arc<ResolverMetrics>) -> Result<Self, ResolverError> {
        let system = |error: NetError| ResolverError::System(error.to_string());
        let provider = TokioRuntimeProvider::default();
        let mut builder = match settings.servers.as_slice() {
            [] => TokioResolver::builder(provider).map_err(system)?,
            servers => {
                let servers = servers.iter().copied().map(name_server).collect();
                TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider)
            }
        };
        let options = builder.options_mut();
        // Every attempt gets its share of the lookup's time, so that a lost datagram is made up for within it.
        options.timeout = settings.timeout / (u32::from(RETRIES) + 1);
        options.attempts = usize::from(RETRIES);
        options.cache_size = settings.cache;
        options.positive_max_ttl = Some(LONGEST_KEPT);
        options.negative_max_ttl = Some(LONGEST_KEPT);
        // Hosts files are for the machine's own programs: a plugin asks what the world sees.
        options.use_hosts_file = ResolveHosts::Never;
        let inner = builder.build().map_err(system)?;
        Ok(Self { inner, timeout: settings.timeout, metrics: Arc::clone(metrics) })
    }

    /// Runs one lookup within its bounds and counts it.
    async fn counted<T>(
        &self,
        kind: &str,
        deadline: Deadline,
        lookup: impl Future<Output = Result<Vec<T>, DnsError>>,
    ) -> Result<Vec<T>, DnsError> {
        let begun = Instant::now();
        let until = deadline.within(self.timeout).instant();
        let result = timeout_at(until.into(), lookup).await.unwrap_or(Err(DnsError::TimedOut));
        let outcome = match &result {
            Ok(records) if records.is_empty() => "empty",
            Ok(_) => "answered",
            Err(DnsError::TimedOut) => "timed_out",
            Err(_) => "failed",
        };
        self.metrics.queries.with_label_values(&[kind, outcome]).inc();
        self.metrics.duration.with_label_values(&[kind]).observe(begun.elapsed().as_secs_f64());
        result
    }

    /// The records of one kind; none when there are none.
    async fn records<T>(
        &self,
        name: Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, DnsError> {
        match self.inner.lookup(name, kind).await {
            Ok(lookup) => Ok(picked(&lookup, pick)),
            Err(error) => none_or_error(&error).map(|()| Vec::new()),
        }
    }
}

impl Dns for Resolver {
    fn addresses<'a>(&'a self, name: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(self.counted("addresses", deadline, async {
            let name = domain_name(name)?;
            let ask = |kind| self.records(name.clone(), kind, |data| data.ip_addr().map(|address| address.to_string()));
            let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
            match (v4, v6) {
                (Ok(mut v4), Ok(v6)) => {
                    v4.extend(v6);
                    Ok(v4)
                }
                // Servers that fail at AAAA exist; what is known of the other kind is an answer. Nothing is none.
                (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => Ok(some),
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        }))
    }

    fn texts<'a>(&'a self, name: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(self.counted("texts", deadline, async {
            let text = |data: &RData| match data {
                RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
                _ => None,
            };
            self.records(domain_name(name)?, RecordType::TXT, text).await
        }))
    }

    fn mail_exchangers<'a>(
        &'a self,
        name: &'a str,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Vec<MailExchanger>, DnsError>> {
        Box::pin(self.counted("mail_exchangers", deadline, async {
            let exchanger = |data: &RData| match data {
                RData::MX(mx) => Some(MailExchanger { preference: mx.preference, host: host(&mx.exchange) }),
                _ => None,
            };
            let mut exchangers = self.records(domain_name(name)?, RecordType::MX, exchanger).await?;
            exchangers.sort_by(|a, b| (a.preference, &a.host).cmp(&(b.preference, &b.host)));
            Ok(exchangers)
        }))
    }

    fn names<'a>(&'a self, address: &'a str, deadline: Deadline) -> BoxFuture<'a, Result<Vec<String>, DnsError>> {
        Box::pin(self.counted("names", deadline, async {
            let address: IpAddr =
                address.parse().map_err(|_| DnsError::Failed("must be an IPv4 or IPv6 address".to_owned()))?;
            let name = |data: &RData| match data {
                RData::PTR(name) => Some(host(&name.0)),
                _ => None,
            };
            // An IPv4 address that an IPv6 socket saw has its names below in-addr.arpa.
            self.records(Name::from(address.to_canonical()), RecordType::PTR, name).await
        }))
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// The name that a plugin asks for. ASCII is taken as it is (underscores and all), other text is encoded by IDNA.
fn domain_name(text: &str) -> Result<Name, DnsError> {
    let parsed = if text.is_ascii() { Name::from_ascii(text) } else { Name::from_utf8(text) };
    match parsed {
        Ok(mut name) if name.num_labels() > 0 => {
            // Without that, the system's search list would be tried.
            name.set_fqdn(true);
            Ok(name)
        }
        Ok(_) => Err(DnsError::Failed("a domain name must have a label".to_owned())),
        Err(error) => Err(DnsError::Failed(format!("not a domain name: {error}"))),
    }
}

/// A name in an answer, without the final dot. What is not a letter, digit, `-` or `_` comes escaped (`\032`), never raw.
fn host(name: &Name) -> String {
    let mut host = name.to_ascii();
    if host.ends_with('.') {
        host.pop();
    }
    host
}

fn picked<T>(lookup: &Lookup, pick: impl Fn(&RData) -> Option<T>) -> Vec<T> {
    lookup.answers().iter().filter_map(|record| pick(&record.data)).take(MOST_RECORDS).collect()
}

/// Tells "there is none" from "could not find out".
fn none_or_error(error: &NetError) -> Result<(), DnsError> {
    match error {
        NetError::Dns(ServerError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain | ResponseCode::NoError => Ok(()),
            code => Err(DnsError::Failed(format!("the name server answered {code}"))),
        },
        NetError::Dns(ServerError::ResponseCode(code)) => {
            Err(DnsError::Failed(format!("the name server answered {code}")))
        }
        NetError::Timeout => Err(DnsError::TimedOut),
        NetError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Err(DnsError::TimedOut),
        error => Err(DnsError::Failed(format!("asking the name servers: {error}"))),
    }
}

#[cfg(test)]
mod tests;
