//! When an outage is told: at its start, unless one was told just before, and again when its reason has become another one.
use std::time::Duration;

use crate::clock::Stopwatch;

/// An outage that follows another one so soon is not told: a peer that is busy puts rows off many times a second.
const NEXT_AFTER: Duration = Duration::from_secs(5);

/// A reason that changes is not told more often: a peer may have two by turns.
const OTHER_AFTER: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct Telling {
    /// Whether an outage was told whose end was not.
    is_open: bool,
    /// What was told last, and how long ago.
    last: Option<(Stopwatch, String)>,
}

impl Telling {
    /// Whether an outage for this reason is to be told now.
    pub fn is_news(&mut self, reason: &str) -> bool {
        let is_news = self.last.as_ref().is_none_or(|(since, told)| self.is_due(since.elapsed(), is_other(told, reason)));
        if is_news {
            *self = Telling { is_open: true, last: Some((Stopwatch::start(), reason.to_owned())) };
        }
        is_news
    }

    fn is_due(&self, elapsed: Duration, is_other: bool) -> bool {
        if self.is_open { is_other && elapsed >= OTHER_AFTER } else { elapsed >= NEXT_AFTER }
    }

    /// Rows go on. Whether that is to be told.
    pub fn end(&mut self) -> bool {
        std::mem::take(&mut self.is_open)
    }
}

/// Whether two reasons differ in more than their numbers: rows, tries, ports.
fn is_other(a: &str, b: &str) -> bool {
    let is_word = |byte: &u8| !byte.is_ascii_digit();
    !a.bytes().filter(is_word).eq(b.bytes().filter(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_another_reason_again() {
        let mut telling = Telling::default();
        assert!(telling.is_news("3 rows were put off") && !telling.is_news("3 rows were put off") && !telling.is_news("401"));
        assert!(!telling.is_due(OTHER_AFTER, false) && telling.is_due(OTHER_AFTER, true) && !telling.is_due(OTHER_AFTER / 2, true));
        assert!(telling.end() && !telling.end());
        assert!(!telling.is_news("refused") && !telling.end(), "too soon: neither its start nor its end is told");
        assert!(telling.is_due(NEXT_AFTER, false));
        assert!(!is_other("10 rows were put off", "7 rows were put off") && is_other("10 rows were put off", "401: bad key"));
    }
}
