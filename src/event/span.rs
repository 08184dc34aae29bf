//! One field of one event: where its bytes lie and what they are, in eight bytes.
//!
//! `at` counts through the batch's input and on into its arena. The upper eight bits of the second word are the kind, the lower 24 the length.
use crate::limits::VALUE_BYTES_MAX;

/// What the bytes of a span are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// No such field.
    Absent = 0,
    /// UTF-8 text.
    Text = 1,
    /// The inside of a JSON string that holds escapes.
    Escaped = 2,
    /// The text of a number, as the input has it.
    Number = 3,
    /// `true` or `false`.
    Bool = 4,
    /// A JSON array or object.
    Json = 5,
    /// A JSON null: absent, but with a place.
    Null = 6,
}

impl Kind {
    /// The kind of a value that was saved as a byte; absent where the byte is none of a value without escapes.
    pub fn of_saved(byte: u8) -> Kind {
        [Kind::Text, Kind::Number, Kind::Bool, Kind::Json].into_iter().find(|kind| *kind as u8 == byte).unwrap_or(Kind::Absent)
    }
}

/// Place, length and kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(
    /// From the lowest bit: 32 of the place, 24 of the length, 8 of the kind. One word, so that it is written and read at once.
    u64,
);

impl Span {
    /// No value.
    pub const ABSENT: Span = Span(0);

    /// A value of `len` bytes at `at`. Longer values than a span can hold are absent.
    #[inline(always)]
    pub fn new(kind: Kind, at: usize, len: usize) -> Span {
        if len > VALUE_BYTES_MAX || at > u32::MAX as usize {
            return Span::ABSENT;
        }
        Span::part(kind, at, len)
    }

    /// A part of something that a span holds whole: its place and length fit without a look.
    #[inline(always)]
    pub fn part(kind: Kind, at: usize, len: usize) -> Span {
        debug_assert!(len <= VALUE_BYTES_MAX && at <= u32::MAX as usize);
        Span((kind as u64) << 56 | (len as u64) << 32 | at as u64)
    }

    /// A part of what begins where this empty span does, of its kind. Like a [`Span::part`], it must fit.
    #[inline(always)]
    pub fn from_here(self, from: usize, len: usize) -> Span {
        debug_assert!(self.is_empty() && len <= VALUE_BYTES_MAX && self.at() + from <= u32::MAX as usize);
        Span(self.0 + ((len as u64) << 32) + from as u64)
    }

    /// First byte.
    #[inline(always)]
    pub fn at(self) -> usize {
        self.0 as u32 as usize
    }

    /// Bytes.
    #[inline(always)]
    pub fn len(self) -> usize {
        (self.0 >> 32 & 0x00ff_ffff) as usize
    }

    /// Whether there are no bytes; an empty text is present all the same.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What the bytes are.
    #[inline(always)]
    pub fn kind(self) -> Kind {
        match self.0 >> 56 {
            1 => Kind::Text,
            2 => Kind::Escaped,
            3 => Kind::Number,
            4 => Kind::Bool,
            5 => Kind::Json,
            6 => Kind::Null,
            _ => Kind::Absent,
        }
    }

    /// Whether the field has a value; null has none.
    #[inline(always)]
    pub fn is_present(self) -> bool {
        let kind = self.0 >> 56;
        kind != Kind::Absent as u64 && kind != Kind::Null as u64
    }
}
