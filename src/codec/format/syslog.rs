//! `syslog`: RFC 5424 with structured data, and RFC 3164 as devices really send it.
//!
//! | field | from |
//! |---|---|
//! | `timestamp` | header, as RFC 3339 in UTC |
//! | `hostname` `appname` `procid` `msgid` | header; a nil `-` is absent |
//! | `facility` `severity` | PRI, as words (`auth`, `warning`) |
//! | `message` | the text, without its byte order mark |
//! | `sd.<id>.<name>` | structured data of RFC 5424; or, on demand, all of it as the text `structured_data` |
//! | `cisco.facility` `cisco.severity` `cisco.mnemonic` `cisco.<key>` | `%FAC-SEV-MNEMONIC: … [key: value] … key=value` of RFC 3164 messages |
use super::marks::MarkMap;
use super::syslog_cisco::Cisco;
use super::syslog_rfc5424::StructuredData;
use super::time::{Received, SyslogMinute, TimeRule};
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::time::{DateMemo, is_canonical, write_rfc3339};
use crate::event::{Batch, Kind, Slot, Span};

/// Fields of the format.
pub const SHAPE: Shape =
    Shape::Flat(&["timestamp", "hostname", "facility", "severity", "appname", "procid", "msgid", "message"], &["sd.", "cisco."]);
/// Fields where structured data stays a text.
pub const TEXT_SHAPE: Shape = Shape::Flat(
    &["timestamp", "hostname", "facility", "severity", "appname", "procid", "msgid", "structured_data", "message"],
    &["cisco."],
);

/// What becomes of structured data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structured {
    /// A field for each parameter.
    Fields,
    /// One text, as it stands in the line; its form is looked at.
    Text,
}

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The bytes that end the parts of an RFC 5424 line.
const MARKS: [u8; 3] = [b' ', b'"', b'\\'];

/// Slots of the fixed fields.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) timestamp: Option<Slot>,
    pub(super) hostname: Option<Slot>,
    facility: Option<Slot>,
    severity: Option<Slot>,
    pub(super) appname: Option<Slot>,
    pub(super) procid: Option<Slot>,
    pub(super) msgid: Option<Slot>,
    pub(super) message: Option<Slot>,
}

/// What the two dialects share.
pub(super) struct Common {
    pub(super) slots: Slots,
    pub(super) rule: TimeRule,
    pub(super) structured: StructuredData,
    pub(super) cisco: Cisco,
    pub(super) event_time: bool,
    /// When the batch was received.
    pub(super) received: Received,
    /// The date of the last line.
    pub(super) dates: DateMemo,
    pub(super) minute: SyslogMinute,
}

/// One line while it is decoded.
pub(super) struct Row<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) row: usize,
    /// Address of the first byte.
    pub(super) at: usize,
    pub(super) line: &'a [u8],
}

impl Row<'_> {
    /// Sets a field to a part of the line.
    #[inline(always)]
    pub(super) fn put(&mut self, slot: Option<Slot>, from: usize, to: usize) {
        if let Some(slot) = slot {
            self.batch.set(slot, self.row, self.span(from, to));
        }
    }

    /// A part of the line.
    #[inline(always)]
    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        Span::part(Kind::Text, self.at + from, to - from)
    }

    /// Sets a field to a text that the arena holds.
    #[inline(always)]
    fn put_word(&mut self, slot: Slot, word: Span) {
        self.batch.set(slot, self.row, Span::part(Kind::Text, word.at(), word.len()));
    }

    /// Sets a field to a part of the line unless it is nil.
    #[inline(always)]
    pub(super) fn put_unless_nil(&mut self, slot: Option<Slot>, from: usize, to: usize) {
        if !(to - from == 1 && self.line[from] == b'-') {
            self.put(slot, from, to);
        }
    }

    /// Sets event time and timestamp from a time whose text is `from..to`.
    #[inline(always)]
    pub(super) fn put_time(&mut self, common: &mut Common, time: i64, from: usize, to: usize) {
        if common.event_time {
            self.batch.times[self.row] = time;
        }
        if let Some(slot) = common.slots.timestamp {
            let text = &self.line[from..to];
            let span = if text.len() >= 20 && is_canonical(text) {
                self.span(from, to)
            } else {
                self.batch.derive_with(Kind::Text, |out| write_rfc3339(time, out))
            };
            self.batch.set(slot, self.row, span);
        }
    }
}

