//! RecipientInfo (RFC 5652 §6.2): the content-encryption key, encrypted to one certificate.
//!
//! The builder of `cms` 0.3.0-rc.0 is not used: its key agreement leaves the key-encryption key at zero, so that anybody
//! could unwrap the content's key. Its types are fine.

use crate::certificate::{Certificate, PublicKey};
use aes_kw::KwAes256;
use cms::{
    content_info::CmsVersion,
    enveloped_data::{
        KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey,
        OriginatorPublicKey, RecipientEncryptedKey, RecipientIdentifier, RecipientInfo,
    },
};
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::{rfc5753, rfc5911, rfc5912},
};
use der::{
    Any, Encode,
    asn1::{BitString, Null, OctetString},
};
use p256::elliptic_curve::{
    self, AffinePoint, CurveArithmetic, FieldBytesSize, Generate,
    ecdh::EphemeralSecret,
    sec1::{FromSec1Point, ModulusSize, ToSec1Point},
};
use rand_core::CryptoRng;
use rsa::{Oaep, Pkcs1v15Encrypt, RsaPublicKey, pkcs1::RsaOaepParams};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

/// Key of AES-256, for the content and for wrapping.
pub(crate) const KEY_SIZE: usize = 32;

/// How the content's key is encrypted to RSA keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RsaPadding {
    /// RFC 8017 §7.2. What every S/MIME software reads.
    #[default]
    Pkcs1v15,
    /// RFC 8017 §7.1 with SHA-256 (RFC 4056, RFC 8551 §2.3).
    Oaep,
}

/// Encrypts `content_key` to the key of `certificate`.
///
/// # Errors
/// Only when an RSA key is too small for the padding or an encoding does not fit; for the log.
pub(crate) fn recipient_info(
    certificate: &Certificate,
    key: &PublicKey,
    padding: RsaPadding,
    content_key: &[u8; KEY_SIZE],
    random: &mut impl CryptoRng,
) -> Result<RecipientInfo, String> {
    match key {
        PublicKey::Rsa(key) => key_transport(certificate, key, padding, content_key, random),
        PublicKey::P256(key) => key_agreement::<_, Sha256>(
            rfc5753::DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME,
            certificate,
            key,
            content_key,
            random,
        ),
        PublicKey::P384(key) => key_agreement::<_, Sha384>(
            rfc5753::DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME,
            certificate,
            key,
            content_key,
            random,
        ),
        PublicKey::P521(key) => key_agreement::<_, Sha512>(
            rfc5753::DH_SINGLE_PASS_STD_DH_SHA_512_KDF_SCHEME,
            certificate,
            key,
            content_key,
            random,
        ),
    }
}

/// KeyTransRecipientInfo, RFC 5652 §6.2.1.
fn key_transport(
    certificate: &Certificate,
    key: &RsaPublicKey,
    padding: RsaPadding,
    content_key: &[u8; KEY_SIZE],
    random: &mut impl CryptoRng,
) -> Result<RecipientInfo, String> {
    let (encrypted, algorithm) = match padding {
        RsaPadding::Pkcs1v15 => {
            let algorithm = AlgorithmIdentifierOwned { oid: rfc5912::RSA_ENCRYPTION, parameters: Some(Null.into()) };
            (key.encrypt(random, Pkcs1v15Encrypt, content_key), algorithm)
        }
        RsaPadding::Oaep => {
            let parameters = RsaOaepParams::new::<Sha256>();
            let parameters = Any::encode_from(&parameters).map_err(encoding)?;
            let algorithm = AlgorithmIdentifierOwned { oid: rfc5912::ID_RSAES_OAEP, parameters: Some(parameters) };
            (key.encrypt(random, Oaep::<Sha256>::new(), content_key), algorithm)
        }
    };
    let encrypted = encrypted.map_err(|error| format!("encrypting to an RSA key: {error}"))?;
    Ok(RecipientInfo::Ktri(KeyTransRecipientInfo {
        version: CmsVersion::V0,
        rid: RecipientIdentifier::IssuerAndSerialNumber(certificate.id.clone()),
        key_enc_alg: algorithm,
        enc_key: OctetString::new(encrypted).map_err(encoding)?,
    }))
}

