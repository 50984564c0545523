//! What is asked of the MTA, and what of it was granted.
//!
//! The answer never goes beyond the offer: version `min(offered, 6)`, both words ANDed with what was offered. Postfix
//! forgives much of that, Sendmail nothing. Only what is left after the AND counts from then on.

use indymilter::{
    Actions, MacroStage, ProtoOpts,
    message::{PROTOCOL_VERSION, command::OptNegPayload, reply::Reply},
};
use std::{collections::HashMap, ffi::CString};
use wasmilter_message::judge::Needs;

/// Commands that may need a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    Helo,
    Mail,
    Rcpt,
    Data,
    Header,
    EndOfHeader,
    Body,
    Unknown,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Connect,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Header,
        Self::EndOfHeader,
        Self::Body,
        Self::Unknown,
    ];

    /// "Do not send it" and "it gets no reply".
    fn options(self) -> (ProtoOpts, ProtoOpts) {
        match self {
            Self::Connect => (ProtoOpts::NO_CONNECT, ProtoOpts::NOREPLY_CONNECT),
            Self::Helo => (ProtoOpts::NO_HELO, ProtoOpts::NOREPLY_HELO),
            Self::Mail => (ProtoOpts::NO_MAIL, ProtoOpts::NOREPLY_MAIL),
            Self::Rcpt => (ProtoOpts::NO_RCPT, ProtoOpts::NOREPLY_RCPT),
            Self::Data => (ProtoOpts::NO_DATA, ProtoOpts::NOREPLY_DATA),
            Self::Header => (ProtoOpts::NO_HEADER, ProtoOpts::NOREPLY_HEADER),
            Self::EndOfHeader => (ProtoOpts::NO_EOH, ProtoOpts::NOREPLY_EOH),
            Self::Body => (ProtoOpts::NO_BODY, ProtoOpts::NOREPLY_BODY),
            Self::Unknown => (ProtoOpts::NO_UNKNOWN, ProtoOpts::NOREPLY_UNKNOWN),
        }
    }
}

/// What holds for a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Negotiated {
    pub(crate) version: u32,
    pub(crate) actions: Actions,
    pub(crate) options: ProtoOpts,
    /// What the judge wants.
    pub(crate) needs: Needs,
    offer: Offer,
}

/// What the MTA offered.
#[derive(Debug, Clone, Copy)]
struct Offer {
    version: u32,
    actions: Actions,
    options: ProtoOpts,
}

/// The MTA speaks a protocol that is too old.
#[derive(Debug, thiserror::Error)]
#[error("mail server offered version {offered}, must be 2 or later")]
pub(crate) struct TooOld {
    offered: u32,
}

impl Negotiated {
    /// Takes of the offer what the judge needs.
    pub(crate) fn new(offer: &OptNegPayload, needs: Needs) -> Result<Self, TooOld> {
        let offer = Offer { version: offer.version, actions: offer.actions, options: offer.opts };
        if offer.version < 2 {
            return Err(TooOld { offered: offer.version });
        }
        Ok(Self::of(offer, needs))
    }

    fn of(offer: Offer, needs: Needs) -> Self {
        let mut options = ProtoOpts::empty();
        for stage in Stage::ALL {
            let (wanted, asked) = wanted_and_asked(stage, needs);
            let (no_event, no_reply) = stage.options();
            if !wanted && offer.options.contains(no_event) {
                options |= no_event;
            } else if !asked {
                options |= no_reply;
            }
        }
        let mut actions = Actions::REQUEST_MACROS;
        if needs.message {
            // Header values as they stand in the message: DKIM's simple canonicalisation needs them.
            options |= ProtoOpts::LEADING_SPACE;
            actions = Actions::all();
        }
        if needs.message && needs.body {
            options |= ProtoOpts::SKIP;
        }
        Self {
            version: offer.version.min(PROTOCOL_VERSION),
            actions: actions & offer.actions,
            options: options & offer.options,
            needs,
            offer,
        }
    }

