//! One case, read from its folder.

use crate::{
    configuration,
    script::{dns::DnsScript, services::ServicesScript, store::StoreScript},
    source::{CaseError, Source},
    transaction::Keys,
};
use bytes::Bytes;
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};
use toml::{Spanned, Value as Toml, value::Datetime};
use wasmilter_message::{
    client::{Authentication, Client, Tls},
    eml,
    envelope::Mailbox,
    facts::{Fact, Facts, Value},
    grants::Grants,
    headers::Field,
};

/// What happens to the plugin: everything but what it must say to that.
#[derive(Debug, Clone)]
pub struct Case {
    name: String,
    folder: PathBuf,
    pub(crate) config: serde_json::Value,
    pub(crate) grants: Grants,
    /// Seconds since 1970.
    pub(crate) now: f64,
    pub(crate) services: ServicesScript,
    pub(crate) dns: DnsScript,
    pub(crate) store: StoreScript,
    pub(crate) calls: Vec<Call>,
}

/// One call of the plugin, or the same one several times.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) ask: Ask,
    pub(crate) client: Client,
    pub(crate) sender: Mailbox,
    pub(crate) recipients: Vec<Mailbox>,
    pub(crate) queue_id: Option<String>,
    pub(crate) facts: Facts,
    /// Seconds that pass before each.
    pub(crate) after: f64,
    pub(crate) times: u32,
}

/// What the plugin is asked.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Message {
        headers: Vec<Field>,
        body: Bytes,
    },
    Connect,
    Helo,
    Mail,
    /// About the last recipient.
    Rcpt,
}

/// What the clock shows when the case does not say: 2026-01-01T00:00:00Z.
const NOW: f64 = 1_767_225_600.0;

/// The most often that one call may be made.
const MOST_TIMES: u32 = 10_000;

