//! Encrypts mail by S/MIME (RFC 8551) to every recipient. See README.md for the configuration.
//!
//! `decide` tells the whole life; `directory` knows who has which `certificate`; `seal` writes the encrypted content,
//! with `recipient` (the key, to each) and `cipher` (the content, once).

mod certificate;
mod cipher;
mod directory;
mod recipient;
mod seal;

use crate::{
    certificate::{Certificate, PublicKey},
    directory::Directory,
    recipient::RsaPadding,
    seal::ContentCipher,
};
use rand_core::{TryCryptoRng, TryRng};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, convert::Infallible};
use wasmilter_sdk::{
    Blob, ContentField, Decision, Deferral, DirectoryContent, Entity, Failure, HeaderValue, Info, Message,
    MessagePolicy, PartRole, Plugin, Problems, Rejection, log,
};
use zeroize::Zeroizing;

/// The plugin, configured.
pub struct Encryption {
    directory: Directory,
    cipher: ContentCipher,
    rsa_padding: RsaPadding,
    on_missing: OnMissing,
}

/// `[stage.config]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory with the recipients' certificates (.pem, .crt, .cer, .der).
    certificates: DirectoryContent,
    /// Domain to the name of the file, in that directory, with the certificate of the whole domain.
    #[serde(default)]
    domains: BTreeMap<String, String>,
    /// Cipher of the content.
    #[serde(default)]
    #[schemars(extend("default" = "aes256-cbc"))]
    cipher: ContentCipher,
    /// Padding of the key for RSA certificates.
    #[serde(default)]
    #[schemars(extend("default" = "pkcs1v15"))]
    rsa_padding: RsaPadding,
    /// What happens when a recipient has no usable certificate.
    #[serde(default)]
    #[schemars(extend("default" = "reject"))]
    on_missing: OnMissing,
    /// Shorter RSA keys are not used.
    #[serde(default = "default_minimum_rsa_bits")]
    #[schemars(range(min = 1024, max = 8192))]
    minimum_rsa_bits: u32,
}

/// What happens to a message when a recipient has no usable certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnMissing {
    /// Goes on unencrypted, to everybody.
    Pass,
    /// Is refused. The default: nothing leaves in clear, and the sender learns it at once.
    #[default]
    Reject,
    /// Is refused for now, until somebody has put the certificate there.
    Tempfail,
    /// Is held.
    Quarantine,
}

fn default_minimum_rsa_bits() -> u32 {
    2048
}

impl Plugin for Encryption {
    type Config = Config;

    fn info() -> Info {
        wasmilter_sdk::info!("envelope", "body", "clock", "random")
    }

    fn configure(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        if !(1024..=8192).contains(&config.minimum_rsa_bits) {
            problems.add("/minimum_rsa_bits", format!("must be from 1024 to 8192, is {}", config.minimum_rsa_bits));
        }
        let minimum_rsa_bits = usize::try_from(config.minimum_rsa_bits).unwrap_or(usize::MAX);
        let directory = Directory::new(&config.certificates, &config.domains, minimum_rsa_bits, &mut problems);
        if problems.is_empty() && directory.len() == 0 && config.on_missing != OnMissing::Pass {
            problems.add(
                "/certificates",
                format!("no certificate in {:?}: every message would be stopped", config.certificates.path),
            );
        }
        problems.or_else_ok(|| Self {
            directory,
            cipher: config.cipher,
            rsa_padding: config.rsa_padding,
            on_missing: config.on_missing,
        })
    }
}

impl MessagePolicy for Encryption {
    fn decide(&self, message: &Message) -> Result<Decision, Failure> {
        if message.parts().first().is_some_and(|root| root.role == PartRole::Encrypted) {
            return Ok(Decision::next().with_fact("encrypted", false).with_fact("skipped", "already-encrypted"));
        }
        let recipients: Vec<String> = message.recipients().into_iter().map(|recipient| recipient.address).collect();
        let plan = self.plan(&recipients, message.now());
        for reason in &plan.reasons {
            log::info(reason);
        }
        if !plan.without.is_empty() {
            return Ok(self.without_certificate(plan.without));
        }
        let content = self.encrypt(message, &plan.keys)?;
        Ok(Decision::next()
            .with_content(self.entity(content)?)
            .with_fact("encrypted", true)
            .with_fact("cipher", self.cipher.name()))
    }
}

