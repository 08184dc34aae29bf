//! Sets of bytes and of characters, and where a run of them ends.
use regex_syntax::hir::{self, Hir, HirKind};

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) const ALL: ByteSet = ByteSet([u64::MAX; 4]);

    #[inline(always)]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub(super) fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn add_all(&mut self, other: ByteSet) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn complement(&self) -> ByteSet {
        ByteSet(self.0.map(|word| !word))
    }

    pub(super) fn table(&self) -> [bool; 256] {
        std::array::from_fn(|byte| self.has(byte as u8))
    }

    pub(super) fn overlaps(&self, other: ByteSet) -> bool {
        self.0.iter().zip(other.0).any(|(word, other)| word & other != 0)
    }
}

/// The bytes at which a run stops.
#[derive(Clone, Debug)]
pub(super) enum Stops {
    /// One of two.
    Few(u8, u8),
    /// Those that are marked.
    Many(Box<[bool; 256]>),
}

impl Stops {
    pub(super) fn of(bytes: ByteSet) -> Stops {
        let members: Vec<u8> = (0..=u8::MAX).filter(|byte| bytes.has(*byte)).collect();
        match *members {
            [one] => Stops::Few(one, one),
            [one, other] => Stops::Few(one, other),
            _ => Stops::Many(Box::new(bytes.table())),
        }
    }

    /// The first of them from a place on, or the end of the text.
    #[inline(always)]
    pub(super) fn find(&self, text: &[u8], at: usize) -> usize {
        let rest = &text[at..];
        let found = match self {
            Stops::Few(one, other) => memchr::memchr2(*one, *other, rest),
            Stops::Many(table) => rest.iter().position(|byte| table[usize::from(*byte)]),
        };
        found.map_or(text.len(), |found| at + found)
    }
}

/// Characters that are not ASCII.
#[derive(Clone, Debug)]
enum Others {
    None,
    All,
    Some(Box<[(char, char)]>),
}

/// A set of characters.
#[derive(Clone, Debug)]
pub(super) struct Chars {
    /// The members of `bytes`, close at hand.
    table: [bool; 256],
    /// ASCII characters, and whatever byte may stand in another one of it.
    pub(super) bytes: ByteSet,
    others: Others,
}

impl Chars {
    pub(super) fn of(class: &hir::Class) -> Chars {
        let (mut bytes, mut others) = (ByteSet::default(), Vec::new());
        let ranges: Vec<(char, char)> = match class {
            hir::Class::Unicode(class) => class.ranges().iter().map(|r| (r.start(), r.end())).collect(),
            hir::Class::Bytes(class) => class.ranges().iter().map(|r| (char::from(r.start()), char::from(r.end()))).collect(),
        };
        for (first, last) in ranges {
            (first..=last).take_while(char::is_ascii).for_each(|c| bytes.add(c as u8));
            if last > '\x7f' {
                others.push((first.max('\u{80}'), last));
            }
        }
        let others = match others.as_slice() {
            [] => Others::None,
            [('\u{80}', char::MAX)] => Others::All,
            [('\u{80}', '\u{d7ff}'), ('\u{e000}', char::MAX)] => Others::All,
            _ => Others::Some(others.into()),
        };
        if !matches!(others, Others::None) {
            (0x80..=u8::MAX).for_each(|byte| bytes.add(byte));
        }
        Chars { table: bytes.table(), bytes, others }
    }

    /// The end of the character at a place, if it is one of these.
    #[inline(always)]
    pub(super) fn step(&self, text: &[u8], at: usize) -> Option<usize> {
        let byte = *text.get(at)?;
        if !self.table[usize::from(byte)] {
            return None;
        }
        if byte.is_ascii() { Some(at + 1) } else { self.step_other(text, at) }
    }

    /// Whether a byte tells what it is without those beside it: all that are not ASCII are in, or none.
    pub(super) fn is_bytewise(&self) -> bool {
        !matches!(self.others, Others::Some(_))
    }

    #[inline(never)]
    fn step_other(&self, text: &[u8], at: usize) -> Option<usize> {
        let len = match text[at] {
            ..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let bytes = text.get(at..at + len)?;
        match &self.others {
            Others::None => None,
            Others::All => Some(at + len),
            Others::Some(ranges) => {
                let c = std::str::from_utf8(bytes).ok()?.chars().next()?;
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)).then_some(at + len)
            }
        }
    }

    /// The end of the least of so many of these characters, the end of all, and whether there are enough.
    #[inline(always)]
    pub(super) fn counted(&self, text: &[u8], at: usize, least: u32, most: u32) -> (usize, usize, bool) {
        let (mut end, mut first, mut count) = (at, at, 0);
        while count < most
            && let Some(next) = self.step(text, end)
        {
            end = next;
            count += 1;
            if count == least {
                first = end;
            }
        }
        (first, end, count >= least)
    }
}

/// The characters of a part that matches one.
pub(super) fn one_of(hir: &Hir) -> Option<Chars> {
    match hir.kind() {
        HirKind::Class(class) => Some(Chars::of(class)),
        HirKind::Literal(literal) => match *literal.0 {
            [byte] if byte.is_ascii() => Some(Chars::of(&hir::Class::Bytes(hir::ClassBytes::new([hir::ClassBytesRange::new(byte, byte)])))),
            _ => None,
        },
        _ => None,
    }
}