    /// The same connection for a judge with other needs; None when it needs events, replies or actions that were
    /// negotiated away.
    pub(crate) fn serving(&self, needs: Needs) -> Option<Self> {
        let afresh = Self::of(self.offer, needs);
        let lacking = Stage::ALL.into_iter().any(|stage| {
            let (wanted, asked) = wanted_and_asked(stage, needs);
            let (no_event, no_reply) = stage.options();
            (wanted && self.options.contains(no_event)) || (asked && self.options.contains(no_reply))
        });
        let leading_space = afresh.leading_space() == self.leading_space() || !needs.message;
        (!lacking && leading_space && self.actions.contains(afresh.actions)).then_some(Self { needs, ..*self })
    }

    /// The answer to the offer.
    pub(crate) fn reply(&self) -> Reply {
        let macros = if self.actions.contains(Actions::REQUEST_MACROS) { requested_macros() } else { HashMap::new() };
        Reply::OptNeg { version: self.version, actions: self.actions, opts: self.options, macros }
    }

    /// Whether the MTA waits for a reply at this stage. The one place where that is decided.
    pub(crate) fn wants_reply(&self, stage: Stage) -> bool {
        !self.options.contains(stage.options().1)
    }

    /// Whether header values come and go with everything after the colon.
    pub(crate) fn leading_space(&self) -> bool {
        self.options.contains(ProtoOpts::LEADING_SPACE)
    }

    /// Whether the rest of a body may be declined.
    pub(crate) fn may_skip_body(&self) -> bool {
        self.options.contains(ProtoOpts::SKIP)
    }
}

/// Whether the event is wanted at all, and whether somebody is asked about it.
fn wanted_and_asked(stage: Stage, needs: Needs) -> (bool, bool) {
    let Needs { connect, helo, mail, rcpt, message, headers, body } = needs;
    let any = connect || helo || mail || rcpt || message;
    match stage {
        // Who the client is interests everybody.
        Stage::Connect => (any, connect),
        Stage::Helo => (helo || mail || rcpt || message, helo),
        Stage::Mail => (mail || rcpt || message, mail),
        Stage::Rcpt => (rcpt || message, rcpt),
        Stage::Header => (message && (headers || body), false),
        Stage::Body => (message && body, false),
        Stage::Data | Stage::EndOfHeader | Stage::Unknown => (false, false),
    }
}

/// A list replaces the MTA's own for that stage, so its defaults are repeated here. It is the only way to learn the
/// client's address, TLS and login without asking the administrator to edit the MTA's configuration.
const MACROS: [(MacroStage, &std::ffi::CStr); 7] = [
    (
        MacroStage::Connect,
        c"j _ v {daemon_name} {daemon_addr} {daemon_port} {if_name} {if_addr} {client_addr} {client_name} {client_ptr} {client_port} {client_resolve}",
    ),
    (MacroStage::Helo, c"{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"),
    (
        MacroStage::Mail,
        c"i {auth_type} {auth_authen} {auth_ssf} {auth_author} {mail_addr} {mail_host} {mail_mailer} {tls_version} {cipher}",
    ),
    (MacroStage::Rcpt, c"i {rcpt_addr} {rcpt_host} {rcpt_mailer}"),
    (MacroStage::Data, c"i"),
    (MacroStage::Eoh, c"i"),
    (MacroStage::Eom, c"i {msg_id}"),
];

