//! Times as logs write them: how a text becomes nanoseconds, given a zone and what to do about a missing year.
use std::sync::Arc;

use jiff::fmt::strtime::BrokenDownTime;

use crate::clock::Timestamp;
use crate::event::time::{civil_from_days, from_civil, parse_rfc3339};
use crate::limits::SECOND;

/// How a declared time field is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, the syslog form, or a number whose size tells its unit.
    #[default]
    Auto,
    /// RFC 3339.
    Rfc3339,
    /// `Jan  2 15:04:05`, with or without a year.
    Syslog,
    /// A number of units of so many nanoseconds.
    Epoch(i64),
    /// A form as that of strftime(3).
    Form(Arc<str>),
}

/// Words for [`TimeFormat`].
pub const FORMATS: &[&str] = &["auto", "rfc3339", "syslog", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"];

impl TimeFormat {
    /// Reads a word, or a form that holds a `%`. An error says what is wrong with it.
    pub fn read(text: &str) -> Result<TimeFormat, String> {
        Ok(match text {
            "auto" => TimeFormat::Auto,
            "rfc3339" => TimeFormat::Rfc3339,
            "syslog" => TimeFormat::Syslog,
            "epoch_s" => TimeFormat::Epoch(SECOND),
            "epoch_ms" => TimeFormat::Epoch(SECOND / 1_000),
            "epoch_us" => TimeFormat::Epoch(1_000),
            "epoch_ns" => TimeFormat::Epoch(1),
            form if form.contains('%') => {
                check_form(form)?;
                TimeFormat::Form(form.into())
            }
            other => return Err(format!("there is no time format `{other}`")),
        })
    }
}

/// A form is good if a time that it wrote can be read by it, and has a day.
fn check_form(form: &str) -> Result<(), String> {
    let sample = jiff::Timestamp::from_second(1_794_225_600).map_err(|e| e.to_string())?;
    let text = BrokenDownTime::from(sample).to_string(form).map_err(|e| format!("bad time format: {e}"))?;
    let parts = BrokenDownTime::parse(form, &text).map_err(|e| format!("no time can be read by this format: {e}"))?;
    let has_day = parts.timestamp().is_some() || parts.day_of_year().is_some() || (parts.month().is_some() && parts.day().is_some());
    if has_day { Ok(()) } else { Err("this time format names no day".into()) }
}

/// The zone of times that do not name one.
#[derive(Clone, Debug, Default)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// A zone of the IANA database.
    Named(jiff::tz::TimeZone),
}

impl Zone {
    /// A zone by its name.
    pub fn named(name: &str) -> Option<Zone> {
        if name == "UTC" {
            return Some(Zone::Utc);
        }
        jiff::tz::TimeZone::get(name).ok().map(Zone::Named)
    }

    /// Seconds east of UTC at an instant.
    pub fn offset_at(&self, time: Timestamp) -> i64 {
        match self {
            Zone::Utc => 0,
            Zone::Named(zone) => jiff::Timestamp::from_nanosecond(i128::from(time)).map_or(0, |t| i64::from(zone.to_offset(t).seconds())),
        }
    }

    /// The instant of a local time that was computed as if it were UTC.
    fn to_utc(&self, local: Timestamp) -> Timestamp {
        match self {
            Zone::Utc => local,
            // Twice, so that a local time near a change of the clock finds the offset of its own side.
            Zone::Named(_) => local - self.offset_at(local - self.offset_at(local) * SECOND) * SECOND,
        }
    }
}

/// How the times of one source are read.
#[derive(Clone, Debug, Default)]
pub struct TimeRule {
    /// The form.
    pub format: TimeFormat,
    /// The zone of times without one.
    pub zone: Zone,
    /// The year of dates without one; else the year nearest the receive time.
    pub year: Option<i64>,
}

/// When something was received, with the parts that a missing year is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    time: Timestamp,
    year: i64,
    month: u32,
}

impl From<Timestamp> for Received {
    fn from(time: Timestamp) -> Received {
        let (year, month, _) = civil_from_days(time.div_euclid(86_400 * SECOND));
        Received { time, year, month }
    }
}

impl Received {
    /// Whether a month is so near that only the year of the receipt can be nearest.
    fn is_near(&self, month: u32) -> bool {
        self.month.abs_diff(month) < 5
    }
}

impl TimeRule {
    /// Reads a time.
    pub fn parse(&self, text: &[u8], received: Timestamp) -> Option<Timestamp> {
        match &self.format {
            TimeFormat::Rfc3339 => self.rfc3339(text),
            TimeFormat::Syslog => self.syslog(text, &received.into()).filter(|(_, used)| *used == text.len()).map(|(t, _)| t),
            TimeFormat::Epoch(unit) => parse_epoch(text, *unit),
            TimeFormat::Form(form) => self.form(form, text, received),
            TimeFormat::Auto => self.auto(text, received),
        }
    }