/// See the module.
pub struct SyslogDecoder {
    common: Common,
    wanted: Wanted,
    facilities: [Span; 24],
    severities: [Span; 8],
    map: MarkMap<3>,
    subjects: Subjects,
}

impl SyslogDecoder {
    /// A decoder for what the plan wants.
    pub fn new(structured: Structured, wanted: Wanted, rule: TimeRule) -> SyslogDecoder {
        let slots = Slots {
            timestamp: wanted.slot("timestamp"),
            hostname: wanted.slot("hostname"),
            facility: wanted.slot("facility"),
            severity: wanted.slot("severity"),
            appname: wanted.slot("appname"),
            procid: wanted.slot("procid"),
            msgid: wanted.slot("msgid"),
            message: wanted.slot("message"),
        };
        let common = Common {
            slots,
            rule,
            structured: StructuredData::new(structured, &wanted),
            cisco: Cisco::new(&wanted),
            event_time: wanted.event_time,
            received: 0.into(),
            dates: DateMemo::default(),
            minute: SyslogMinute::default(),
        };
        SyslogDecoder {
            common,
            wanted,
            facilities: [Span::ABSENT; 24],
            severities: [Span::ABSENT; 8],
            map: MarkMap::new(MARKS),
            subjects: Subjects::default(),
        }
    }

    /// Puts the words for PRI into the arena, once per batch.
    fn words(&mut self, batch: &mut Batch) {
        if self.common.slots.facility.is_some() {
            self.facilities = FACILITIES.map(|w| batch.derive(Kind::Text, w.as_bytes()));
        }
        if self.common.slots.severity.is_some() {
            self.severities = SEVERITIES.map(|w| batch.derive(Kind::Text, w.as_bytes()));
        }
    }
}

impl Decoder for SyslogDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        lay_over(batch, &self.wanted);
        self.words(batch);
        self.common.received = batch.input.received.into();
        let SyslogDecoder { common, wanted, facilities, severities, map, subjects } = self;
        let mut is_mapped = false;
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            let start = batch.extras_len();
            let mut it = Row { batch, row: usize::from(row), at, line };
            let (pri, from) = match priority(line) {
                Some((pri, used)) => (Some(pri), used),
                None => (None, 0),
            };
            if let Some(pri) = pri {
                if let Some(slot) = common.slots.facility {
                    it.put_word(slot, facilities[usize::from(pri / 8)]);
                }
                if let Some(slot) = common.slots.severity {
                    it.put_word(slot, severities[usize::from(pri % 8)]);
                }
            }
            let outcome = if pri.is_some() && line[from..].starts_with(b"1 ") {
                if !is_mapped {
                    // The older form has no use for it.
                    map.read(it.batch, subject);
                    is_mapped = true;
                }
                common.rfc5424(&mut it, map.of(at, line).from(from), wanted.all)
            } else {
                common.rfc3164(&mut it, from, pri.is_some(), wanted.all)
            };
            match outcome {
                Ok(()) if wanted.all => batch.end_extras(wanted.layer, usize::from(row), start),
                Ok(()) => {}
                Err(reason) => {
                    batch.truncate_extras(start);
                    refuse(batch, row, wanted, reason);
                }
            }
        });
    }
}

/// Reads `<PRI>`. Returns it and the bytes used.
#[inline(always)]
fn priority(line: &[u8]) -> Option<(u8, usize)> {
    if line.first() != Some(&b'<') {
        return None;
    }
    let mut pri = 0u16;
    for (i, byte) in line[1..].iter().take(4).enumerate() {
        match byte {
            b'0'..=b'9' => pri = pri * 10 + u16::from(byte - b'0'),
            b'>' if i > 0 && pri < 192 => return Some((pri as u8, i + 2)),
            _ => return None,
        }
    }
    None
}
