//! Times as nanoseconds since 1970: civil dates, RFC 3339 in and out.
use std::cell::RefCell;

use super::text::{eight_digits, pair};
use crate::clock::Timestamp;
use crate::limits::SECOND;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
#[inline]
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let doy = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Year, month and day of a day number.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month as u32, (doy - (153 * mp + 2) / 5 + 1) as u32)
}

/// Days of a month.
pub fn month_days(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Nanoseconds of a civil time in UTC. None where a part is out of range.
#[inline]
pub fn from_civil(date: (i64, u32, u32), clock: (u32, u32, u32), nanos: i64) -> Option<Timestamp> {
    let (year, month, day) = date;
    let (hour, minute, second) = clock;
    // A leap second counts as the second before it.
    if !(1..=12).contains(&month) || day == 0 || day > month_days(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second.min(59));
    seconds.checked_mul(SECOND)?.checked_add(nanos)
}

#[inline(always)]
fn two(text: &[u8], at: usize) -> Option<u32> {
    let (a, b) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (a < 10 && b < 10).then_some(u32::from(a) * 10 + u32::from(b))
}

/// Parses `2026-01-02T03:04:05.678+02:00`; `T` may be a blank, the zone may be `Z`, `+hh:mm`, `+hhmm` or missing (UTC).
#[inline]
pub fn parse_rfc3339(text: &[u8]) -> Option<Timestamp> {
    if text.len() < 19 || text[4] != b'-' || text[7] != b'-' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    if !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = i64::from(two(text, 0)? * 100 + two(text, 2)?);
    let date = (year, two(text, 5)?, two(text, 8)?);
    let clock = (two(text, 11)?, two(text, 14)?, two(text, 17)?);
    let mut at = 19;
    let mut nanos = 0i64;
    if matches!(text.get(19), Some(b'.' | b',')) {
        at = 20;
        let mut scale = SECOND;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            scale /= 10;
            nanos += i64::from(digit - b'0') * scale;
            at += 1;
        }
        if at == 20 {
            return None;
        }
    }
    let time = from_civil(date, clock, nanos)?;
    Some(time - parse_offset(&text[at..])? * SECOND)
}

/// Remembers the last minute and date: a fast stream says the same ones over and over.
#[derive(Clone, Copy, Debug)]
pub struct DateMemo {
    /// `2026-01-02T03:04`.
    minute: [u8; 16],
    minute_starts: Timestamp,
    midnight: Timestamp,
}

impl Default for DateMemo {
    /// Remembers a minute that is one: what is remembered is believed without a look.
    fn default() -> DateMemo {
        DateMemo { minute: *b"1970-01-01T00:00", minute_starts: 0, midnight: 0 }
    }
}

impl DateMemo {
    /// [`parse_rfc3339`], with the date and the minute worked out only when they change.
    #[inline]
    pub fn parse_rfc3339(&mut self, text: &[u8]) -> Option<Timestamp> {
        // The plain form: `…Thh:mm:ss[.fraction]Z`.
        let Some((minute, [b':', tens, units, fraction @ .., b'Z'])) = text.split_first_chunk::<16>() else { return parse_rfc3339(text) };
        if *minute != self.minute && !self.learn(*minute) {
            return parse_rfc3339(text);
        }
        let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
        let nanos = match fraction {
            [] => 0,
            // Milliseconds are what most devices write.
            [b'.', a, b, c] => decimal_fraction(&[*a, *b, *c])?,
            [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => decimal_fraction(digits)?,
            _ => return parse_rfc3339(text),
        };
        if tens > 5 || units > 9 {
            return parse_rfc3339(text);
        }
        Some(self.minute_starts + i64::from(tens * 10 + units) * SECOND + nanos)
    }

    /// Remembers another minute; false where it is none.
    #[inline(never)]
    fn learn(&mut self, minute: [u8; 16]) -> bool {
        let is_same_date = minute[..11] == self.minute[..11];
        if is_same_date && let (b':', Some(h @ ..24), Some(m @ ..60)) = (minute[13], two(&minute, 11), two(&minute, 14)) {
            self.minute_starts = self.midnight + i64::from(h * 3600 + m * 60) * SECOND;
        } else {
            let mut text = *b"0000-00-00T00:00:00";
            text[..16].copy_from_slice(&minute);
            let Some(time) = parse_rfc3339(&text) else { return false };
            (self.minute_starts, self.midnight) = (time, time - time.rem_euclid(86_400 * SECOND));
        }
        self.minute = minute;
        true
    }
}

#[inline(always)]
fn decimal_fraction(digits: &[u8]) -> Option<i64> {
    const SCALES: [i64; 10] = [SECOND, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    let mut n = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n * 10 + i64::from(digit);
    }
    Some(n * SCALES[digits.len()])
}

/// Seconds east of UTC of `Z`, `+hh:mm`, `+hhmm`, `+hh` or nothing.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let sign = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = match text.len() {
        3 => (two(text, 1)?, 0),
        5 => (two(text, 1)?, two(text, 3)?),
        6 if text[3] == b':' => (two(text, 1)?, two(text, 4)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * i64::from(hours * 3600 + minutes * 60))
}