    fn auto(&self, text: &[u8], received: Timestamp) -> Option<Timestamp> {
        if let Some(n) = plain_digits(text) {
            return n.checked_mul(unit_of(text.len()));
        }
        // A date begins with its year and a dash.
        if text.get(4) == Some(&b'-')
            && let Some(time) = self.rfc3339(text)
        {
            return Some(time);
        }
        if text.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-') {
            let whole = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
            return parse_epoch(text, unit_of(whole));
        }
        self.syslog(text, &received.into()).filter(|(_, used)| *used == text.len()).map(|(t, _)| t)
    }

    fn form(&self, form: &str, text: &[u8], received: Timestamp) -> Option<Timestamp> {
        let parts = BrokenDownTime::parse(form, text).ok()?;
        if let Some(time) = parts.timestamp() {
            return i64::try_from(time.as_nanosecond()).ok();
        }
        let time = parts.to_time().ok()?;
        let number = |n: i8| u32::try_from(n).unwrap_or(0);
        let clock = (number(time.hour()), number(time.minute()), number(time.second()));
        let nanos = i64::from(time.subsec_nanosecond());
        let local = match (parts.year().map(i64::from).or(self.year), parts.month(), parts.day()) {
            (Some(year), Some(month), Some(day)) => from_civil((year, number(month), number(day)), clock, nanos)?,
            (None, Some(month), Some(day)) => nearest_year(number(month), number(day), clock, nanos, &received.into())?,
            _ => {
                let date = parts.to_date().ok()?;
                from_civil((i64::from(date.year()), number(date.month()), number(date.day())), clock, nanos)?
            }
        };
        Some(match parts.offset() {
            Some(offset) => local - i64::from(offset.seconds()) * SECOND,
            None => self.zone.to_utc(local),
        })
    }

    fn rfc3339(&self, text: &[u8]) -> Option<Timestamp> {
        let time = parse_rfc3339(text)?;
        let zoned = text.last().is_some_and(|b| *b == b'Z' || *b == b'z')
            || text.get(19..).is_some_and(|t| t.iter().any(|b| matches!(b, b'+' | b'-')));
        Some(if zoned { time } else { self.zone.to_utc(time) })
    }

    /// Reads `Mmm [d]d [yyyy] hh:mm:ss[.fff]` at the start of a text. Returns the time and the bytes used.
    #[inline]
    pub fn syslog(&self, text: &[u8], received: &Received) -> Option<(Timestamp, usize)> {
        let month = month(text.get(..3)?)?;
        if text.get(3) != Some(&b' ') {
            return None;
        }
        let mut at = 4 + usize::from(text.get(4) == Some(&b' '));
        let day = digits(text, &mut at, 2)?;
        if text.get(at) != Some(&b' ') {
            return None;
        }
        at += 1;
        let mut year = self.year;
        if text.get(at..at + 5).is_some_and(|t| t[..4].iter().all(u8::is_ascii_digit) && t[4] == b' ') {
            year = Some(i64::from(digits(text, &mut at, 4)?));
            at += 1;
        }
        let hour = digits(text, &mut at, 2)?;
        let mut parts = [0u32; 2];
        for part in &mut parts {
            if text.get(at) != Some(&b':') {
                return None;
            }
            at += 1;
            *part = digits(text, &mut at, 2)?;
        }
        let nanos = fraction(text, &mut at);
        let clock = (hour, parts[0], parts[1]);
        let time = match year {
            Some(year) => from_civil((year, month, day), clock, nanos)?,
            None => nearest_year(month, day, clock, nanos, received)?,
        };
        Some((self.zone.to_utc(time), at))
    }
}

/// Remembers the last minute of a stream of times as syslog writes them: a fast one says the same minute over and over.
#[derive(Debug, Default)]
pub struct SyslogMinute {
    /// `Mmm dd hh:mm:`, the year and the month that it was received in, and when it begins.
    known: Option<([u8; 13], (i64, u32), Timestamp)>,
}

impl SyslogMinute {
    /// [`TimeRule::syslog`].
    #[inline]
    pub fn read(&mut self, rule: &TimeRule, text: &[u8], received: &Received) -> Option<(Timestamp, usize)> {
        let plain = text.split_first_chunk::<13>().and_then(|(minute, rest)| match rest {
            [tens @ b'0'..=b'5', units @ b'0'..=b'9', rest @ ..] if !rest.first().is_some_and(u8::is_ascii_digit) => {
                Some((minute, i64::from((tens - b'0') * 10 + (units - b'0')) * SECOND))
            }
            _ => None,
        });
        let Some((minute, seconds)) = plain else { return rule.syslog(text, received) };
        let within = (received.year, received.month);
        if let Some((known, received, starts)) = &self.known
            && (known, *received) == (minute, within)
        {
            let mut at = 15;
            return Some((starts + seconds + fraction(text, &mut at), at));
        }
        let (time, used) = rule.syslog(text, received)?;
        // Far from the month of receipt the very moment decides on the year.
        let is_sure = rule.year.is_some() || month(&minute[..3]).is_some_and(|month| received.is_near(month));
        if is_sure && (minute[6], minute[9], minute[12]) == (b' ', b':', b':') {
            self.known = Some((*minute, within, time - time.rem_euclid(SECOND) - seconds));
        }
        Some((time, used))
    }
}