/// KeyAgreeRecipientInfo by ephemeral-static ECDH, RFC 5753 §3.1.
fn key_agreement<C, D>(
    scheme: ObjectIdentifier,
    certificate: &Certificate,
    key: &elliptic_curve::PublicKey<C>,
    content_key: &[u8; KEY_SIZE],
    random: &mut impl CryptoRng,
) -> Result<RecipientInfo, String>
where
    C: CurveArithmetic + AssociatedOid,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    D: Digest,
{
    let wrap = AlgorithmIdentifierOwned { oid: rfc5911::ID_AES_256_WRAP, parameters: None };
    let ephemeral = EphemeralSecret::<C>::generate_from_rng(random);
    let shared = ephemeral.diffie_hellman(key);
    let key_encryption_key = derive::<D>(shared.raw_secret_bytes(), &shared_info(&wrap)?);

    let mut wrapped = [0_u8; KEY_SIZE + 8];
    aes::cipher::KeyInit::new_from_slice(key_encryption_key.as_slice())
        .map_err(|error| format!("wrapping the content's key: {error}"))
        .and_then(|cipher: KwAes256| {
            cipher
                .wrap_key(content_key, &mut wrapped)
                .map(|_| ())
                .map_err(|error| format!("wrapping the content's key: {error}"))
        })?;

    let point = ephemeral.public_key().to_sec1_point(false);
    Ok(RecipientInfo::Kari(KeyAgreeRecipientInfo {
        version: CmsVersion::V3,
        originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
            // Parameters absent (RFC 5753 §3.1.1): the curve is the recipient's.
            algorithm: AlgorithmIdentifierOwned { oid: rfc5912::ID_EC_PUBLIC_KEY, parameters: None },
            public_key: BitString::from_bytes(point.as_bytes()).map_err(encoding)?,
        }),
        ukm: None,
        key_enc_alg: AlgorithmIdentifierOwned {
            oid: scheme,
            parameters: Some(Any::encode_from(&wrap).map_err(encoding)?),
        },
        recipient_enc_keys: vec![RecipientEncryptedKey {
            rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(certificate.id.clone()),
            enc_key: OctetString::new(wrapped.as_slice()).map_err(encoding)?,
        }],
    }))
}

/// ECC-CMS-SharedInfo, RFC 5753 §7.2, in DER.
fn shared_info(wrap: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, String> {
    /// `suppPubInfo`: the length of the key-encryption key in bits, as 32 bits.
    const KEY_BITS: [u8; 4] = [0, 0, 1, 0];

    #[derive(der::Sequence)]
    struct EccCmsSharedInfo {
        key_info: AlgorithmIdentifierOwned,
        #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
        supp_pub_info: OctetString,
    }
    EccCmsSharedInfo { key_info: wrap.clone(), supp_pub_info: OctetString::new(KEY_BITS.as_slice()).map_err(encoding)? }
        .to_der()
        .map_err(encoding)
}

/// The key derivation function of ANSI X9.63 (SEC 1 §3.6.1), of which one round gives enough: every digest we use has
/// at least the 32 bytes of the key.
fn derive<D: Digest>(secret: &[u8], shared_info: &[u8]) -> Zeroizing<[u8; KEY_SIZE]> {
    let round = D::new().chain_update(secret).chain_update(1_u32.to_be_bytes()).chain_update(shared_info).finalize();
    let mut key = Zeroizing::new([0_u8; KEY_SIZE]);
    for (to, from) in key.iter_mut().zip(round) {
        *to = from;
    }
    key
}

fn encoding(error: der::Error) -> String {
    format!("encoding a recipient: {error}")
}