/// Whether a text that [`parse_rfc3339`] took is what [`write_rfc3339`] would write.
#[inline]
pub fn is_canonical(text: &[u8]) -> bool {
    let len = text.len();
    text.last() == Some(&b'Z') && text[10] == b'T' && (len == 20 || (text[19] == b'.' && text[len - 2] != b'0' && len <= 30))
}

thread_local! {
    /// The day of the last time that a thread has written.
    static LAST_DAY: RefCell<DateText> = const { RefCell::new(DateText { day: None, text: [0; 10] }) };
}

/// Appends RFC 3339 in UTC with `Z`, trailing zeros of the fraction cut.
pub fn write_rfc3339(time: Timestamp, out: &mut Vec<u8>) {
    LAST_DAY.with_borrow_mut(|day| day.write_rfc3339(time, out));
}

/// The text of a day, kept for the next time of the same day.
struct DateText {
    day: Option<i64>,
    text: [u8; 10],
}

impl DateText {
    /// [`write_rfc3339`].
    fn write_rfc3339(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let seconds = time.div_euclid(SECOND);
        let nanos = time.rem_euclid(SECOND) as u32;
        let (day, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
        if self.day != Some(day) {
            let (year, month, of_month) = civil_from_days(day);
            let year = year.clamp(0, 9999) as u32;
            self.text = *b"0000-00-00";
            for (at, part) in [(0, year / 100), (2, year % 100), (5, month), (8, of_month)] {
                self.text[at..at + 2].copy_from_slice(&pair(part));
            }
            self.day = Some(day);
        }
        // The digits are put where they are to stand: what is copied as a whole right behind its making waits for its parts.
        let from = out.len();
        out.extend_from_slice(b"0000-00-00T00:00:00.000000000Z");
        let Some(text) = out[from..].first_chunk_mut::<30>() else { return };
        text[..10].copy_from_slice(&self.text);
        for (at, part) in [(11, of_day / 3600), (14, of_day / 60 % 60), (17, of_day % 60)] {
            text[at..at + 2].copy_from_slice(&pair(part));
        }
        let len = match nanos {
            0 => 19,
            _ => {
                let (digits, last) = (eight_digits(nanos / 10), (nanos % 10) as u8);
                text[20..28].copy_from_slice(&(digits | u64::from_le_bytes([b'0'; 8])).to_le_bytes());
                text[28] = b'0' + last;
                // The last digit of eight is the highest byte.
                if last != 0 { 29 } else { 28 - digits.leading_zeros() as usize / 8 }
            }
        };
        text[len] = b'Z';
        out.truncate(from + len + 1);
    }
}

/// [`write_rfc3339`] as a string.
pub fn rfc3339(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(30);
    write_rfc3339(time, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rfc3339_round_trips(time in -62_000_000_000i64..250_000_000_000, nanos in 0i64..SECOND) {
            // The range of an i64 of nanoseconds ends in 2262.
            let time = (time.rem_euclid(9_000_000_000)) * SECOND + nanos;
            // The day that was written before is no part of it.
            rfc3339(time - 86_400 * SECOND);
            let text = rfc3339(time);
            prop_assert_eq!(&text, &rfc3339(time));
            prop_assert_eq!(parse_rfc3339(text.as_bytes()), Some(time));
            prop_assert!(is_canonical(text.as_bytes()));
            let mut memo = DateMemo::default();
            let zeros = format!("{}:05Z", "\0".repeat(16));
            for text in [zeros.as_str(), "1970-01-01T00:00:07Z", text.as_str(), "2026-01-01T00:00:60Z", "2026-01-01T00:00:00Z", text.as_str(), text.as_str()] {
                prop_assert_eq!(memo.parse_rfc3339(text.as_bytes()), parse_rfc3339(text.as_bytes()));
            }
            let jiff: jiff::Timestamp = text.parse().unwrap();
            prop_assert_eq!(jiff.as_nanosecond(), i128::from(time));
        }
    }

    #[test]
    fn zones_and_refusals() {
        assert_eq!(parse_rfc3339(b"1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(parse_rfc3339(b"1970-01-01 00:00:01,5"), Some(SECOND * 3 / 2));
        for bad in ["1970-02-30T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00+25:00", "1970-01-01"] {
            assert_eq!(parse_rfc3339(bad.as_bytes()), None, "{bad}");
        }
    }
}