/// The folders of a folder of cases, by name; those that begin with a dot are none.
///
/// # Errors
/// When it can not be read.
pub fn find(directory: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let unreadable = |error| CaseError::of(directory, format!("can not be read: {error}"));
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

impl Case {
    /// Reads a case, but for `expected.toml`.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn load(folder: &Path) -> Result<Self, CaseError> {
        if !folder.is_dir() {
            return Err(CaseError::of(folder, "is no folder"));
        }
        let source = Source::read_or_empty(folder.join("transaction.toml"))?;
        let mut keys: Keys = source.parse()?;
        if let Some((name, span)) = keys.of_a_call_only() {
            return Err(source.wrong(&span, format!("`{name}` belongs to a [[call]]")));
        }

        let config = match keys.config.take() {
            Some(config) => configuration::json(config.get_ref(), folder)
                .map_err(|message| source.wrong(&config.span(), format!("config: {message}")))?,
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        let services = keys.services.take().map(Spanned::into_inner).unwrap_or_default();
        let services = ServicesScript::read(services, &source)?;
        let dns = keys.dns.take().map(Spanned::into_inner).unwrap_or_default();
        let store = keys.store.take().map(Spanned::into_inner).unwrap_or_default();
        let calls = match keys.call.take().map(Spanned::into_inner) {
            None => vec![call(&Keys::default(), &keys, &source)?],
            Some(calls) => calls.iter().map(|own| call(own, &keys, &source)).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            name: folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            config,
            grants: grants(&keys, &services, &source)?,
            now: keys.now.as_ref().map_or(Ok(NOW), |now| seconds(now, &source))?,
            services,
            dns: DnsScript::read(dns, &source)?,
            store: StoreScript::read(store, &source)?,
            calls,
        })
    }

    /// The folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// One call: its own keys before those of the file.
fn call(own: &Keys, file: &Keys, source: &Source) -> Result<Call, CaseError> {
    if let Some((name, span)) = own.not_of_a_call() {
        return Err(source.wrong(&span, format!("`{name}` is for all calls: write it above the first [[call]]")));
    }
    macro_rules! told {
        ($key:ident) => {
            own.$key.as_ref().or(file.$key.as_ref())
        };
    }
    let text = |told: Option<&String>| told.filter(|text| !text.is_empty()).cloned();
    let address = match told!(client) {
        None => Some(IpAddr::from([192, 0, 2, 1])),
        Some(address) if address.get_ref().is_empty() => None,
        Some(address) => Some(address.get_ref().parse().map_err(|_| {
            source.wrong(&address.span(), format!("must be an IP address, is {:?}", address.get_ref()))
        })?),
    };
    let mut client = Client {
        address,
        port: told!(client_port).copied(),
        hostname: text(told!(client_name)),
        helo: text(told!(helo)),
        auth: text(told!(auth)).map(|user| Authentication {
            user,
            mechanism: told!(auth_mechanism).cloned().unwrap_or_else(|| "PLAIN".to_owned()),
        }),
        tls: text(told!(tls)).map(|version| Tls { version, cipher: told!(tls_cipher).cloned().unwrap_or_default() }),
        listener: text(told!(listener)),
    };
    let sender = mailbox(told!(from).map_or("sender@example.net", String::as_str));
    let recipients = told!(rcpt).map(|rcpt| rcpt.get_ref().iter().map(|text| mailbox(text)).collect());
    let mut recipients: Vec<_> = recipients.unwrap_or_else(|| vec![mailbox("recipient@example.org")]);
    let mut sender = Some(sender);

    // What is not known yet at a hook is not there, as in a real session.
    let ask = match told!(ask).map_or("message", |ask| ask.get_ref()) {
        "message" => message(told!(message), source)?,
        "connect" => {
            (client.helo, client.auth, client.tls, sender) = (None, None, None, None);
            recipients.clear();
            Ask::Connect
        }
        "helo" => {
            (client.auth, sender) = (None, None);
            recipients.clear();
            Ask::Helo
        }
        "mail" => {
            recipients.clear();
            Ask::Mail
        }
        "rcpt" if recipients.is_empty() => {
            let span = told!(rcpt).map(Spanned::span).unwrap_or_default();
            return Err(source.wrong(&span, "`rcpt` must name the recipient that is asked about"));
        }
        "rcpt" => Ask::Rcpt,
        other => {
            let span = told!(ask).map(Spanned::span).unwrap_or_default();
            let message = format!("must be \"message\", \"connect\", \"helo\", \"mail\" or \"rcpt\", is {other:?}");
            return Err(source.wrong(&span, message));
        }
    };
    let after = match &own.after {
        Some(after) if !(after.get_ref().is_finite() && *after.get_ref() >= 0.0) => {
            return Err(source.wrong(&after.span(), "must be a number of seconds from 0"));
        }
        after => after.as_ref().map(|after| *after.get_ref()).unwrap_or_default(),
    };
    let times = match &own.times {
        Some(times) if !(1..=MOST_TIMES).contains(times.get_ref()) => {
            return Err(source.wrong(&times.span(), format!("must be 1 to {MOST_TIMES}, is {}", times.get_ref())));
        }
        times => times.as_ref().map_or(1, |times| *times.get_ref()),
    };
    Ok(Call {
        ask,
        client,
        sender: sender.unwrap_or_default(),
        recipients,
        queue_id: text(told!(queue_id)),
        facts: facts(own, file, source)?,
        after,
        times,
    })
}

fn message(named: Option<&Spanned<String>>, source: &Source) -> Result<Ask, CaseError> {
    let bytes = match named {
        Some(name) => source.file(name)?,
        None => {
            let path = source.folder().join("message.eml");
            fs::read(&path).map_err(|error| CaseError::of(&path, format!("can not be read: {error}")))?
        }
    };
    let (headers, body) = eml::read(&bytes);
    Ok(Ask::Message { headers, body })
}

/// An address as a client would give it.
fn mailbox(address: &str) -> Mailbox {
    if address.starts_with('<') { Mailbox::new(address) } else { Mailbox::new(format!("<{address}>")) }
}

fn facts(own: &Keys, file: &Keys, source: &Source) -> Result<Facts, CaseError> {
    let mut facts = Facts::default();
    let Some(told) = own.facts.as_ref().or(file.facts.as_ref()) else { return Ok(facts) };
    for (full_name, value) in told {
        let wrong = |message: String| source.wrong(&value.span(), message);
        let Some((stage, name)) = full_name.split_once('.') else {
            return Err(wrong(format!("facts are named stage.name, this is {full_name:?}")));
        };
        let value = match value.get_ref() {
            Toml::Boolean(flag) => Value::Flag(*flag),
            #[allow(clippy::cast_precision_loss, reason = "facts are numbers as JSON has them")]
            Toml::Integer(number) => Value::Number(*number as f64),
            Toml::Float(number) if number.is_finite() => Value::Number(*number),
            Toml::String(text) => Value::Text(text.clone()),
            Toml::Array(list) if list.iter().all(Toml::is_str) => {
                Value::Texts(list.iter().filter_map(Toml::as_str).map(str::to_owned).collect())
            }
            other => {
                return Err(wrong(format!(
                    "must be true or false, a number, a string or a list of strings, is {other}"
                )));
            }
        };
        facts.publish(stage, &Fact { name: name.to_owned(), value });
    }
    Ok(facts)
}

/// What the case grants; everything when it does not say.
fn grants(keys: &Keys, services: &ServicesScript, source: &Source) -> Result<Grants, CaseError> {
    const EVERYTHING: [&str; 9] =
        ["envelope", "headers", "body", "recipients", "set-client", "dns", "store", "clock", "random"];
    let mut grants = Grants::default();
    match &keys.grants {
        Some(named) => {
            for grant in named {
                grants.add(grant.get_ref()).map_err(|message| source.wrong(&grant.span(), message))?;
            }
        }
        None => {
            let services = services.names().map(|name| format!("service:{name}"));
            for grant in EVERYTHING.map(str::to_owned).into_iter().chain(services) {
                grants.add(&grant).map_err(|message| source.wrong(&(0..0), message))?;
            }
        }
    }
    Ok(grants)
}

/// Seconds since 1970, from a number or a date.
fn seconds(now: &Spanned<Toml>, source: &Source) -> Result<f64, CaseError> {
    let seconds = match now.get_ref() {
        #[allow(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        Toml::Integer(number) => Some(*number as f64),
        Toml::Float(number) => Some(*number),
        Toml::Datetime(when) => since_1970(when),
        _ => None,
    };
    seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).ok_or_else(|| {
        let message = "must be a date and time with offset such as 2026-05-04T09:00:00Z, or seconds since 1970";
        source.wrong(&now.span(), message)
    })
}

