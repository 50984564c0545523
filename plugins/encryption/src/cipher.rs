//! AES-256 over content that comes in pieces.

use crate::recipient::KEY_SIZE;
use aes::{
    Aes256, Block,
    cipher::{BlockCipherEncrypt, BlockModeEncrypt, KeyInit, KeyIvInit, StreamCipher, array::Array},
};
use ghash::{GHash, universal_hash::UniversalHash};

/// Bytes of a block of AES.
pub(crate) const BLOCK_SIZE: usize = 16;
/// Bytes of the nonce of GCM (RFC 5084 §3.2 recommends 12).
pub(crate) const NONCE_SIZE: usize = 12;

/// Encrypts in place, piece by piece. Every piece but the last must be a multiple of [`BLOCK_SIZE`].
#[allow(clippy::large_enum_variant, reason = "there is one of it, for as long as a message is encrypted")]
pub(crate) enum Cipher {
    /// CBC with the padding of RFC 5652 §6.3.
    Cbc(cbc::Encryptor<Aes256>),
    /// GCM, NIST SP 800-38D, without additional data.
    Gcm(Gcm),
}

/// GCM out of its parts, because the crates that have it whole want the whole content in memory.
pub(crate) struct Gcm {
    counter: ctr::Ctr32BE<Aes256>,
    hash: GHash,
    /// Encrypted first counter block, which masks the tag.
    mask: Block,
    bytes: u64,
}

impl Cipher {
    pub(crate) fn cbc(key: &[u8; KEY_SIZE], iv: &[u8; BLOCK_SIZE]) -> Self {
        Self::Cbc(cbc::Encryptor::new(key.into(), iv.into()))
    }

    pub(crate) fn gcm(key: &[u8; KEY_SIZE], nonce: &[u8; NONCE_SIZE]) -> Self {
        let aes = Aes256::new(key.into());
        let mut hash_key = Block::default();
        aes.encrypt_block(&mut hash_key);

        let mut first = [0_u8; BLOCK_SIZE];
        for (to, from) in first.iter_mut().zip(nonce.iter().chain(&[0, 0, 0, 1])) {
            *to = *from;
        }
        let mut mask = Block::default();
        let mut counter = ctr::Ctr32BE::<Aes256>::new(key.into(), &first.into());
        // The first block of key stream masks the tag, the content gets the rest.
        counter.apply_keystream(&mut mask);
        Self::Gcm(Gcm { counter, hash: GHash::new(&hash_key), mask, bytes: 0 })
    }

    /// Size of `plain` bytes when encrypted, without the tag.
    pub(crate) fn encrypted_size(&self, plain: u64) -> u64 {
        match self {
            Self::Cbc(_) => (plain / BLOCK_SIZE as u64 + 1) * BLOCK_SIZE as u64,
            Self::Gcm(_) => plain,
        }
    }

    /// Encrypts a piece that is not the last.
    pub(crate) fn update(&mut self, piece: &mut [u8]) {
        match self {
            Self::Cbc(cbc) => {
                let (blocks, rest) = Array::slice_as_chunks_mut(piece);
                debug_assert!(rest.is_empty(), "only the last piece may end within a block");
                cbc.encrypt_blocks(blocks);
            }
            Self::Gcm(gcm) => gcm.update(piece),
        }
    }

    /// Encrypts the last piece, which grows by the padding, and gives the tag; none with CBC.
    pub(crate) fn finish(mut self, piece: &mut Vec<u8>) -> Vec<u8> {
        match &mut self {
            Self::Cbc(_) => {
                let padding = BLOCK_SIZE - piece.len() % BLOCK_SIZE;
                // 1 to 16: each byte of the padding is its length.
                piece.resize(piece.len() + padding, u8::try_from(padding).unwrap_or_default());
                self.update(piece);
                Vec::new()
            }
            Self::Gcm(gcm) => {
                gcm.update(piece);
                gcm.tag()
            }
        }
    }
}

impl Gcm {
    fn update(&mut self, piece: &mut [u8]) {
        self.counter.apply_keystream(piece);
        self.hash.update_padded(piece);
        self.bytes += piece.len() as u64;
    }

    fn tag(&mut self) -> Vec<u8> {
        let mut lengths = [0_u8; BLOCK_SIZE];
        // Additional data: 0 bits; content: its bits.
        for (to, from) in lengths.iter_mut().skip(8).zip((self.bytes * 8).to_be_bytes()) {
            *to = from;
        }
        self.hash.update(&[lengths.into()]);
        let hash = self.hash.clone().finalize();
        hash.iter().zip(&self.mask).map(|(hash, mask)| hash ^ mask).collect()
    }
}
