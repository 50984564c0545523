//! Signatures of plugins: Ed25519, in the format of minisign.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Longest signature file that is looked at; real ones have some 400 bytes.
pub(crate) const LONGEST: usize = 4096;

/// The public half of a key that signs plugins.
#[derive(Clone)]
pub struct PublicKey {
    inner: minisign_verify::PublicKey,
    text: String,
}

/// Not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no public key of minisign (a line that begins with RW, or the two lines of minisign.pub): {reason}")]
pub struct InvalidKey {
    reason: String,
}

/// Why a plugin does not count as signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// What should be the signature is something else.
    #[error("its signature is malformed: {0}")]
    Malformed(String),
    /// Signed by another key.
    #[error("it is signed by another key")]
    OtherKey,
    /// The signature is of something else: the plugin or the signature was changed.
    #[error("its signature does not fit: the plugin or the signature was changed")]
    Changed,
}

impl PublicKey {
    /// Reads a key: its base64 line alone, or a whole file as `minisign -G` writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        let inner = if text.contains('\n') {
            minisign_verify::PublicKey::decode(text)
        } else {
            minisign_verify::PublicKey::from_base64(text)
        };
        let line = text.lines().last().unwrap_or_default().trim().to_owned();
        inner.map(|inner| Self { inner, text: line }).map_err(|error| InvalidKey { reason: error.to_string() })
    }

    /// Whether `signature`, the text of a `.minisig` file, is this key's over `bytes`. Gives its trusted comment.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify(&self, bytes: &[u8], signature: Option<&str>) -> Result<String, SignatureError> {
        let signature = signature.ok_or(SignatureError::Unsigned)?;
        if signature.len() > LONGEST {
            return Err(SignatureError::Malformed(format!("longer than {LONGEST} bytes")));
        }
        let signature = minisign_verify::Signature::decode(signature)
            .map_err(|error| SignatureError::Malformed(error.to_string()))?;
        // Only prehashed signatures, minisign's default since 0.8: the older kind is for small files.
        self.inner.verify(bytes, &signature, false).map_err(|error| match error {
            minisign_verify::Error::UnexpectedKeyId => SignatureError::OtherKey,
            minisign_verify::Error::UnexpectedAlgorithm | minisign_verify::Error::UnsupportedLegacyMode => {
                SignatureError::Malformed(
                    "not a prehashed Ed25519 signature; sign with minisign 0.8 or later".to_owned(),
                )
            }
            _ => SignatureError::Changed,
        })?;
        Ok(signature.trusted_comment().to_owned())
    }
}

/// Where the signature of a file lies: `FILE.minisig`, as `minisign -S` writes it.
#[must_use]
pub fn signature_file(file: &Path) -> PathBuf {
    let mut beside = file.to_owned().into_os_string();
    beside.push(".minisig");
    beside.into()
}

/// The text of the signature that lies beside a file; none when there is none.
///
/// # Errors
/// When it is there and can not be read as text.
pub fn read_signature(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(signature_file(file)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const PLUGIN: &[u8] = b"\0asm\x0d\0\x01\0 not a whole plugin, but bytes are bytes";

    fn signed(bytes: &[u8]) -> (String, String) {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let signature =
            minisign::sign(Some(&pair.pk), &pair.sk, Cursor::new(bytes), Some("look-alike 1.2"), None).unwrap();
        (pair.pk.to_box().unwrap().to_string(), signature.to_string())
    }

    #[test]
    fn what_the_key_signed_is_taken_with_its_comment() {
        let (key, signature) = signed(PLUGIN);
        let whole_file = PublicKey::parse(&key).unwrap();
        let line_alone = PublicKey::parse(key.lines().last().unwrap()).unwrap();
        assert_eq!(whole_file, line_alone);
        assert_eq!(whole_file.verify(PLUGIN, Some(&signature)).unwrap(), "look-alike 1.2");
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let (key, signature) = signed(PLUGIN);
        let key = PublicKey::parse(&key).unwrap();
        for at in 0..PLUGIN.len() {
            let mut changed = PLUGIN.to_vec();
            changed[at] ^= 1;
            assert_eq!(key.verify(&changed, Some(&signature)), Err(SignatureError::Changed));
        }
        let forged = signature.replace("look-alike 1.2", "look-alike 9.9");
        assert_eq!(key.verify(PLUGIN, Some(&forged)), Err(SignatureError::Changed));
    }

    #[test]
    fn no_signature_a_strange_one_and_another_keys_are_told_apart() {
        let (key, _) = signed(PLUGIN);
        let (_, of_another) = signed(PLUGIN);
        let key = PublicKey::parse(&key).unwrap();
        assert_eq!(key.verify(PLUGIN, None), Err(SignatureError::Unsigned));
        assert_eq!(key.verify(PLUGIN, Some(&of_another)), Err(SignatureError::OtherKey));
        for strange in ["", "hello", &"x".repeat(LONGEST + 1), "a\nb\nc\nd\n"] {
            assert!(matches!(key.verify(PLUGIN, Some(strange)), Err(SignatureError::Malformed(_))), "{strange}");
        }
        for no_key in ["", "RW", "untrusted comment: x\n", "RWQ!"] {
            assert!(PublicKey::parse(no_key).is_err(), "{no_key}");
        }
    }
}
