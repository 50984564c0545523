//! The EICAR anti-virus test file (<https://www.eicar.org/download-anti-malware-testfile/>): the first 68 bytes are the
//! known ones, followed by nothing but white space, at most 128 bytes in all.

use sha2::{Digest, Sha256};

pub(crate) const NAME: &str = "Eicar-Test-Signature";

const LENGTH: usize = 68;
pub(crate) const LONGEST: usize = 128;

/// SHA-256 of the 68 bytes. The bytes themselves would make scanners find a virus in this very program.
const SHA256: [u8; 32] = [
    0x27, 0x5a, 0x02, 0x1b, 0xbf, 0xb6, 0x48, 0x9e, 0x54, 0xd4, 0x71, 0x89, 0x9f, 0x7d, 0xb9, 0xd1, 0x66, 0x3f, 0xc6,
    0x95, 0xec, 0x2f, 0xe2, 0xa2, 0xc4, 0x53, 0x8a, 0xab, 0xf6, 0x51, 0xfd, 0x0f,
];

/// Whether this is the test file.
pub(crate) fn is_test_file(bytes: &[u8]) -> bool {
    if bytes.len() > LONGEST {
        return false;
    }
    let Some((start, rest)) = bytes.split_at_checked(LENGTH) else { return false };
    // Tab, line feed, carriage return, Ctrl-Z, space.
    rest.iter().all(|byte| matches!(byte, 0x09 | 0x0a | 0x0d | 0x1a | 0x20))
        && Sha256::digest(start).as_slice() == SHA256
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Put together at run time, for scanners' sake.
    pub(crate) fn eicar() -> Vec<u8> {
        [r"X5O!P%@AP[4\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
    }

    #[test]
    fn the_test_file_is_found_with_white_space_up_to_128_bytes() {
        let padded = |padding: &[u8], times: usize| [eicar(), padding.repeat(times)].concat();
        assert_eq!(eicar().len(), 68);
        assert!(is_test_file(&eicar()));
        assert!(is_test_file(&padded(b"\r\n", 1)));
        assert!(is_test_file(&padded(b" ", 60)));
        assert!(!is_test_file(&padded(b" ", 61)));
        assert!(!is_test_file(&padded(b"x", 1)));
        assert!(!is_test_file(&[b" ".to_vec(), eicar()].concat()));
        assert!(!is_test_file(&eicar()[..67]));
    }
}
