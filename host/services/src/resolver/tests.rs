//! Against a real name server on loopback, over UDP and TCP, that answers as each test wants.

use super::*;
use hickory_proto::{
    op::{Message, OpCode, Query},
    rr::{
        Record,
        rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT},
    },
};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// What the server says to a question: bytes, or nothing.
type Behaviour = Box<dyn Fn(&Message, &Query, Over) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq)]
enum Over {
    Udp,
    Tcp,
}

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(behave: impl Fn(&Message, &Query, Over) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let behave: Arc<Behaviour> = Arc::new(Box::new(behave));
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = tcp.local_addr().expect("bound");
        let udp = UdpSocket::bind(address).await.expect("the same port");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = {
            let (behave, asked) = (Arc::clone(&behave), Arc::clone(&asked));
            move |bytes: &[u8], over| {
                let message = Message::from_vec(bytes).expect("a question");
                let question = message.queries.first().expect("a question").clone();
                let line = format!("{} {}", question.query_type(), question.name().to_ascii());
                asked.lock().expect("no panic").push(line);
                behave(&message, &question, over)
            }
        };
        let over_udp = answer.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.expect("a datagram");
                if let Some(bytes) = over_udp(&buffer[..length], Over::Udp) {
                    udp.send_to(&bytes, from).await.expect("sent");
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut bytes = vec![0; length.into()];
                        stream.read_exact(&mut bytes).await.expect("a question");
                        if let Some(bytes) = answer(&bytes, Over::Tcp) {
                            stream.write_u16(bytes.len().try_into().expect("short")).await.expect("sent");
                            stream.write_all(&bytes).await.expect("sent");
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// A server with these records, which follows no CNAME; anything else does not exist.
    async fn with(records: Vec<Record>) -> Self {
        Self::start(move |message, question, _| {
            let answers: Vec<_> = records
                .iter()
                .filter(|record| {
                    record.name == *question.name()
                        && [question.query_type(), RecordType::CNAME].contains(&record.record_type())
                })
                .cloned()
                .collect();
            let exists = records.iter().any(|record| record.name == *question.name());
            let mut response = response(message);
            if !exists {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            response.add_answers(answers);
            Some(response.to_vec().expect("an answer"))
        })
        .await
    }

    fn resolver(&self, timeout: Duration) -> Resolver {
        let settings = ResolverSettings { servers: vec![self.address], timeout, cache: 100 };
        Resolver::new(&settings, &Registry::new()).expect("a resolver")
    }

    fn questions(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }
}

fn response(to: &Message) -> Message {
    let mut response = Message::response(to.metadata.id, OpCode::Query);
    response.add_queries(to.queries.clone());
    response.metadata.recursion_available = true;
    response
}

fn named(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(named(name), 60, data)
}

fn a(name: &str, address: [u8; 4]) -> Record {
    record(name, RData::A(A(address.into())))
}

fn soon() -> Deadline {
    Deadline::after(LONG)
}

fn count(resolver: &Resolver, kind: &str, outcome: &str) -> u64 {
    resolver.metrics.queries.with_label_values(&[kind, outcome]).get()
}

#[tokio::test]
async fn addresses_of_both_kinds_behind_aliases() {
    let server = Server::with(vec![
        record("www.example.org.", RData::CNAME(CNAME(named("web.example.net.")))),
        record("web.example.net.", RData::CNAME(CNAME(named("host.example.net.")))),
        a("host.example.net.", [192, 0, 2, 7]),
        a("host.example.net.", [192, 0, 2, 8]),
        record("host.example.net.", RData::AAAA(AAAA("2001:db8::7".parse().expect("an address")))),
    ])
    .await;
    let resolver = server.resolver(LONG);
    for name in ["www.example.org", "www.example.org.", "host.example.net"] {
        let addresses = resolver.addresses(name, soon()).await.expect("an answer");
        assert_eq!(addresses, ["192.0.2.7", "192.0.2.8", "2001:db8::7"], "{name}");
    }
    assert_eq!(count(&resolver, "addresses", "answered"), 3);
}

#[tokio::test]
async fn answers_are_kept() {
    let server = Server::with(vec![a("host.example.net.", [192, 0, 2, 7])]).await;
    let resolver = server.resolver(LONG);
    resolver.addresses("host.example.net", soon()).await.expect("an answer");
    let first = server.questions();
    resolver.addresses("HOST.example.net.", soon()).await.expect("an answer");
    // IPv6 has no records and no SOA that says how long that holds: asked again.
    assert!(server.questions() <= first + 1, "{:?}", server.asked);
}

#[tokio::test]
async fn texts_are_joined() {
    let server = Server::with(vec![
        record("example.org.", RData::TXT(TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()]))),
        record("_dmarc.example.org.", RData::TXT(TXT::from_bytes(vec![b"caf\xe9", b"\0"]))),
    ])
    .await;
    let resolver = server.resolver(LONG);
    assert_eq!(resolver.texts("example.org", soon()).await, Ok(vec!["v=spf1 -all".to_owned()]));
    assert_eq!(resolver.texts("_dmarc.example.org", soon()).await, Ok(vec!["caf\u{fffd}\0".to_owned()]));
    assert_eq!(resolver.addresses("example.org", soon()).await, Ok(vec![]), "of another kind");
}

#[tokio::test]
async fn mail_exchangers_by_preference_and_none() {
    let mx = |name, preference, host| record(name, RData::MX(MX::new(preference, named(host))));
    let server = Server::with(vec![
        mx("example.org.", 20, "mx2.example.org."),
        mx("example.org.", 5, "mx1.example.org."),
        mx("null.example.org.", 0, "."),
    ])
    .await;
    let resolver = server.resolver(LONG);
    let exchanger = |preference, host: &str| MailExchanger { preference, host: host.to_owned() };
    let found = resolver.mail_exchangers("example.org", soon()).await;
    assert_eq!(found, Ok(vec![exchanger(5, "mx1.example.org"), exchanger(20, "mx2.example.org")]));
    assert_eq!(resolver.mail_exchangers("null.example.org", soon()).await, Ok(vec![exchanger(0, "")]));
}

#[tokio::test]
async fn names_of_addresses() {
    let server = Server::with(vec![
        record("7.2.0.192.in-addr.arpa.", RData::PTR(PTR(named("host.example.net.")))),
        record(
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
            RData::PTR(PTR(named("six.example.net."))),
        ),
    ])
    .await;
    let resolver = server.resolver(LONG);
    for (address, name) in [
        ("192.0.2.7", "host.example.net"),
        ("::ffff:192.0.2.7", "host.example.net"),
        ("2001:db8::7", "six.example.net"),
    ] {
        assert_eq!(resolver.names(address, soon()).await, Ok(vec![name.to_owned()]), "{address}");
    }
    assert_eq!(resolver.names("192.0.2.8", soon()).await, Ok(vec![]));
    for wrong in ["host.example.net", "192.0.2", "", "[2001:db8::7]"] {
        assert!(matches!(resolver.names(wrong, soon()).await, Err(DnsError::Failed(_))), "{wrong}");
    }
}

#[tokio::test]
async fn no_such_name_is_an_empty_list() {
    let server = Server::with(vec![a("host.example.net.", [192, 0, 2, 7])]).await;
    let resolver = server.resolver(LONG);
    assert_eq!(resolver.addresses("none.example.net", soon()).await, Ok(vec![]));
    assert_eq!(resolver.texts("none.example.net", soon()).await, Ok(vec![]));
    assert_eq!(resolver.texts("host.example.net", soon()).await, Ok(vec![]), "no data");
    assert_eq!(resolver.mail_exchangers("host.example.net", soon()).await, Ok(vec![]));
    // Looked up as they are: no search list, which could make an answer of another name.
    assert_eq!(resolver.addresses("host", soon()).await, Ok(vec![]));
    let asked = server.asked.lock().expect("no panic").clone();
    assert!(
        asked.iter().all(|question| !question.contains("host.")
            || question.ends_with("host.example.net.")
            || question.ends_with(" host.")),
        "{asked:?}"
    );
    assert_eq!(count(&resolver, "texts", "empty"), 2);
}

#[tokio::test]
async fn servers_that_fail_are_no_answer() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp, ResponseCode::FormErr] {
        let server = Server::start(move |message, _, _| {
            let mut response = response(message);
            response.metadata.response_code = code;
            Some(response.to_vec().expect("an answer"))
        })
        .await;
        let resolver = server.resolver(Duration::from_secs(3));
        let Err(DnsError::Failed(text)) = resolver.texts("example.org", soon()).await else {
            panic!("{code} is no answer")
        };
        assert!(text.contains(&code.to_string()), "{text}");
        assert!(matches!(resolver.addresses("example.org", soon()).await, Err(DnsError::Failed(_))));
        assert_eq!(count(&resolver, "texts", "failed"), 1);
    }
}

