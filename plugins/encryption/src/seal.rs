//! From a MIME entity to the body of an `application/pkcs7-mime`, in pieces: at no time is more than one piece of the
//! message in memory. For that the lengths in the DER are computed before the first byte is written.

use crate::{
    certificate::{Certificate, PublicKey},
    cipher::{BLOCK_SIZE, Cipher, NONCE_SIZE},
    recipient::{KEY_SIZE, RsaPadding, recipient_info},
};
use cms::{
    content_info::CmsVersion,
    enveloped_data::{RecipientInfo, RecipientInfos},
};
use const_oid::{ObjectIdentifier, db::rfc5911};
use data_encoding::BASE64;
use der::{Any, Encode, Header, Length, Tag, TagNumber, asn1::OctetString};
use rand_core::CryptoRng;
use std::io::{self, Read, Write};
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

/// What is read, encrypted and written at once: a multiple of the cipher's block.
const PIECE: usize = 65_536;
/// Bytes behind a line of base64: 76 characters, the most that RFC 2045 §6.8 allows.
const LINE_BYTES: usize = 57;
/// Size of the authentication tag of GCM.
const TAG_SIZE: usize = 16;

/// How the content is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub(crate) enum ContentCipher {
    /// EnvelopedData (RFC 5652). What every S/MIME software since 2010 reads.
    #[default]
    #[serde(rename = "aes256-cbc")]
    Aes256Cbc,
    /// AuthEnvelopedData (RFC 5083, RFC 5084): also protects against change; S/MIME 4.0 (RFC 8551).
    #[serde(rename = "aes256-gcm")]
    Aes256Gcm,
}

impl ContentCipher {
    /// As in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aes256Cbc => "aes256-cbc",
            Self::Aes256Gcm => "aes256-gcm",
        }
    }

    /// Value of `smime-type`, RFC 8551 §3.2.2.
    pub(crate) fn smime_type(self) -> &'static str {
        match self {
            Self::Aes256Cbc => "enveloped-data",
            Self::Aes256Gcm => "authEnveloped-data",
        }
    }
}

/// Why sealing did not work.
#[derive(Debug)]
pub(crate) enum SealError {
    /// Encryption to a recipient, or the encoding.
    Cryptography(String),
    /// Reading the entity or writing the result.
    Io(io::Error),
    /// The entity was longer or shorter when it was read for the second time.
    Changed,
}

impl From<io::Error> for SealError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for SealError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cryptography(what) => formatter.write_str(what),
            Self::Io(error) => write!(formatter, "reading or writing content: {error}"),
            Self::Changed => formatter.write_str("the message changed its size while it was read"),
        }
    }
}

/// Reads an entity twice (`open` gives it from its beginning: once for its size, once to encrypt it) and writes it,
/// encrypted to all `recipients`, as lines of base64.
///
/// # Errors
/// [`SealError`]; what was written until then is useless.
pub(crate) fn seal<R: Read>(
    recipients: &[(&Certificate, &PublicKey)],
    content_cipher: ContentCipher,
    padding: RsaPadding,
    random: &mut impl CryptoRng,
    open: impl Fn() -> R,
    output: impl Write,
) -> Result<(), SealError> {
    let size = size_of_entity(open())?;

    let mut key = Zeroizing::new([0_u8; KEY_SIZE]);
    random.fill_bytes(key.as_mut_slice());
    let recipients = recipients
        .iter()
        .map(|(certificate, public)| recipient_info(certificate, public, padding, &key, random))
        .collect::<Result<Vec<_>, _>>()
        .map_err(SealError::Cryptography)?;
    let (cipher, algorithm) = content_encryption(content_cipher, &key, random).map_err(encoding)?;
    let head = head(content_cipher, recipients, &algorithm, cipher.encrypted_size(size)).map_err(encoding)?;

    let mut output = Base64Lines::new(output);
    output.write(&head)?;
    let (encrypted, tag) = encrypt(cipher, open(), &mut output)?;
    if encrypted != size {
        return Err(SealError::Changed);
    }
    if content_cipher == ContentCipher::Aes256Gcm {
        let tag = OctetString::new(tag).and_then(|tag| tag.to_der()).map_err(encoding)?;
        output.write(&tag)?;
    }
    output.finish()?;
    Ok(())
}

fn size_of_entity(mut entity: impl Read) -> io::Result<u64> {
    let mut piece = vec![0_u8; PIECE];
    let mut size = 0_u64;
    loop {
        match entity.read(&mut piece)? {
            0 => return Ok(size),
            read => size += read as u64,
        }
    }
}

/// Encrypts what `entity` gives; the number of bytes read, and the tag.
fn encrypt(
    mut cipher: Cipher,
    mut entity: impl Read,
    output: &mut Base64Lines<impl Write>,
) -> io::Result<(u64, Vec<u8>)> {
    let mut piece = Vec::with_capacity(PIECE + BLOCK_SIZE);
    let mut size = 0_u64;
    loop {
        piece.clear();
        // Until the piece is full or there is no more: only the last one may end within a block.
        entity.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        size += piece.len() as u64;
        if piece.len() < PIECE {
            let tag = cipher.finish(&mut piece);
            output.write(&piece)?;
            return Ok((size, tag));
        }
        cipher.update(&mut piece);
        output.write(&piece)?;
    }
}

