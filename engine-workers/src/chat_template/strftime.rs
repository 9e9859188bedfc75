//! Dates as templates ask for them.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SECONDS_PER_DAY: i64 = 86_400;

/// A moment of the Gregorian calendar in UTC.
struct Moment {
    year: i64,
    month: usize,
    day: i64,
    day_of_year: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    fn of(time: SystemTime) -> Self {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(0),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(0),
        };
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (mut year, mut day_of_year) = (1970, days);
        while day_of_year < 0 {
            year -= 1;
            day_of_year += days_in_year(year);
        }
        while day_of_year >= days_in_year(year) {
            day_of_year -= days_in_year(year);
            year += 1;
        }
        let (mut month, mut day) = (0, day_of_year);
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Self {
            year,
            month,
            day: day + 1,
            day_of_year: day_of_year + 1,
            // The first day of 1970 was a Thursday.
            weekday: (days + 3).rem_euclid(7) as usize,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// C's `strftime` in the C locale and UTC; directives that it does not know are copied.
pub(crate) fn strftime(time: SystemTime, format: &str) -> String {
    let moment = Moment::of(time);
    let month = MONTHS.get(moment.month).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(moment.weekday).copied().unwrap_or_default();
    let hour_of_12 = (moment.hour + 11) % 12 + 1;
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let directive = characters.next();
        // `%-d` is glibc's way to leave out the leading zero.
        let (is_padded, directive) =
            if directive == Some('-') { (false, characters.next()) } else { (true, directive) };
        let mut pad = |number: i64, width: usize| {
            let width = if is_padded { width } else { 0 };
            out.push_str(&format!("{number:0width$}"));
        };
        match directive {
            Some('Y') => pad(moment.year, 4),
            Some('y') => pad(moment.year.rem_euclid(100), 2),
            Some('m') => pad(moment.month as i64 + 1, 2),
            Some('d') => pad(moment.day, 2),
            Some('j') => pad(moment.day_of_year, 3),
            Some('H') => pad(moment.hour, 2),
            Some('I') => pad(hour_of_12, 2),
            Some('M') => pad(moment.minute, 2),
            Some('S') => pad(moment.second, 2),
            Some('u') => pad(moment.weekday as i64 + 1, 1),
            Some('B') => out.push_str(month),
            Some('b' | 'h') => out.push_str(&month[..3]),
            Some('A') => out.push_str(weekday),
            Some('a') => out.push_str(&weekday[..3]),
            Some('p') => out.push_str(if moment.hour < 12 { "AM" } else { "PM" }),
            Some('Z') => out.push_str("UTC"),
            Some('z') => out.push_str("+0000"),
            Some('F') => out.push_str(&strftime(time, "%Y-%m-%d")),
            Some('T') => out.push_str(&strftime(time, "%H:%M:%S")),
            Some('e') => out.push_str(&format!("{:2}", moment.day)),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_written_as_c_writes_them() {
        let check = |seconds: u64, format: &str, expected: &str| {
            assert_eq!(strftime(UNIX_EPOCH + Duration::from_secs(seconds), format), expected);
        };
        check(0, "%A %d %B %Y %H:%M:%S", "Thursday 01 January 1970 00:00:00");
        check(951_782_400, "%Y-%m-%d %j", "2000-02-29 060");
        check(1_735_689_599, "%d %b %Y, %I:%M %p, %a", "31 Dec 2024, 11:59 PM, Tue");
        check(1_735_689_600, "%B %-d, %Y %%", "January 1, 2025 %");
        check(4_107_542_400, "%F %T", "2100-03-01 00:00:00");
    }
}
