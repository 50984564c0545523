//! Amounts as people write them: `"10s"`, `"1m30s"`, `"25MB"`.

use std::time::Duration;

/// Reads a length of time: one or more of `<number><unit>` with the units ms, s, m, h, d: `"500ms"`, `"10s"`, `"1m30s"`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let wrong = || format!("must be a length of time with a unit (ms, s, m, h, d), is {text:?}");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let part = number.checked_mul(factor).ok_or_else(|| format!("is too long: {text:?}"))?;
        total = total.checked_add(part).ok_or_else(|| format!("is too long: {text:?}"))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size: `<number><unit>` with the units B, kB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of 1024);
/// the unit's case does not matter.
///
/// # Errors
/// What is wrong with it, in words.
pub fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    let wrong = || format!("must be a size with a unit (B, kB, MB, GB, KiB, MiB, GiB), is {text:?}");
    let (number, unit, after) = number_and_unit(text.trim());
    if !after.is_empty() {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
    number.checked_mul(factor).ok_or_else(|| format!("is too large: {text:?}"))
}

/// Writes a length of time so that [`duration`] reads it.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms > 0 && ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        ms if ms > 0 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms > 0 && ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// Writes a size so that [`size`] reads it.
#[must_use]
pub fn show_size(size: u64) -> String {
    for (unit, factor) in [("GB", 1_000_000_000), ("GiB", 1 << 30), ("MB", 1_000_000), ("MiB", 1 << 20), ("kB", 1_000)]
    {
        if size > 0 && size.is_multiple_of(factor) {
            return format!("{}{unit}", size / factor);
        }
    }
    format!("{size}B")
}

/// Digits, then letters (white space between is allowed), then what follows.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let (number, rest) = split_while(text, |c| c.is_ascii_digit());
    let (unit, rest) = split_while(rest.trim_start(), |c| c.is_ascii_alphabetic());
    (number, unit, rest)
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(|c| !keep(c)).unwrap_or(text.len())).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time() {
        for (text, ms) in
            [("500ms", 500), ("10s", 10_000), ("1m30s", 90_000), ("2 h", 7_200_000), ("1d", 86_400_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "s", "10 parsecs", "-1s", "1.5s", "10s!", "99999999999999999999s", "999999999999999999d"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1B", 1),
            ("25MB", 25_000_000),
            ("1 MiB", 1_048_576),
            ("2gb", 2_000_000_000),
            ("64kB", 64_000),
            ("1KB", 1_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "10", "MB", "10m", "-1MB", "1.5MB", "10MBx", "99999999999999GB", "1MB2kB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0..10_000_000_000_u64, bytes in any::<u64>()) {
            prop_assert_eq!(duration(&show_duration(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_refused_or_has_a_value_that_is_read_back(text in "[0-9a-zA-Z. é-]{0,12}") {
            if let Ok(read) = duration(&text) {
                prop_assert_eq!(duration(&show_duration(read)), Ok(read));
            }
            if let Ok(read) = size(&text) {
                prop_assert_eq!(size(&show_size(read)), Ok(read));
            }
        }
    }
}
