//! Times as text.

/// UTC as in RFC 3339, by the civil-from-days algorithm (H. Hinnant, 2013).
pub(crate) fn rfc3339(unix_nanos: u64) -> String {
    let (seconds, nanos) = (unix_nanos / 1_000_000_000, unix_nanos % 1_000_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_nanosecond() {
        let check = |nanos: u64, expected: &str| assert_eq!(rfc3339(nanos), expected);
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z");
        check(1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999999Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z");
    }
}