#[tokio::test]
async fn one_kind_of_address_is_enough_but_none_of_half_is_no_answer() {
    let server = Server::start(|message, question, _| {
        let mut response = response(message);
        match question.query_type() {
            RecordType::AAAA => response.metadata.response_code = ResponseCode::ServFail,
            _ if question.name() == &named("has.example.org.") => {
                response.add_answer(a("has.example.org.", [192, 0, 2, 7]));
            }
            _ => {}
        }
        Some(response.to_vec().expect("an answer"))
    })
    .await;
    let resolver = server.resolver(Duration::from_secs(3));
    assert_eq!(resolver.addresses("has.example.org", soon()).await, Ok(vec!["192.0.2.7".to_owned()]));
    assert!(matches!(resolver.addresses("none.example.org", soon()).await, Err(DnsError::Failed(_))));
}

#[tokio::test]
async fn silence_costs_the_time_limit_or_the_deadline() {
    let server = Server::start(|_, _, _| None).await;
    let resolver = server.resolver(SHORT);
    let begun = Instant::now();
    assert_eq!(resolver.texts("example.org", soon()).await, Err(DnsError::TimedOut));
    assert!(begun.elapsed() < LONG / 4, "{:?}", begun.elapsed());
    let resolver = server.resolver(LONG);
    let begun = Instant::now();
    assert_eq!(resolver.addresses("example.org", Deadline::after(SHORT)).await, Err(DnsError::TimedOut));
    assert!(begun.elapsed() < LONG / 4, "{:?}", begun.elapsed());
    assert_eq!(count(&resolver, "addresses", "timed_out"), 1);
}