/// The time of a date without a year that lies nearest to when it was received.
fn nearest_year(month: u32, day: u32, clock: (u32, u32, u32), nanos: i64, received: &Received) -> Option<Timestamp> {
    if received.is_near(month)
        && let Some(time) = from_civil((received.year, month, day), clock, nanos)
    {
        return Some(time);
    }
    let years = [received.year - 1, received.year, received.year + 1];
    let candidates = years.into_iter().filter_map(|y| from_civil((y, month, day), clock, nanos));
    candidates.min_by_key(|t| received.time.abs_diff(*t))
}

fn month(name: &[u8]) -> Option<u32> {
    Some(match &[name[0] | 0x20, name[1] | 0x20, name[2] | 0x20] {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    })
}

/// Reads at least one and at most `most` digits.
fn digits(text: &[u8], at: &mut usize, most: usize) -> Option<u32> {
    let from = *at;
    let mut n = 0;
    while let Some(d @ b'0'..=b'9') = text.get(*at) {
        if *at - from == most {
            return None;
        }
        n = n * 10 + u32::from(d - b'0');
        *at += 1;
    }
    (*at > from).then_some(n)
}

/// Reads an optional fraction of a second.
fn fraction(text: &[u8], at: &mut usize) -> i64 {
    if text.get(*at) != Some(&b'.') || !text.get(*at + 1).is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    *at += 1;
    let (mut nanos, mut scale) = (0, SECOND);
    while let Some(d @ b'0'..=b'9') = text.get(*at) {
        scale /= 10;
        nanos += i64::from(d - b'0') * scale;
        *at += 1;
    }
    nanos
}

/// The unit of a time that has so many digits before its point.
fn unit_of(digits: usize) -> i64 {
    match digits {
        0..=11 => SECOND,
        12..=14 => SECOND / 1_000,
        15..=17 => 1_000,
        _ => 1,
    }
}

/// Eight digits at once: pairs of neighbours are joined, then pairs of pairs.
#[inline(always)]
fn eight_digits(text: [u8; 8]) -> Option<u32> {
    let word = u64::from_le_bytes(text);
    let high = word & 0xf0f0_f0f0_f0f0_f0f0;
    let carried = word.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
    if high != 0x3030_3030_3030_3030 || carried != high {
        return None;
    }
    let ones = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let twos = (ones & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    let fours = (twos & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32;
    Some(fours as u32)
}

/// A whole number without a sign that surely fits: what most epochs are.
#[inline]
fn plain_digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let (eights, rest) = text.as_chunks::<8>();
    let mut n = 0;
    for eight in eights {
        n = n * 100_000_000 + i64::from(eight_digits(*eight)?);
    }
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n * 10 + i64::from(digit);
    }
    Some(n)
}