/// Seconds since 1970 of a date and time with offset (RFC 3339); the calendar is Gregorian.
fn since_1970(when: &Datetime) -> Option<f64> {
    let (date, time, offset) = (when.date?, when.time?, when.offset?);
    let minutes = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => minutes,
    };
    // Years begin in March, so that the day that comes and goes is the last one.
    let (month, year) = (i32::from(date.month), i32::from(date.year));
    let year = year.checked_sub(i32::from(month <= 2))?;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i32::from(date.day) - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    let seconds = f64::from(time.hour) * 3600.0 + f64::from(time.minute) * 60.0 + f64::from(time.second.unwrap_or(0));
    let part = f64::from(time.nanosecond.unwrap_or(0)) / 1e9;
    Some(f64::from(days) * 86_400.0 + seconds + part - f64::from(minutes) * 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(transaction: &str) -> Result<Case, CaseError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("transaction.toml"), transaction).unwrap();
        fs::write(folder.path().join("message.eml"), "Subject: x\n\nbody\n").unwrap();
        Case::load(folder.path())
    }

    fn wrong(transaction: &str) -> String {
        let error = load(transaction).expect_err(transaction);
        let (line, column) = error.place.unwrap_or_default();
        assert!(error.file.ends_with("transaction.toml"), "{error}");
        format!("{line}:{column} {}", error.message)
    }

    #[test]
    fn everything_has_a_default() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("message.eml"), "Subject: x\n\nbody\n").unwrap();
        let case = Case::load(folder.path()).unwrap();
        assert_eq!(case.now, NOW);
        assert_eq!(case.config.to_string(), "{}");
        assert!(case.grants.envelope && case.grants.raw && case.grants.dns && case.grants.store.is_some());
        let [call] = &case.calls[..] else { panic!("one call") };
        assert_eq!(call.client.address, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(
            (call.sender.raw.as_str(), call.recipients[0].address()),
            ("<sender@example.net>", "recipient@example.org")
        );
        assert!(matches!(&call.ask, Ask::Message { headers, body } if headers.len() == 1 && &body[..] == b"body\r\n"));
        assert_eq!((call.after, call.times), (0.0, 1));
    }

    #[test]
    fn calls_take_from_the_top_what_they_do_not_say() {
        let case = load(
            r#"
            client = "2001:db8::1"
            helo = "mx.example.net"
            auth = "alice"
            from = ""
            facts = { "spam.score" = 7, "spam.names" = ["a"] }
            [[call]]
            ask = "rcpt"
            rcpt = ["a@x", "b@x"]
            [[call]]
            ask = "connect"
            after = 60
            times = 3
            [call.facts]
            "a.b" = true
            "#,
        )
        .unwrap();
        let [rcpt, connect] = &case.calls[..] else { panic!("two calls") };
        assert!(matches!(rcpt.ask, Ask::Rcpt));
        assert_eq!(rcpt.sender.raw, "<>");
        assert_eq!(rcpt.recipients.len(), 2);
        assert_eq!(rcpt.client.auth.as_ref().unwrap().mechanism, "PLAIN");
        assert_eq!(rcpt.facts.get("spam.score"), Some(&Value::Number(7.0)));
        assert!(connect.client.address.is_some() && connect.client.helo.is_none() && connect.client.auth.is_none());
        assert_eq!((connect.after, connect.times, connect.recipients.len()), (60.0, 3, 0));
        assert!(connect.facts.get("spam.score").is_none() && connect.facts.get("a.b").is_some());
    }

    #[test]
    fn times_of_day() {
        for (text, seconds) in [
            ("2026-01-01T00:00:00Z", NOW),
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T12:30:15.5Z", 951_827_415.5),
            ("2026-01-01T02:00:00+02:00", NOW),
            ("2024-03-01T00:00:00Z", 1_709_251_200.0),
            ("1767225600", NOW),
            ("0.5", 0.5),
        ] {
            assert_eq!(load(&format!("now = {text}")).unwrap().now, seconds, "{text}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (transaction, expected) in [
            ("client = \"192.0.2.1\"\nclinet = 1\n", "2:1 unknown field `clinet`"),
            ("from = 1\n", "1:8 invalid type: integer `1`, expected a string"),
            ("x", "1:2 "),
            ("client = \"me\"", "1:10 must be an IP address, is \"me\""),
            ("ask = \"data\"", "1:7 must be \"message\", \"connect\""),
            ("ask = \"rcpt\"\nrcpt = []", "2:8 `rcpt` must name the recipient"),
            ("after = 5", "1:9 `after` belongs to a [[call]]"),
            ("[[call]]\nconfig = {}", "2:10 `config` is for all calls"),
            ("[[call]]\ntimes = 0", "2:9 must be 1 to 10000, is 0"),
            ("[[call]]\nafter = -1", "2:9 must be a number of seconds from 0"),
            ("grants = [\"dns\", \"nds\"]", "1:18 no such grant \"nds\""),
            ("message = \"other.eml\"", "1:11 \"other.eml\" can not be read: No such file"),
            ("now = 2026-01-01", "1:7 must be a date and time with offset"),
            ("now = -1", "1:7 must be a date and time"),
            ("[facts]\nscore = 7", "2:9 facts are named stage.name, this is \"score\""),
            ("[facts]\n\"a.b\" = [1]", "2:9 must be true or false"),
            ("[config]\na = { file = \"none\" }", "1:1 config: \"none\" can not be read"),
            ("[[services.a]]\nanswer = \"x\"\nanswer_file = \"y\"", "1:1 `answer` and `answer_file` are the same"),
            ("[[services.a]]\n", "1:1 needs one of `sent`"),
            ("[[services.a]]\nfails = \"x\"", "2:9 must be \"unreachable\""),
            ("[[services.a]]\nsnet = \"x\"", "2:1 unknown field `snet`"),
            ("[services]\na = 1", "2:5 invalid type: integer `1`, expected a string, or a list or table"),
            ("[dns.addresses]\na = \"slow\"", "2:5 must be a list, \"timed-out\" or \"failed\", is \"slow\""),
            ("[dns.mail_exchangers]\na = [\"mx 10\"]", "2:5 must be a preference and a host"),
            ("[dns.mx]\n", "1:6 unknown field `mx`"),
            ("[store.values]\na = { base64 = \"!\" }", "2:5 is no base64"),
            ("[store.values]\na = { seconds = 1 }", "2:5 needs one of `value` and `base64`"),
            ("[store.counters]\na = -1", "2:5 must be 0 to 4294967295, is -1"),
        ] {
            let found = wrong(transaction);
            assert!(found.starts_with(expected), "{transaction:?}: {found:?}, expected {expected:?}");
        }
    }

    #[test]
    fn missing_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = Case::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("message.eml: can not be read: No such file"), "{error}");
        let none = folder.path().join("none");
        assert!(Case::load(&none).unwrap_err().to_string().ends_with("none: is no folder"));
        assert!(find(&none).unwrap_err().to_string().contains("none: can not be read"));
        fs::create_dir_all(folder.path().join("b")).unwrap();
        fs::create_dir_all(folder.path().join("a")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        fs::write(folder.path().join("README.md"), "").unwrap();
        assert_eq!(find(folder.path()).unwrap(), [folder.path().join("a"), folder.path().join("b")]);
    }
}
