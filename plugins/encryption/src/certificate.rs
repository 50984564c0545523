//! A recipient's certificate: whom it belongs to, whether it may be used, the key in it.

use cms::cert::IssuerAndSerialNumber;
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::{rfc3280::EMAIL_ADDRESS, rfc5280, rfc5912},
};
use data_encoding::BASE64;
use der::{Decode, asn1::Ia5StringRef, asn1::Utf8StringRef};
use rsa::{BoxedUint, RsaPublicKey, pkcs1::RsaPublicKeyRef, traits::PublicKeyParts};
use x509_cert::{
    Certificate as X509,
    ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
};

/// Larger RSA keys cost more time than a mail should; 8192 is also what other S/MIME software stops at.
const LARGEST_RSA_BITS: usize = 8192;

/// A certificate out of the directory. That it lies there is what makes it trusted: no chain is checked.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The addresses in it, in lower case.
    pub(crate) addresses: Vec<String>,
    /// How a recipient's software finds its key.
    pub(crate) id: IssuerAndSerialNumber,
    /// The key, or why it can not be used whatever the time is.
    key: Result<PublicKey, String>,
    /// Seconds since 1970, both inclusive (RFC 5280 §4.1.2.5).
    not_before: f64,
    not_after: f64,
}

/// A key that content can be encrypted to.
#[derive(Debug, Clone)]
pub(crate) enum PublicKey {
    Rsa(RsaPublicKey),
    P256(p256::PublicKey),
    P384(p384::PublicKey),
    P521(p521::PublicKey),
}

impl Certificate {
    /// Reads a DER certificate. One that can be read but not be used is no error here: see [`Self::key_at`].
    ///
    /// # Errors
    /// When this is no X.509 certificate.
    pub(crate) fn parse(der: &[u8], minimum_rsa_bits: usize) -> Result<Self, String> {
        let x509 = X509::from_der(der).map_err(|error| format!("is not a certificate: {error}"))?;
        let tbs = x509.tbs_certificate();
        let validity = tbs.validity();
        Ok(Self {
            addresses: addresses(&x509),
            id: IssuerAndSerialNumber { issuer: tbs.issuer().clone(), serial_number: tbs.serial_number().clone() },
            key: public_key(&x509, minimum_rsa_bits).and_then(|key| allowed(&x509, &key).map(|()| key)),
            not_before: validity.not_before.to_unix_duration().as_secs_f64(),
            not_after: validity.not_after.to_unix_duration().as_secs_f64(),
        })
    }

    /// The key, if it may be used at `now` (seconds since 1970).
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn key_at(&self, now: f64) -> Result<&PublicKey, String> {
        if now < self.not_before {
            return Err("is not valid yet".to_owned());
        }
        // The last second counts as a whole.
        if now >= self.not_after + 1.0 {
            return Err("has expired".to_owned());
        }
        self.key.as_ref().map_err(Clone::clone)
    }
}

/// The DER certificates in a file: the CERTIFICATE blocks of a PEM file, or else the file itself.
///
/// # Errors
/// When there are none, a block is broken, or there is a private key beside them.
pub(crate) fn in_file(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(vec![bytes.to_vec()]) };
    if text.contains("PRIVATE KEY-----") {
        return Err("holds a private key; only certificates belong here".to_owned());
    }
    let mut found = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let (base64, _) = block.split_once(END).ok_or("has a certificate without an end")?;
        let base64: String = base64.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        found.push(
            BASE64
                .decode(base64.as_bytes())
                .map_err(|error| format!("has a certificate that is no base64: {error}"))?,
        );
    }
    if !found.is_empty() {
        return Ok(found);
    }
    // DER always starts with SEQUENCE and is hardly ever UTF-8; bare base64 of DER is.
    let base64: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    BASE64.decode(base64.as_bytes()).map(|der| vec![der]).map_err(|_| "holds no certificate".to_owned())
}