/// Reads a decimal number of units, exactly.
fn parse_epoch(text: &[u8], unit: i64) -> Option<Timestamp> {
    if let Some(n) = plain_digits(text) {
        return n.checked_mul(unit);
    }
    let (negative, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = rest.iter().position(|b| *b == b'.');
    let (whole, part) = match dot {
        Some(dot) => (&rest[..dot], &rest[dot + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    if whole.is_empty() || (dot.is_some() && part.is_empty()) {
        return None;
    }
    let mut n: i64 = 0;
    for d in whole {
        n = n.checked_mul(10)?.checked_add(i64::from(d.is_ascii_digit().then(|| d - b'0')?))?;
    }
    let mut time = n.checked_mul(unit)?;
    let mut scale = unit;
    for d in part {
        scale /= 10;
        time = time.checked_add(i64::from(d.is_ascii_digit().then(|| d - b'0')?) * scale)?;
    }
    Some(if negative { -time } else { time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::time::rfc3339;
    use proptest::prelude::*;

    fn read(text: &str, received: &str) -> String {
        let rule = TimeRule::default();
        rule.parse(text.as_bytes(), parse_rfc3339(received.as_bytes()).unwrap()).map_or("none".into(), rfc3339)
    }

    #[test]
    fn a_date_without_a_year_takes_the_nearest() {
        assert_eq!(read("Dec 31 23:59:59", "2026-01-01T00:00:05Z"), "2025-12-31T23:59:59Z");
        assert_eq!(read("Jan  1 00:00:01", "2025-12-31T23:59:59Z"), "2026-01-01T00:00:01Z");
        assert_eq!(read("Feb 29 10:00:00", "2025-01-10T00:00:00Z"), "2024-02-29T10:00:00Z");
        assert_eq!(read("Jul  4 2019 10:00:00.25", "2026-01-01T00:00:05Z"), "2019-07-04T10:00:00.25Z");
    }

    proptest! {
        #[test]
        fn a_minute_that_is_remembered_is_the_one_read(texts in prop::collection::vec(text(), 1..12), received in prop::collection::vec(0i64..800, 12), zone in any::<bool>(), year in prop::option::of(Just(2024))) {
            let zone = if zone { Zone::named("Europe/Bucharest").unwrap() } else { Zone::Utc };
            let rule = TimeRule { zone, year, ..TimeRule::default() };
            let mut memo = SyslogMinute::default();
            for (text, day) in texts.iter().zip(received) {
                let received = ((20_000 + day) * 86_400 * SECOND).into();
                prop_assert_eq!(memo.read(&rule, text.as_bytes(), &received), rule.syslog(text.as_bytes(), &received), "{}", text);
            }
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let date = prop::sample::select(vec!["Mar  1", "Mar 29", "mar 29", "Oct 25", "Feb 29", "Feb 30", "Mar 1", "Jun 111"]);
        let rest = prop::sample::select(vec!["", ".5", ".123456789012", " host", "0", ". ", ",5"]);
        let minute = prop::sample::select(vec!["02:59:", "03:00:", "3:00:0", "24:00:", "03-00-", "2024 03:00:"]);
        (date, minute, 0..70, rest).prop_map(|(date, minute, second, rest)| format!("{date} {minute}{second:02}{rest}"))
    }

    #[test]
    fn numbers_tell_their_unit_by_their_size() {
        for text in ["1760000000.5", "1760000000500", "1760000000500000", "1760000000500000000"] {
            assert_eq!(read(text, "2026-01-01T00:00:05Z"), "2025-10-09T08:53:20.5Z");
        }
        assert_eq!(read("12:30", "2026-01-01T00:00:05Z"), "none");
    }

    proptest! {
        #[test]
        fn plain_digits_are_numbers(text in "[0-9]{0,20}|[0-9]{0,10}[ -~]?[0-9]{0,10}") {
            let expected = text.parse::<i64>().ok().filter(|_| text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()));
            prop_assert_eq!(plain_digits(text.as_bytes()), expected);
        }
    }

    #[test]
    fn forms_of_strftime_are_read() {
        let read = |form: &str, text: &str| {
            let rule = TimeRule { format: TimeFormat::read(form).unwrap(), zone: Zone::named("Europe/Bucharest").unwrap(), year: None };
            rule.parse(text.as_bytes(), parse_rfc3339(b"2026-01-01T00:00:05Z").unwrap()).map_or("none".into(), rfc3339)
        };
        assert_eq!(read("%d/%b/%Y:%H:%M:%S %z", "07/Apr/2016:18:42:24 +0200"), "2016-04-07T16:42:24Z");
        assert_eq!(read("%Y-%m-%d %H:%M:%S%.f", "2026-07-01 12:00:00.25"), "2026-07-01T09:00:00.25Z");
        assert_eq!(read("%b %d %I:%M %p", "Dec 31 11:30 PM"), "2025-12-31T21:30:00Z");
        assert_eq!(read("%Y %j", "2026 032"), "2026-01-31T22:00:00Z");
        assert_eq!(read("%s", "1760000000"), "2025-10-09T08:53:20Z");
        assert_eq!(read("%d/%b/%Y", "07/Apr/2016 and more"), "none");
        assert_eq!(TimeFormat::read("%H:%M").unwrap_err(), "this time format names no day");
        assert!(TimeFormat::read("%Y-%m-%d %!").unwrap_err().starts_with("bad time format"));
        assert_eq!(TimeFormat::read("rfc3999").unwrap_err(), "there is no time format `rfc3999`");
    }

    #[test]
    fn a_zone_applies_where_the_text_has_none() {
        let rule = TimeRule { zone: Zone::named("Europe/Bucharest").unwrap(), ..TimeRule::default() };
        let read = |t: &str| rfc3339(rule.parse(t.as_bytes(), 0).unwrap());
        assert_eq!(read("2026-07-01 12:00:00"), "2026-07-01T09:00:00Z");
        assert_eq!(read("2026-01-01T12:00:00"), "2026-01-01T10:00:00Z");
        assert_eq!(read("2026-01-01T12:00:00Z"), "2026-01-01T12:00:00Z");
    }
}