#[tokio::test]
async fn a_lost_datagram_is_made_up_for() {
    let lost = AtomicUsize::new(0);
    let server = Server::start(move |message, question, _| {
        if lost.fetch_add(1, Ordering::SeqCst) == 0 {
            return None;
        }
        let mut response = response(message);
        response.add_answer(Record::from_rdata(question.name().clone(), 60, RData::TXT(TXT::new(vec!["x".into()]))));
        Some(response.to_vec().expect("an answer"))
    })
    .await;
    let resolver = server.resolver(Duration::from_secs(3));
    assert_eq!(resolver.texts("example.org", soon()).await, Ok(vec!["x".to_owned()]));
}

#[tokio::test]
async fn nobody_listens() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    drop(socket);
    let settings = ResolverSettings { servers: vec![address], timeout: Duration::from_secs(2), cache: 0 };
    let resolver = Resolver::new(&settings, &Registry::new()).expect("a resolver");
    assert!(resolver.texts("example.org", soon()).await.is_err());
}

#[tokio::test]
async fn long_answers_come_over_tcp_and_are_bounded() {
    let server = Server::start(|message, question, over| {
        let mut response = response(message);
        match over {
            Over::Udp => response.metadata.truncation = true,
            Over::Tcp => {
                let many = (0..1000_u16).map(|n| a("many.example.org.", [10, 0, (n >> 8) as u8, n as u8]));
                if question.query_type() == RecordType::A {
                    response.add_answers(many);
                }
            }
        }
        Some(response.to_vec().expect("an answer"))
    })
    .await;
    let resolver = server.resolver(Duration::from_secs(5));
    let addresses = resolver.addresses("many.example.org", soon()).await.expect("an answer");
    assert_eq!(addresses.len(), MOST_RECORDS);
}

