//! RFC 3164 as devices send it: with or without PRI, host and tag; Cisco IOS sequence numbers, clock marks and zones; ASA years; RFC 3339 times.
//!
//! ```text
//! <34>Oct 11 22:14:15 mymachine su[77]: text          Oct 11 22:14:15 sshd[1]: text (a local file)
//! <189>123: R1: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: text
//! <166>Oct 10 2025 12:00:00 fw1 : %ASA-6-302013: text  <13>2026-01-02T03:04:05.6+02:00 host app: text
//! ```
use super::syslog::{Common, Row};
use crate::event::time::parse_rfc3339;
use crate::simd;

/// Longest text before a colon that is taken for a tag.
const TAG_MAX: usize = 64;

impl Common {
    /// Decodes from behind PRI on. Without PRI a line must at least begin with a time.
    pub(super) fn rfc3164(&mut self, row: &mut Row<'_>, from: usize, has_pri: bool, all: bool) -> Result<(), &'static str> {
        let line = row.line;
        let mut at = from;
        let mut host = None;
        let mut time = None;
        for _ in 0..4 {
            while line.get(at) == Some(&b' ') {
                at += 1;
            }
            time = self.time_at(line, at);
            if time.is_some() {
                break;
            }
            let Some((end, next)) = colon_token(line, at) else { break };
            if !line[at..end].iter().all(u8::is_ascii_digit) {
                // Only a word that a time follows was a host; otherwise it is the tag.
                if host.is_some() || !self.time_follows(line, next) {
                    break;
                }
                host = Some((at, end));
            }
            at = next;
        }
        match time {
            Some((time, start, end)) => {
                row.put_time(self, time, start, end);
                at = self.after_time(row, end, host);
            }
            None if has_pri => {}
            None => return Err("neither a priority nor a time stands at the start"),
        }
        self.tag_and_text(row, at, all);
        Ok(())
    }

    /// A time at `at`: its value and the bytes of its text.
    #[inline(always)]
    fn time_at(&mut self, line: &[u8], at: usize) -> Option<(i64, usize, usize)> {
        let start = at + usize::from(matches!(line.get(at), Some(b'*' | b'.')));
        let rest = line.get(start..)?;
        if rest.first()?.is_ascii_digit() {
            if rest.len() < 19 || rest[4] != b'-' {
                return None;
            }
            let len = memchr::memchr(b' ', rest)?;
            return parse_rfc3339(rest[..len].strip_suffix(b":").unwrap_or(&rest[..len])).map(|t| (t, start, start + len));
        }
        self.minute.read(&self.rule, rest, &self.received).map(|(time, used)| (time, start, start + used))
    }

    fn time_follows(&mut self, line: &[u8], at: usize) -> bool {
        self.time_at(line, at).is_some() || colon_token(line, at).is_some_and(|(_, next)| self.time_at(line, next).is_some())
    }

    /// Reads the zone, the colon and the host that may stand behind a time. Returns where the tag begins.
    fn after_time(&self, row: &mut Row<'_>, mut at: usize, host: Option<(usize, usize)>) -> usize {
        let line = row.line;
        if let Some((from, to)) = host {
            row.put(self.slots.hostname, from, to);
        }
        // ` UTC:` of Cisco devices; the zone itself is that of the source's `time.zone`.
        if line.get(at) == Some(&b' ')
            && let Some(zone) = line[at + 1..].iter().position(|b| !b.is_ascii_uppercase())
            && (2..=5).contains(&zone)
            && line.get(at + 1 + zone) == Some(&b':')
        {
            at += 1 + zone;
        }
        if line.get(at) == Some(&b':') {
            return skip_blanks(line, at + 1);
        }
        at = skip_blanks(line, at);
        if host.is_some() {
            return at;
        }
        let end = simd::find_near(line, at, [b' ']);
        let token = &line[at..end];
        if token.is_empty() || token.ends_with(b":") || token.contains(&b'[') || token[0] == b'%' || end == line.len() {
            return at;
        }
        row.put(self.slots.hostname, at, end);
        let next = skip_blanks(line, end);
        // `host : %ASA-…`
        if line[next..].starts_with(b": ") { skip_blanks(line, next + 1) } else { next }
    }

    /// Reads `tag[pid]: text`, `%CISCO-5-MNEMONIC: text` or plain text.
    fn tag_and_text(&mut self, row: &mut Row<'_>, at: usize, all: bool) {
        let line = row.line;
        let window = &line[..line.len().min(at + TAG_MAX)];
        let stop = simd::find_near(window, at, [b':', b'[', b' ']);
        let mut text = at;
        match window.get(stop).map(|byte| (stop, *byte)) {
            Some((end, b'[')) if end > at => {
                if let Some(close) = memchr::memchr(b']', &line[end..line.len().min(end + TAG_MAX)]).map(|n| end + n)
                    && line.get(close + 1) == Some(&b':')
                {
                    row.put(self.slots.appname, at, end);
                    row.put(self.slots.procid, end + 1, close);
                    text = skip_one_blank(line, close + 2);
                }
            }
            Some((end, b':')) if end > at && matches!(line.get(end + 1), Some(b' ') | None) => {
                row.put(self.slots.appname, at, end);
                text = skip_one_blank(line, end + 1);
                if line[at] == b'%' {
                    self.cisco.decode(row, (at, end), text, all);
                }
            }
            _ => {}
        }
        if line[text..].starts_with("\u{feff}".as_bytes()) {
            text += 3;
        }
        row.put(self.slots.message, text, line.len());
    }
}

/// A word without blanks that ends in `: `. Returns its end and what follows.
fn colon_token(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let window = &line[..line.len().min(at + TAG_MAX)];
    let blank = simd::find_near(window, at, [b' ']);
    (blank > at + 1 && blank < window.len() && window[blank - 1] == b':').then(|| (blank - 1, blank + 1))
}

fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while line.get(at) == Some(&b' ') {
        at += 1;
    }
    at.min(line.len())
}

fn skip_one_blank(line: &[u8], at: usize) -> usize {
    at + usize::from(line.get(at) == Some(&b' '))
}
