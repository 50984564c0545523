use crate::{
    PeerAddress,
    received::{self, Line, Peer},
    walk::{Found, Reason, Trust},
};
use proptest::prelude::*;
use serde_json::json;
use std::{fs, path::Path};
use wasmilter_sdk::{RawHeaderField as HeaderField, testing};

fn trust() -> Trust {
    Trust {
        networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        hosts: vec!["relay.example.org".to_owned(), ".pool.example.org".to_owned()],
        max_hops: 5,
        headers: vec!["X-Real-IP".to_owned()],
    }
}

fn peer(address: &str) -> Peer {
    Peer { address: address.parse().unwrap(), port: 0, hostname: String::new(), helo: String::new() }
}

fn field(name: &str, value: &str) -> HeaderField {
    HeaderField { name: name.to_owned(), value: format!(" {value}").into_bytes() }
}

fn received(from: &str) -> HeaderField {
    field("Received", &format!("from h (h.example [{from}]) by r.example (Postfix) with ESMTP id 1; Tue"))
}

fn walk(connected: &str, fields: &[HeaderField]) -> (String, u32, Reason) {
    let Found { peer, hops, reason, .. } = trust().walk(peer(connected), fields);
    (peer.address.to_string(), hops, reason)
}

#[test]
fn a_stranger_is_the_client_whatever_he_writes() {
    let fields = [field("X-Real-IP", "10.0.0.1"), received("10.0.0.2"), received("198.51.100.1")];
    assert_eq!(walk("203.0.113.9", &fields), ("203.0.113.9".to_owned(), 0, Reason::Direct));
}

#[test]
fn the_first_untrusted_hop_is_the_client() {
    let fields = [received("10.0.0.2"), received("fd00::2"), received("203.0.113.9"), received("198.51.100.1")];
    assert_eq!(walk("10.0.0.1", &fields), ("203.0.113.9".to_owned(), 3, Reason::Received));
}

#[test]
fn names_count_only_when_verified() {
    let mut relay = peer("192.0.2.1");
    relay.hostname = "a.pool.example.org".to_owned();
    assert_eq!(trust().walk(relay, &[received("203.0.113.9")]).reason, Reason::Received);
    let mut other = peer("192.0.2.1");
    other.hostname = "evilpool.example.org".to_owned();
    other.helo = "relay.example.org".to_owned();
    assert_eq!(trust().walk(other, &[received("203.0.113.9")]).reason, Reason::Direct);
}

#[test]
fn what_is_not_understood_ends_the_walk() {
    let unclear = field("Received", "from somewhere by somebody; Tue");
    let local = field("Received", "by r.example (Postfix, from userid 33) id 1; Tue");
    let note = field("Received", "(qmail 1 invoked from network); Tue");
    let next = [received("10.0.0.2"), unclear, received("203.0.113.9")];
    assert_eq!(walk("10.0.0.1", &next), ("10.0.0.2".to_owned(), 1, Reason::Unclear));
    assert_eq!(walk("10.0.0.1", &[local, received("203.0.113.9")]), ("10.0.0.1".to_owned(), 0, Reason::Local));
    let noted = [note.clone(), received("203.0.113.9")];
    assert_eq!(walk("10.0.0.1", &noted), ("203.0.113.9".to_owned(), 1, Reason::Received));
    let twice = [note.clone(), note, received("203.0.113.9")];
    assert_eq!(walk("10.0.0.1", &twice), ("10.0.0.1".to_owned(), 0, Reason::Unclear));
    assert_eq!(walk("10.0.0.1", &[]), ("10.0.0.1".to_owned(), 0, Reason::End));
    let many: Vec<_> = (1..9).map(|last| received(&format!("10.0.1.{last}"))).collect();
    assert_eq!(walk("10.0.0.1", &many), ("10.0.1.5".to_owned(), 5, Reason::MaxHops));
}