#[tokio::test]
async fn names_that_are_none() {
    let server = Server::with(vec![]).await;
    let resolver = server.resolver(LONG);
    let long_label = format!("{}.example.org", "x".repeat(64));
    let long_name = "x.".repeat(200);
    for wrong in [
        "",
        ".",
        "..",
        "a..b",
        ".example.org",
        &long_label,
        &long_name,
        "\\",
        "\u{200d}.example",
        "a b.org",
        "x\r\ny.org",
    ] {
        let answer = resolver.addresses(wrong, soon()).await;
        assert!(matches!(answer, Err(DnsError::Failed(_))), "{wrong:?}: {answer:?}");
    }
    assert_eq!(server.questions(), 0);
    // These are strange, but can be asked.
    for strange in ["_x._tcp.example.org", "a_b.example.org", "*.example.org", "192.0.2.1", "bücher.example"] {
        let answer = resolver.texts(strange, soon()).await;
        assert_eq!(answer, Ok(vec![]), "{strange:?}");
    }
    let asked = server.asked.lock().expect("no panic").clone();
    assert!(asked.contains(&"TXT xn--bcher-kva.example.".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn hostile_names_in_answers_come_escaped() {
    let evil = Name::from_labels([&b"ev\r\nil"[..], b"a b.c\0", b"org"]).expect("a name");
    let server = Server::start(move |message, question, _| {
        let mut response = response(message);
        let data = match question.query_type() {
            RecordType::MX => RData::MX(MX::new(1, evil.clone())),
            _ => RData::PTR(PTR(evil.clone())),
        };
        response.add_answer(Record::from_rdata(question.name().clone(), 60, data));
        Some(response.to_vec().expect("an answer"))
    })
    .await;
    let resolver = server.resolver(LONG);
    let names = resolver.names("192.0.2.1", soon()).await.expect("an answer");
    let hosts = resolver.mail_exchangers("example.org", soon()).await.expect("an answer");
    for host in [&names[0], &hosts[0].host] {
        assert!(host.bytes().all(|byte| byte.is_ascii_graphic()), "{host:?}");
        assert!(host.ends_with(".org") && host.starts_with("ev\\01"), "{host:?}");
    }
}

#[tokio::test]
async fn hostile_answers_never_become_records() {
    type Answer = fn(&Message, &Query) -> Vec<u8>;
    let hostile: [(&str, Answer); 8] = [
        ("empty datagram", |_, _| Vec::new()),
        ("garbage", |_, _| vec![0xff; 600]),
        ("header only", |message, _| message.to_vec().expect("bytes")[..12].to_vec()),
        ("cut off", |message, question| {
            let mut response = response(message);
            response.add_answer(Record::from_rdata(question.name().clone(), 60, RData::A(A([192, 0, 2, 66].into()))));
            let bytes = response.to_vec().expect("bytes");
            bytes[..bytes.len() - 2].to_vec()
        }),
        ("another id", |message, question| {
            let mut response = response(message);
            response.metadata.id = response.metadata.id.wrapping_add(1);
            response.add_answer(Record::from_rdata(question.name().clone(), 60, RData::A(A([192, 0, 2, 66].into()))));
            response.to_vec().expect("bytes")
        }),
        ("another question", |message, _| {
            let mut response = Message::response(message.metadata.id, OpCode::Query);
            response.add_query(Query::query(named("other.example.org."), RecordType::A));
            response.add_answer(a("other.example.org.", [192, 0, 2, 66]));
            response.to_vec().expect("bytes")
        }),
        ("another name", |message, _| {
            let mut response = response(message);
            response.add_answer(a("other.example.org.", [192, 0, 2, 66]));
            response.to_vec().expect("bytes")
        }),
        ("an alias of itself", |message, question| {
            let mut response = response(message);
            let itself = RData::CNAME(CNAME(question.name().clone()));
            response.add_answer(Record::from_rdata(question.name().clone(), 60, itself));
            response.to_vec().expect("bytes")
        }),
    ];
    for (what, answer) in hostile {
        let server = Server::start(move |message, question, _| Some(answer(message, question))).await;
        let resolver = server.resolver(Duration::from_secs(1));
        let begun = Instant::now();
        match resolver.addresses("example.org", soon()).await {
            Ok(addresses) => assert!(addresses.is_empty(), "{what}: {addresses:?}"),
            Err(DnsError::TimedOut | DnsError::Failed(_)) => {}
            Err(limit) => panic!("{what}: {limit}"),
        }
        assert!(begun.elapsed() < LONG / 2, "{what}: {:?}", begun.elapsed());
        assert!(server.questions() < 100, "{what}: {} questions", server.questions());
    }
}

#[tokio::test]
async fn an_answer_that_is_valid_for_ever_is_kept_for_an_hour() {
    let server = Server::start(|message, question, _| {
        let mut response = response(message);
        let data = RData::TXT(TXT::new(vec!["x".to_owned()]));
        response.add_answer(Record::from_rdata(question.name().clone(), u32::MAX, data));
        Some(response.to_vec().expect("an answer"))
    })
    .await;
    let resolver = server.resolver(LONG);
    let lookup = resolver.inner.lookup("example.org.", RecordType::TXT).await.expect("an answer");
    assert!(lookup.valid_until() <= Instant::now() + LONGEST_KEPT);
}

#[tokio::test]
async fn no_such_name_is_kept_as_long_as_its_zone_says() {
    let server = Server::start(|message, _, _| {
        let mut response = response(message);
        response.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(named("ns.example.org."), named("root.example.org."), 1, 60, 60, 60, 60);
        response.add_authority(record("example.org.", RData::SOA(soa)));
        Some(response.to_vec().expect("an answer"))
    })
    .await;
    let resolver = server.resolver(LONG);
    for _ in 0..3 {
        assert_eq!(resolver.texts("none.example.org", soon()).await, Ok(vec![]));
    }
    assert_eq!(server.questions(), 1);
}

#[test]
fn workers_come_and_go() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let main = runtime();
    let server = main.block_on(Server::with(vec![a("host.example.net.", [192, 0, 2, 7])]));
    let settings = ResolverSettings { servers: vec![server.address], timeout: Duration::from_secs(5), cache: 0 };
    let resolver = Arc::new(Resolver::new(&settings, &Registry::new()).expect("a resolver"));
    for _ in 0..3 {
        let resolver = Arc::clone(&resolver);
        let worker = std::thread::spawn(move || {
            runtime().block_on(async { resolver.addresses("host.example.net", soon()).await })
        });
        main.block_on(async {
            while !worker.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert_eq!(worker.join().expect("no panic"), Ok(vec!["192.0.2.7".to_owned()]));
    }
}

#[test]
fn counters_have_their_names_and_a_reload_keeps_them() {
    let registry = Registry::new();
    let metrics = ResolverMetrics::register(&registry).expect("a new registry");
    let server = "127.0.0.1:53".parse().expect("an address");
    let settings = ResolverSettings { servers: vec![server], timeout: LONG, cache: 1 };
    let _before = Resolver::with_metrics(&settings, &metrics).expect("a resolver");
    let _after = Resolver::with_metrics(&settings, &metrics).expect("a resolver");
    let names: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    assert_eq!(names, ["wasmilter_dns_duration_seconds", "wasmilter_dns_queries_total"]);
}

#[test]
fn the_systems_name_servers_are_read() {
    let settings = ResolverSettings { servers: Vec::new(), timeout: LONG, cache: 1 };
    match Resolver::new(&settings, &Registry::new()) {
        Ok(resolver) => assert_eq!(resolver.timeout, LONG),
        Err(error) => assert!(error.to_string().contains("/etc/resolv.conf"), "{error}"),
    }
}
