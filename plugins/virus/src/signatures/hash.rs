//! Whole files by their hash. ClamAV's .hdb and .hsb: `HASH:SIZE:NAME[:MIN-LEVEL[:MAX-LEVEL]]`, the hash MD5, SHA-1 or
//! SHA-256 in hexadecimal digits, the size in bytes or `*`.

use super::Line;
use data_encoding::HEXLOWER_PERMISSIVE;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(crate) struct HashSignatures {
    md5: Kind,
    sha1: Kind,
    sha256: Kind,
}

/// The signatures of one hash function.
#[derive(Default)]
struct Kind {
    by_digest: HashMap<Vec<u8>, Vec<Known>>,
    /// Sizes that occur, so that nothing is hashed in vain.
    sizes: HashSet<usize>,
    any_size: bool,
}

struct Known {
    size: Option<usize>,
    name: String,
}

impl HashSignatures {
    /// A file of any size by its SHA-256.
    pub(crate) fn add_sha256(&mut self, digest: &str, name: &str) -> Result<(), String> {
        match hexadecimal(digest) {
            Some(digest) if digest.len() == 32 => {
                self.sha256.add(digest, None, name);
                Ok(())
            }
            _ => Err(format!("must be 64 hexadecimal digits, is {digest:?}")),
        }
    }

    pub(crate) fn add_line(&mut self, line: &str) -> Result<Line, String> {
        let mut fields = line.split(':');
        let (Some(digest), Some(size), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
            return Err("must be HASH:SIZE:NAME".to_owned());
        };
        if name.is_empty() {
            return Err("has no name".to_owned());
        }
        let digest = hexadecimal(digest).ok_or("its hash has other than hexadecimal digits")?;
        let size = match size {
            "*" => None,
            size => Some(size.parse().map_err(|_| format!("its size must be a number or *, is {size:?}"))?),
        };
        let kind = match digest.len() {
            16 => &mut self.md5,
            20 => &mut self.sha1,
            32 => &mut self.sha256,
            other => {
                return Err(format!("its hash must be MD5, SHA-1 or SHA-256, has {} digits", other.saturating_mul(2)));
            }
        };
        kind.add(digest, size, name);
        Ok(Line::Taken)
    }

    /// Whether any of them is of a file of this size.
    pub(crate) fn can_match(&self, size: usize) -> bool {
        [&self.md5, &self.sha1, &self.sha256].iter().any(|kind| kind.can_match(size))
    }

    pub(crate) fn find(&self, bytes: &[u8]) -> Option<&str> {
        self.md5
            .find(bytes.len(), || Md5::digest(bytes).to_vec())
            .or_else(|| self.sha1.find(bytes.len(), || Sha1::digest(bytes).to_vec()))
            .or_else(|| self.sha256.find(bytes.len(), || Sha256::digest(bytes).to_vec()))
    }
}

impl Kind {
    fn add(&mut self, digest: Vec<u8>, size: Option<usize>, name: &str) {
        match size {
            Some(size) => {
                self.sizes.insert(size);
            }
            None => self.any_size = true,
        }
        self.by_digest.entry(digest).or_default().push(Known { size, name: name.to_owned() });
    }

    fn can_match(&self, size: usize) -> bool {
        self.any_size || self.sizes.contains(&size)
    }

    fn find(&self, size: usize, digest: impl FnOnce() -> Vec<u8>) -> Option<&str> {
        if !self.can_match(size) {
            return None;
        }
        let known = self.by_digest.get(&digest())?;
        known.iter().find(|known| known.size.is_none_or(|needed| needed == size)).map(|known| known.name.as_str())
    }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_hash_and_size() {
        let mut signatures = HashSignatures::default();
        signatures.add_line("900150983cd24fb0d6963f7d28e17f72:3:By.Md5").unwrap();
        signatures.add_line("3c01bdbb26f358bab27f267924aa2c9a03fcfdb8:*:By.Sha1:73").unwrap();
        signatures.add_sha256("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", "By.Sha256").unwrap();
        signatures.add_line("00000000000000000000000000000000:4:Other").unwrap();
        assert_eq!(signatures.find(b"abc"), Some("By.Md5"));
        assert_eq!(signatures.find(b"abcd"), None);
        let mut wrong_size = HashSignatures::default();
        wrong_size.add_line("900150983cd24fb0d6963f7d28e17f72:4:By.Md5").unwrap();
        assert_eq!(wrong_size.find(b"abc"), None);
    }

    #[test]
    fn wrong_lines_are_told() {
        let mut signatures = HashSignatures::default();
        for line in ["abc", "zz:3:Name", "abcd:3:Name", "900150983cd24fb0d6963f7d28e17f72:x:Name"] {
            assert!(signatures.add_line(line).is_err(), "{line}");
        }
        assert!(signatures.add_sha256("1234", "Name").is_err());
    }
}