#[test]
fn a_header_counts_only_above_the_first_received() {
    let real = field("X-Real-IP", "[203.0.113.9]");
    let above = [real.clone(), received("10.0.0.2")];
    assert_eq!(walk("10.0.0.1", &above), ("203.0.113.9".to_owned(), 1, Reason::Header));
    let below = [received("198.51.100.1"), real.clone()];
    assert_eq!(walk("10.0.0.1", &below), ("198.51.100.1".to_owned(), 1, Reason::Received));
    assert_eq!(walk("10.0.0.1", &[real]), ("10.0.0.1".to_owned(), 0, Reason::End));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let config = json!({
        "trusted": ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/8", "x"], "trusted_hosts": ["a b", "192.0.2.1"],
        "max_hops": 0, "header": "Received", "headers": ["X-A:", "X-Real-IP"],
    });
    let problems = testing::configure::<PeerAddress>(&config.to_string()).err().unwrap().into_list();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let wanted = [
        "/trusted/1",
        "/trusted/2",
        "/trusted/3",
        "/trusted_hosts/0",
        "/trusted_hosts/1",
        "/max_hops",
        "/header",
        "/headers/0",
    ];
    assert_eq!(paths, wanted, "{problems:?}");
    assert!(testing::configure::<PeerAddress>("{}").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a client sends along below the field that a trusted hop wrote about him changes nothing.
    #[test]
    fn what_the_client_sends_changes_nothing(lines in prop::collection::vec("(from |by |\\(qmail )?[ -~]{0,60}", 0..6)) {
        let honest = vec![received("10.0.0.2"), received("203.0.113.9")];
        let mut forged = honest.clone();
        forged.extend(lines.iter().map(|line| field("Received", line)));
        forged.extend([field("X-Real-IP", "192.0.2.66"), received("10.0.0.3"), received("192.0.2.66")]);
        prop_assert_eq!(trust().walk(peer("10.0.0.1"), &forged), trust().walk(peer("10.0.0.1"), &honest));
    }

    /// Whatever a client says at HELO, and even if the server writes it down uncleaned: the field gives the true address or
    /// none.
    #[test]
    fn helo_never_becomes_the_address(helo in "([ -~]{0,12}|x|by|from|\\(|\\)|\\[192\\.0\\.2\\.66\\]|192\\.0\\.2\\.66|helo=| |;|\\(Exim |HELO|\\(a \\[192\\.0\\.2\\.66\\]\\)){0,8}") {
        for line in [
            format!("from {helo} (unknown [203.0.113.9]) by r (Postfix) with ESMTP id 1; Tue"),
            format!("from {helo} ([203.0.113.9]) by r with ESMTP id 1; Tue"),
            format!("from h.example ([203.0.113.9] helo={helo}) by r with esmtp (Exim 4.92) id 1; Tue"),
            format!("from [203.0.113.9] (helo={helo}) by r with esmtp (Exim 4.92) id 1; Tue"),
            format!("from unknown (HELO {helo}) (203.0.113.9) by r with SMTP; Tue"),
            format!("from {helo} (203.0.113.9) by r (10.0.0.1) with Microsoft SMTP Server id 1; Tue"),
            format!("from {helo} [203.0.113.9] by r with SMTP; Tue"),
        ] {
            if let Line::From(peer) = received::read(line.as_bytes()) {
                prop_assert_eq!(peer.address.to_string(), "203.0.113.9", "{}", line);
                prop_assert!(!peer.helo.contains(['\r', '\n', ';']) && !peer.hostname.contains(['\r', '\n', ';']));
            }
        }
    }

    #[test]
    fn nothing_makes_the_reader_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
        received::read(&value);
    }
}

/// Real fields, where the corpus is there: how many are understood, and whether a simpler reader saw the same address.
#[test]
fn real_fields_are_understood() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/corpus/shared"));
    let Ok(list) = fs::read_to_string(root.join("lists/received-chains.tsv")) else {
        eprintln!("no corpus at {}: nothing to compare with", root.display());
        return;
    };
    let (mut with_address, mut understood, mut differ) = (0_u32, 0_u32, Vec::new());
    for row in list.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let Ok(bytes) = fs::read(root.join(columns[0])) else { continue };
        let fields = received_fields(&bytes);
        let hops: Vec<&str> = columns[4].split(' ').map(|hop| hop.split_once('>').unwrap().0).collect();
        if hops.len() != fields.len() {
            continue;
        }
        for (field, hop) in fields.iter().zip(hops).filter(|(_, hop)| *hop != "-") {
            with_address += 1;
            if let Line::From(peer) = received::read(field.as_bytes()) {
                understood += 1;
                // The list took the first address in the line, which is often what the client said at HELO.
                let same = peer.address == hop.parse::<std::net::IpAddr>().unwrap().to_canonical();
                if !same && !peer.helo.contains(hop) {
                    differ.push(format!("{} not {hop}: {field}", peer.address));
                }
            }
        }
    }
    eprintln!("{understood} of {with_address} understood, {} differ: {differ:#?}", differ.len());
    assert!(with_address > 1000, "only {with_address} fields");
    assert!(understood * 100 >= with_address * 95, "{understood} of {with_address}");
    assert!(differ.len() * 1000 <= understood as usize, "{differ:#?}");
}

fn received_fields(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default();
    let unfolded = head.replace("\n\t", " ").replace("\n ", " ");
    let lines = unfolded.lines().filter(|line| line.to_ascii_lowercase().starts_with("received:"));
    lines.map(|line| line[9..].to_owned()).collect()
}

#[test]
fn cases() {
    testing::cases::<PeerAddress>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
