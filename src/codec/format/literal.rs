//! A text that is expected at a place: names that come in the order in which they last came are compared 16 bytes at once.
use crate::simd;

/// Bytes that are compared at once.
const HEAD: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Literal {
    /// The first bytes, and which of them count.
    head: [u8; HEAD],
    mask: [u8; HEAD],
    /// What the head leaves over.
    tail: Box<[u8]>,
    text: Box<[u8]>,
}

impl Literal {
    pub(super) fn new(text: &[u8]) -> Literal {
        let (short, tail) = text.split_at(text.len().min(HEAD));
        let (mut head, mut mask) = ([0; HEAD], [0; HEAD]);
        head[..short.len()].copy_from_slice(short);
        mask[..short.len()].fill(u8::MAX);
        Literal { head, mask, tail: tail.into(), text: text.into() }
    }

    /// What stands in no text: the byte is not UTF-8.
    pub(super) fn never() -> Literal {
        Literal::new(b"\xff")
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it stands at `from`.
    #[inline(always)]
    pub(super) fn is_at(&self, text: &[u8], from: usize) -> bool {
        let Some(head) = text.get(from..from.wrapping_add(HEAD)).and_then(|head| head.first_chunk::<HEAD>()) else {
            return self.is_near_end(text, from);
        };
        simd::begins_with(head, &self.head, &self.mask) && (self.tail.is_empty() || self.is_tail_at(text, from + HEAD))
    }

    #[inline(never)]
    fn is_tail_at(&self, text: &[u8], from: usize) -> bool {
        text[from..].starts_with(&self.tail)
    }

    #[cold]
    fn is_near_end(&self, text: &[u8], from: usize) -> bool {
        text.get(from..).is_some_and(|rest| rest.starts_with(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_prefix_check(text in prop::collection::vec(0u8..3, 0..60), from in 0usize..60, len in 0usize..40) {
            let from = from.min(text.len());
            let part = &text[from..(from + len).min(text.len())];
            prop_assert!(Literal::new(part).is_at(&text, from));
            let other = [part, &[7]].concat();
            prop_assert!(!Literal::new(&other).is_at(&text, from));
            prop_assert!(!Literal::never().is_at(&text, from));
        }
    }
}