fn requested_macros() -> HashMap<MacroStage, CString> {
    MACROS.into_iter().map(|(stage, names)| (stage, names.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Needs =
        Needs { connect: true, helo: true, mail: true, rcpt: true, message: true, headers: true, body: true };
    const BODY: Needs =
        Needs { message: true, headers: true, body: true, connect: false, helo: false, mail: false, rcpt: false };

    fn offer(version: u32, actions: u32, options: u32) -> OptNegPayload {
        OptNegPayload {
            version,
            actions: Actions::from_bits_truncate(actions),
            opts: ProtoOpts::from_bits_truncate(options),
        }
    }

    #[test]
    fn words_for_the_usual_offer() {
        let usual = offer(6, 0x1ff, 0x1f_ffff);
        for (needs, actions, options) in [
            // Nobody wants anything: all NO*.
            (Needs::default(), 0x100, 0x37f),
            // A message judge: everything arrives that it needs, nothing of it waits for a reply.
            (BODY, 0x1ff, 0x10_0000 | 0x8_0000 | 0xf000 | 0x400 | 0x200 | 0x100 | 0x80 | 0x40),
            (Needs { body: false, ..BODY }, 0x1ff, 0x10_0000 | 0xf000 | 0x200 | 0x100 | 0x80 | 0x40 | 0x10),
            (
                Needs { body: false, headers: false, ..BODY },
                0x1ff,
                0x10_0000 | 0xf000 | 0x200 | 0x100 | 0x40 | 0x20 | 0x10,
            ),
            (EVERYTHING, 0x1ff, 0x10_0000 | 0x8_0000 | 0x400 | 0x200 | 0x100 | 0x80 | 0x40),
            (Needs { connect: true, ..Needs::default() }, 0x100, 0x37f & !0x1),
            (Needs { rcpt: true, ..Needs::default() }, 0x100, 0x370 | 0x7000),
        ] {
            let negotiated = Negotiated::new(&usual, needs).unwrap();
            assert_eq!(negotiated.actions.bits(), actions, "{needs:?}");
            assert_eq!(negotiated.options.bits(), options, "{needs:?}: {:x}", negotiated.options.bits());
        }
    }

    #[test]
    fn never_beyond_the_offer() {
        for version in 2..9 {
            for bit in 0..32 {
                let (actions, options) = (0x1ff & !(1 << bit), 0x1f_ffff & !(1 << bit));
                for needs in [Needs::default(), BODY, EVERYTHING] {
                    let negotiated = Negotiated::new(&offer(version, actions, options), needs).unwrap();
                    assert_eq!(negotiated.version, version.min(6));
                    assert_eq!(negotiated.actions.bits() & !actions, 0);
                    assert_eq!(negotiated.options.bits() & !options, 0);
                    assert!(!negotiated.options.contains(ProtoOpts::REJECTED_RCPT));
                }
            }
        }
        assert!(Negotiated::new(&offer(1, 0x1ff, 0), BODY).is_err());
    }

    #[test]
    fn an_old_mta_gets_replies_to_everything() {
        let negotiated = Negotiated::new(&offer(2, 0x3f, 0x7f), BODY).unwrap();
        for stage in Stage::ALL {
            assert!(negotiated.wants_reply(stage), "{stage:?}");
        }
        assert!(!negotiated.leading_space() && !negotiated.may_skip_body());
    }

    #[test]
    fn another_judge_is_served_when_nothing_that_it_needs_was_negotiated_away() {
        let usual = offer(6, 0x1ff, 0x1f_ffff);
        let rcpt = Needs { rcpt: true, ..Needs::default() };
        let with_rcpt = Needs { rcpt: true, ..BODY };
        let headers = Needs { body: false, ..BODY };
        for (before, after, served) in [
            (BODY, BODY, true),
            (BODY, headers, true),
            (BODY, Needs::default(), true),
            (EVERYTHING, with_rcpt, true),
            (EVERYTHING, Needs::default(), true),
            // The body never comes.
            (headers, BODY, false),
            // RCPT comes but waits for no reply.
            (BODY, with_rcpt, false),
            (with_rcpt, BODY, true),
            // No action was asked for.
            (rcpt, with_rcpt, false),
            (Needs::default(), rcpt, false),
        ] {
            let negotiated = Negotiated::new(&usual, before).unwrap();
            let serving = negotiated.serving(after);
            assert_eq!(serving.is_some(), served, "{before:?} {after:?}");
            if let Some(serving) = serving {
                assert_eq!((serving.needs, serving.options), (after, negotiated.options));
                assert!(serving.serving(before).is_some(), "and back");
            }
        }
        // An MTA that skips nothing serves everybody.
        let negotiated = Negotiated::new(&offer(2, 0x1ff, 0), BODY).unwrap();
        assert!(negotiated.serving(EVERYTHING).is_some());
    }

    #[test]
    fn what_is_unwanted_but_comes_anyway_gets_no_reply_if_possible() {
        // No NODATA in the offer, but NR_DATA.
        let negotiated = Negotiated::new(&offer(6, 0x1ff, 0x1f_ffff & !0x200), BODY).unwrap();
        assert!(!negotiated.wants_reply(Stage::Data));
    }
}