/// Whom a message would be encrypted to.
struct Plan<'d> {
    keys: Vec<(&'d Certificate, &'d PublicKey)>,
    /// Recipients without a usable certificate.
    without: Vec<String>,
    /// Why certificates that are there were not used.
    reasons: Vec<String>,
}

impl Encryption {
    /// Gathers the keys of all recipients, each key once. A recipient with several usable certificates gets the message
    /// encrypted to all of them: only he knows which key he has at hand.
    fn plan(&self, recipients: &[String], now: f64) -> Plan<'_> {
        let mut plan = Plan { keys: Vec::new(), without: Vec::new(), reasons: Vec::new() };
        for recipient in recipients {
            let mut found = false;
            for certificate in self.directory.find(recipient) {
                match certificate.key_at(now) {
                    Ok(key) => {
                        found = true;
                        if !plan.keys.iter().any(|(known, _)| std::ptr::eq(*known, certificate)) {
                            plan.keys.push((certificate, key));
                        }
                    }
                    Err(reason) => plan.reasons.push(format!("certificate {} {reason}", certificate.id.serial_number)),
                }
            }
            if !found {
                plan.without.push(recipient.clone());
            }
        }
        plan
    }

    fn without_certificate(&self, without: Vec<String>) -> Decision {
        let text = format!("no certificate to encrypt to for {}", some_of(&without));
        let decision = match self.on_missing {
            OnMissing::Pass => Decision::next(),
            // Security features not supported (RFC 3463 §3.8).
            OnMissing::Reject => Decision::reject(Rejection::new(&text).with_enhanced(7, 10)),
            OnMissing::Tempfail => Decision::tempfail(Deferral::new(&text).with_enhanced(7, 10)),
            OnMissing::Quarantine => Decision::quarantine("no certificate for a recipient"),
        };
        decision.with_fact("encrypted", false).with_fact("recipients_without", without)
    }

    fn encrypt<'m>(&self, message: &'m Message, keys: &[(&Certificate, &PublicKey)]) -> Result<Blob<'m>, Failure> {
        let mut blob = message.blob();
        let open = || message.entity_reader();
        let mut random = HostRandom { message, stock: Zeroizing::default() };
        seal::seal(keys, self.cipher, self.rsa_padding, &mut random, open, &mut blob)
            .map_err(|error| Failure::internal(format!("encrypting to {} certificates: {error}", keys.len())))?;
        Ok(blob)
    }

    /// RFC 8551 §3.2 and §3.3.
    fn entity(&self, body: Blob<'_>) -> Result<Entity, Failure> {
        let content_type =
            format!("application/pkcs7-mime; smime-type={};\r\n name=\"smime.p7m\"", self.cipher.smime_type());
        Ok(Entity::new(body)
            .with(ContentField::Type, HeaderValue::folded(content_type)?)
            .with(ContentField::TransferEncoding, "base64".into())
            .with(ContentField::Disposition, "attachment; filename=\"smime.p7m\"".into()))
    }
}

/// A few of the addresses: a reply has little room.
fn some_of(addresses: &[String]) -> String {
    const MOST: usize = 5;
    let mut text = addresses.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = addresses.len().checked_sub(MOST) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The host's randomness, fetched in portions. (`getrandom` has none in the sandbox and is not linked.)
struct HostRandom<'m> {
    message: &'m Message,
    /// Fetched and not yet used; taken from the end.
    stock: Zeroizing<Vec<u8>>,
}

impl HostRandom<'_> {
    /// Enough for the content's key and several recipients; at most 4096 are given at once.
    const PORTION: u32 = 1024;

    fn byte(&mut self) -> u8 {
        loop {
            // An empty answer can not be used, and going on without randomness would make guessable keys: then this call
            // ends at its deadline. The host traps rather than give none.
            match self.stock.pop() {
                Some(byte) => return byte,
                None => self.stock = Zeroizing::new(self.message.random(Self::PORTION)),
            }
        }
    }
}

impl TryRng for HostRandom<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Infallible> {
        destination.fill_with(|| self.byte());
        Ok(())
    }
}

impl TryCryptoRng for HostRandom<'_> {}

wasmilter_sdk::plugin!(Encryption: message);

#[cfg(test)]
mod tests;