/// The content cipher, keyed, and its AlgorithmIdentifier (RFC 3565 §4.1, RFC 5084 §3.2).
fn content_encryption(
    content_cipher: ContentCipher,
    key: &[u8; KEY_SIZE],
    random: &mut impl CryptoRng,
) -> der::Result<(Cipher, AlgorithmIdentifierOwned)> {
    #[derive(der::Sequence)]
    struct GcmParameters {
        nonce: OctetString,
        icv_length: u8,
    }
    match content_cipher {
        ContentCipher::Aes256Cbc => {
            let mut iv = [0_u8; BLOCK_SIZE];
            random.fill_bytes(&mut iv);
            let parameters = Any::encode_from(&OctetString::new(iv.as_slice())?)?;
            let algorithm = AlgorithmIdentifierOwned { oid: rfc5911::ID_AES_256_CBC, parameters: Some(parameters) };
            Ok((Cipher::cbc(key, &iv), algorithm))
        }
        ContentCipher::Aes256Gcm => {
            let mut nonce = [0_u8; NONCE_SIZE];
            random.fill_bytes(&mut nonce);
            let icv_length = u8::try_from(TAG_SIZE).unwrap_or_default();
            let parameters = GcmParameters { nonce: OctetString::new(nonce.as_slice())?, icv_length };
            let parameters = Any::encode_from(&parameters)?;
            let algorithm = AlgorithmIdentifierOwned { oid: rfc5911::ID_AES_256_GCM, parameters: Some(parameters) };
            Ok((Cipher::gcm(key, &nonce), algorithm))
        }
    }
}

/// Everything up to the first byte of the encrypted content.
///
/// ```text
/// ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT SEQUENCE {       -- (Auth)EnvelopedData
///     version, recipientInfos,
///     EncryptedContentInfo SEQUENCE { contentType, algorithm, [0] IMPLICIT OCTET STRING …content… },
///     …mac OCTET STRING, AuthEnvelopedData only… } }
/// ```
/// Built from the inside out: at each step `head` is what a value starts with and `rest` how much of it is to come.
fn head(
    content_cipher: ContentCipher,
    recipients: Vec<RecipientInfo>,
    algorithm: &AlgorithmIdentifierOwned,
    encrypted_size: u64,
) -> der::Result<Vec<u8>> {
    let (content_type, version) = match content_cipher {
        ContentCipher::Aes256Cbc => (rfc5911::ID_ENVELOPED_DATA, enveloped_data_version(&recipients)),
        ContentCipher::Aes256Gcm => (ID_CT_AUTH_ENVELOPED_DATA, CmsVersion::V0),
    };
    let rest = Length::try_from(usize::try_from(encrypted_size).map_err(|_| der::ErrorKind::Overflow)?)?;
    let tag_rest = match content_cipher {
        ContentCipher::Aes256Cbc => Length::ZERO,
        // The tag's own header is two bytes.
        ContentCipher::Aes256Gcm => Length::try_from(TAG_SIZE + 2)?,
    };

    let mut head = rfc5911::ID_DATA.to_der()?;
    algorithm.encode_to_vec(&mut head)?;
    Header::new(Tag::ContextSpecific { constructed: false, number: TagNumber(0) }, rest).encode_to_vec(&mut head)?;
    let head = opened(Tag::Sequence, &[], &head, rest)?;

    let mut before = version.to_der()?;
    RecipientInfos::try_from(recipients)?.encode_to_vec(&mut before)?;
    let rest = (rest + tag_rest)?;
    let head = opened(Tag::Sequence, &before, &head, rest)?;
    let head = opened(Tag::ContextSpecific { constructed: true, number: TagNumber(0) }, &[], &head, rest)?;
    opened(Tag::Sequence, &content_type.to_der()?, &head, rest)
}

/// RFC 5083 §2.1; not in the database of names.
const ID_CT_AUTH_ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.23");

/// RFC 5652 §6.1: 2 as soon as a recipient's version is not 0.
fn enveloped_data_version(recipients: &[RecipientInfo]) -> CmsVersion {
    if recipients.iter().all(|info| matches!(info, RecipientInfo::Ktri(_))) { CmsVersion::V0 } else { CmsVersion::V2 }
}

/// Header of a constructed value whose content is `before`, `head`, and `rest` bytes that follow; then these two.
fn opened(tag: Tag, before: &[u8], head: &[u8], rest: Length) -> der::Result<Vec<u8>> {
    let length = (Length::try_from(before.len())? + Length::try_from(head.len())?)?;
    let mut value = Header::new(tag, (length + rest)?).to_der()?;
    value.extend_from_slice(before);
    value.extend_from_slice(head);
    Ok(value)
}

fn encoding(error: der::Error) -> SealError {
    SealError::Cryptography(format!("encoding the message: {error}"))
}

/// Writes base64 in lines ended by CRLF.
struct Base64Lines<W> {
    output: W,
    /// What does not fill a line yet.
    pending: Vec<u8>,
}

impl<W: Write> Base64Lines<W> {
    fn new(output: W) -> Self {
        Self { output, pending: Vec::with_capacity(PIECE + LINE_BYTES) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() / LINE_BYTES * LINE_BYTES;
        let rest = self.pending.split_off(whole);
        self.write_pending()?;
        self.pending = rest;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.write_pending()?;
        self.output.flush()
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let mut text = String::with_capacity(self.pending.len() / LINE_BYTES * 78 + 78);
        for line in self.pending.chunks(LINE_BYTES) {
            BASE64.encode_append(line, &mut text);
            text.push_str("\r\n");
        }
        if text.is_empty() { Ok(()) } else { self.output.write_all(text.as_bytes()) }
    }
}