/// RFC 8550 §3: rfc822Name of the subjectAltName, and emailAddress attributes of the subject.
fn addresses(x509: &X509) -> Vec<String> {
    let tbs = x509.tbs_certificate();
    let mut found = Vec::new();
    if let Ok(Some((_, SubjectAltName(names)))) = tbs.get_extension::<SubjectAltName>() {
        for name in names {
            if let GeneralName::Rfc822Name(address) = name {
                found.push(address.as_str().to_ascii_lowercase());
            }
        }
    }
    for attribute in tbs.subject().iter().filter(|attribute| attribute.oid == EMAIL_ADDRESS) {
        let value = &attribute.value;
        let text = value
            .decode_as::<Ia5StringRef<'_>>()
            .map(|text| text.as_str().to_owned())
            .or_else(|_| value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned()));
        if let Ok(text) = text {
            found.push(text.to_ascii_lowercase());
        }
    }
    found.sort();
    found.dedup();
    found
}

fn public_key(x509: &X509, minimum_rsa_bits: usize) -> Result<PublicKey, String> {
    let info = x509.tbs_certificate().subject_public_key_info();
    let bits = info.subject_public_key.as_bytes().ok_or("has a malformed key")?;
    match info.algorithm.oid {
        rfc5912::RSA_ENCRYPTION => rsa_key(bits, minimum_rsa_bits).map(PublicKey::Rsa),
        rfc5912::ID_EC_PUBLIC_KEY => {
            let parameters = info.algorithm.parameters.as_ref().ok_or("has an EC key without a curve")?;
            let curve: ObjectIdentifier = parameters.decode_as().map_err(|_| "has an EC key without a named curve")?;
            let malformed = |_| "has an EC key that is not on its curve".to_owned();
            match curve {
                p256::NistP256::OID => p256::PublicKey::from_sec1_bytes(bits).map(PublicKey::P256).map_err(malformed),
                p384::NistP384::OID => p384::PublicKey::from_sec1_bytes(bits).map(PublicKey::P384).map_err(malformed),
                p521::NistP521::OID => p521::PublicKey::from_sec1_bytes(bits).map(PublicKey::P521).map_err(malformed),
                other => Err(format!("has a key on a curve that is not supported ({other})")),
            }
        }
        other => Err(format!("has a key of a kind that is not supported ({other})")),
    }
}

fn rsa_key(bits: &[u8], minimum_bits: usize) -> Result<RsaPublicKey, String> {
    let key = RsaPublicKeyRef::from_der(bits).map_err(|_| "has a malformed RSA key")?;
    let modulus = BoxedUint::from_be_slice_vartime(key.modulus.as_bytes());
    let exponent = BoxedUint::from_be_slice_vartime(key.public_exponent.as_bytes());
    let key = RsaPublicKey::new_with_max_size(modulus, exponent, LARGEST_RSA_BITS)
        .map_err(|error| format!("has an unusable RSA key: {error}"))?;
    let size = usize::try_from(key.n().bits_vartime()).unwrap_or(usize::MAX);
    if size < minimum_bits {
        return Err(format!("has an RSA key of {size} bits, {minimum_bits} are asked for"));
    }
    Ok(key)
}

/// RFC 8550 §4.4.2 and §4.4.4: extensions that are there must allow what we do.
fn allowed(x509: &X509, key: &PublicKey) -> Result<(), String> {
    let tbs = x509.tbs_certificate();
    if let Some((_, usage)) = tbs.get_extension::<KeyUsage>().map_err(|_| "has a malformed key usage")? {
        match key {
            PublicKey::Rsa(_) if !usage.key_encipherment() => {
                return Err("is not for encryption: key usage lacks keyEncipherment".to_owned());
            }
            PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) if !usage.key_agreement() => {
                return Err("is not for encryption: key usage lacks keyAgreement".to_owned());
            }
            _ => {}
        }
    }
    let extended = tbs.get_extension::<ExtendedKeyUsage>().map_err(|_| "has a malformed extended key usage")?;
    if let Some((_, ExtendedKeyUsage(purposes))) = extended
        && !purposes.contains(&rfc5280::ID_KP_EMAIL_PROTECTION)
        && !purposes.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE)
    {
        return Err("is not for mail: extended key usage lacks emailProtection".to_owned());
    }
    Ok(())
}
