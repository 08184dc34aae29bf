//! Moments that come again and again, written as cron does: minute, hour, day of the month, month, day of the week, in UTC.
//!
//! As in POSIX's `crontab`, a day counts if either its number or its name is meant where both are narrowed. Also `*/n`, `a-b/n`, names of months and days, and
//! `@hourly` to `@yearly`.
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// Which numbers of a field are meant: bit by bit.
type Numbers = u64;

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const SHORT: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The 29th of February stays away for eight years around 2100.
const DAYS_SOUGHT: u32 = 8 * 366 + 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: Numbers,
    hours: Numbers,
    days: Numbers,
    months: Numbers,
    weekdays: Numbers,
    /// Both the number and the name of a day are narrowed.
    is_either: bool,
}

/// A field of a schedule: what it is, its least and its greatest number, names that stand for numbers from the least on.
struct Part(&'static str, u32, u32, &'static [&'static str]);

impl Part {
    fn number(&self, word: &str) -> Result<u32, String> {
        let Part(what, least, most, names) = self;
        if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(word)) {
            return Ok(least + at as u32);
        }
        let number = word.parse().ok().filter(|n| (least..=most).contains(&n));
        number.ok_or_else(|| format!("`{word}` is no {what} from {least} to {most}"))
    }

    fn read(&self, text: &str) -> Result<Numbers, String> {
        let Part(what, least, most, _) = self;
        let mut out = 0;
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => {
                    let step = step.parse::<usize>().ok().filter(|n| *n > 0);
                    (range, Some(step.ok_or_else(|| format!("`{item}`: a step of {what}s is a number above 0"))?))
                }
                None => (item, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (*least, *most),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                // `5/10`: from there on.
                None if step.is_some() => (self.number(range)?, *most),
                None => (self.number(range)?, self.number(range)?),
            };
            if from > to {
                return Err(format!("`{item}`: {from} is behind {to}"));
            }
            (from..=to).step_by(step.unwrap_or(1)).for_each(|n| out |= 1 << n);
        }
        Ok(out)
    }
}

impl Schedule {
    /// Reads a schedule, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let text = SHORT.iter().find(|(short, _)| *short == text.trim()).map_or(text, |(_, long)| long);
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("a schedule has five fields (minute, hour, day, month, day of the week), and this has {}", fields.len()));
        };
        let names = Part("day of the week", 0, 7, DAYS).read(weekdays)?;
        let schedule = Schedule {
            minutes: Part("minute", 0, 59, &[]).read(minutes)?,
            hours: Part("hour", 0, 23, &[]).read(hours)?,
            days: Part("day of the month", 1, 31, &[]).read(days)?,
            months: Part("month", 1, 12, MONTHS).read(months)?,
            // Sunday is 0, and 7.
            weekdays: names | names >> 7,
            is_either: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        // Any day will do to see whether one ever comes.
        match schedule.first_from(Date::constant(2001, 1, 1).at(0, 0, 0, 0)) {
            Some(_) => Ok(schedule),
            None => Err("no month has such a day".to_owned()),
        }
    }

    /// The first moment behind a time.
    pub fn after(&self, time: Timestamp) -> Timestamp {
        let Ok(now) = jiff::Timestamp::from_nanosecond(i128::from(time)) else { return Timestamp::MAX };
        let now = TimeZone::UTC.to_datetime(now);
        let minute = now.date().at(now.hour(), now.minute(), 0, 0);
        let next = minute.checked_add(jiff::Span::new().minutes(1)).ok().and_then(|from| self.first_from(from));
        let next = next.and_then(|next| TimeZone::UTC.to_timestamp(next).ok());
        next.and_then(|next| Timestamp::try_from(next.as_nanosecond()).ok()).unwrap_or(Timestamp::MAX)
    }

    fn means(&self, day: Date) -> bool {
        let by_number = self.days >> day.day() & 1 == 1;
        let by_name = self.weekdays >> day.weekday().to_sunday_zero_offset() & 1 == 1;
        self.months >> day.month() & 1 == 1 && if self.is_either { by_number || by_name } else { by_number && by_name }
    }

    /// The first moment from a minute on.
    fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let mut day = from.date();
        for _ in 0..DAYS_SOUGHT {
            let (hour, minute) = if day == from.date() { (from.hour() as u32, from.minute() as u32) } else { (0, 0) };
            if self.means(day) {
                let this_hour = next(self.minutes, minute).filter(|_| self.hours >> hour & 1 == 1).map(|minute| (hour, minute));
                let later = || Some((next(self.hours, hour + 1)?, next(self.minutes, 0)?));
                if let Some((hour, minute)) = this_hour.or_else(later) {
                    return Some(day.at(hour as i8, minute as i8, 0, 0));
                }
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

/// The least of some numbers from one on.
fn next(numbers: Numbers, from: u32) -> Option<u32> {
    let rest = numbers >> from;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as Timestamp
    }

    #[test]
    fn the_next_moment_is_found() {
        for (schedule, from, next) in [
            ("* * * * *", "2026-03-01T10:00:00Z", "2026-03-01T10:01:00Z"),
            ("* * * * *", "2026-03-01T10:00:59.999999999Z", "2026-03-01T10:01:00Z"),
            ("30 4 * * *", "2026-03-01T04:29:59Z", "2026-03-01T04:30:00Z"),
            ("30 4 * * *", "2026-03-01T04:30:00Z", "2026-03-02T04:30:00Z"),
            ("@daily", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            ("*/15 8-17 * * mon-fri", "2026-11-27T17:45:00Z", "2026-11-30T08:00:00Z"),
            ("5/20 * * * *", "2026-11-27T17:05:00Z", "2026-11-27T17:25:00Z"),
            ("0 0 13 * fri", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
            ("0 0 13 * fri", "2026-11-28T00:00:00Z", "2026-12-04T00:00:00Z"),
            ("0 0 1,15 * *", "2026-11-02T00:00:00Z", "2026-11-15T00:00:00Z"),
            ("0 12 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T12:00:00Z"),
            ("0 0 * * 7", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z"),
            ("0 0 31 DEC *", "2026-11-26T00:00:00Z", "2026-12-31T00:00:00Z"),
            ("59 23 * * *", "1969-12-31T23:58:59Z", "1969-12-31T23:59:00Z"),
        ] {
            let found = Schedule::parse(schedule).unwrap().after(time(from));
            assert_eq!(found, time(next), "{schedule} after {from}: {}", jiff::Timestamp::from_nanosecond(found.into()).unwrap());
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for (text, word) in [
            ("", "five fields"),
            ("0 0 * *", "five fields"),
            ("60 * * * *", "`60` is no minute from 0 to 59"),
            ("* 24 * * *", "`24` is no hour"),
            ("* * 0 * *", "`0` is no day of the month"),
            ("* * * foo *", "`foo` is no month"),
            ("*/0 * * * *", "a step of minutes"),
            ("5-1 * * * *", "5 is behind 1"),
            ("0 0 30 feb *", "no month has such a day"),
            ("1,,2 * * * *", "`` is no minute"),
        ] {
            let fault = Schedule::parse(text).unwrap_err();
            assert!(fault.contains(word), "{text}: {fault}");
        }
    }
}
