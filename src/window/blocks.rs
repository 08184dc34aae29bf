//! Byte strings that grow, in blocks of one slab: millions of short ones without an allocation for each.
use super::chunked::Chunked;

const NONE: u32 = u32::MAX;

/// `ROOM` and the four bytes that name the next block are whole cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Block<const ROOM: usize> {
    bytes: [u8; ROOM],
    next: u32,
}

/// A byte string. It belongs to the slab that made it.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { head: NONE, tail: NONE, len: 0 }
    }
}

impl Chain {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// As two words, for a record that keeps it.
    pub fn to_words(&self) -> [u64; 2] {
        [u64::from(self.head) << 32 | u64::from(self.tail), u64::from(self.len)]
    }

    /// What [`Chain::to_words`] made.
    pub fn from_words(words: [u64; 2]) -> Chain {
        Chain { head: (words[0] >> 32) as u32, tail: words[0] as u32, len: words[1] as u32 }
    }
}

/// See the module. A block holds `ROOM` bytes.
#[derive(Debug)]
pub struct Blocks<const ROOM: usize = 124> {
    blocks: Chunked<Block<ROOM>>,
    /// First of the blocks that nobody uses.
    free: u32,
}

impl<const ROOM: usize> Default for Blocks<ROOM> {
    fn default() -> Blocks<ROOM> {
        Blocks { blocks: Chunked::default(), free: NONE }
    }
}

impl<const ROOM: usize> Blocks<ROOM> {
    /// Bytes that it holds.
    pub fn memory(&self) -> usize {
        self.blocks.len() * size_of::<Block<ROOM>>()
    }

    /// Whether it never held anything.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn take(&mut self) -> u32 {
        let block = self.free;
        if block == NONE {
            return self.blocks.push(Block { bytes: [0; ROOM], next: NONE });
        }
        self.free = std::mem::replace(&mut self.blocks[block].next, NONE);
        block
    }

    /// Appends bytes to a string.
    pub fn append(&mut self, chain: &mut Chain, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = chain.len as usize % ROOM;
            if at == 0 {
                let block = self.take();
                match chain.tail {
                    NONE => chain.head = block,
                    tail => self.blocks[tail].next = block,
                }
                chain.tail = block;
            }
            let count = bytes.len().min(ROOM - at);
            self.blocks[chain.tail].bytes[at..at + count].copy_from_slice(&bytes[..count]);
            chain.len += count as u32;
            bytes = &bytes[count..];
        }
    }

    /// Appends a string to `out`, but not so many bytes of its beginning.
    pub fn read(&self, chain: &Chain, mut skip: usize, out: &mut Vec<u8>) {
        let (mut left, mut at) = (chain.len(), chain.head);
        while left > 0 {
            let block = &self.blocks[at];
            let count = left.min(ROOM);
            let from = skip.min(count);
            out.extend_from_slice(&block.bytes[from..count]);
            (left, at, skip) = (left - count, block.next, skip - from);
        }
    }

    /// Whether a string begins with some bytes.
    pub fn starts_with(&self, chain: &Chain, mut bytes: &[u8]) -> bool {
        if bytes.len() > chain.len() {
            return false;
        }
        let mut at = chain.head;
        while !bytes.is_empty() {
            let block = &self.blocks[at];
            let count = bytes.len().min(ROOM);
            if block.bytes[..count] != bytes[..count] {
                return false;
            }
            (bytes, at) = (&bytes[count..], block.next);
        }
        true
    }

    /// Gives up all of a string but its first bytes.
    pub fn truncate(&mut self, chain: &mut Chain, len: usize) {
        if len == 0 {
            return self.free(chain);
        }
        if len >= chain.len() {
            return;
        }
        let mut last = chain.head;
        for _ in 0..(len - 1) / ROOM {
            last = self.blocks[last].next;
        }
        let behind = std::mem::replace(&mut self.blocks[last].next, NONE);
        if behind != NONE {
            self.blocks[chain.tail].next = self.free;
            self.free = behind;
        }
        (chain.tail, chain.len) = (last, len as u32);
    }

    /// Gives up a string.
    pub fn free(&mut self, chain: &mut Chain) {
        if chain.tail != NONE {
            self.blocks[chain.tail].next = self.free;
            self.free = chain.head;
        }
        *chain = Chain::default();
    }

    /// Asks for the memory of a string's beginning and of its end.
    #[inline(always)]
    pub fn prefetch(&self, chain: &Chain) {
        self.blocks.prefetch(chain.head);
        self.blocks.prefetch(chain.tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_what_was_appended(steps in prop::collection::vec((0usize..6, 0usize..400, any::<u8>()), 0..100)) {
            let mut blocks: Blocks = Blocks::default();
            let mut strings: Vec<(Chain, Vec<u8>)> = vec![(Chain::default(), Vec::new()); 6];
            for (at, len, byte) in steps {
                let (chain, text) = &mut strings[at];
                if len < 60 {
                    let len = text.len() * len / 60;
                    blocks.truncate(chain, len);
                    text.truncate(len);
                } else {
                    let bytes: Vec<u8> = (0..len).map(|n| byte.wrapping_add(n as u8)).collect();
                    blocks.append(chain, &bytes);
                    text.extend_from_slice(&bytes);
                }
                for (chain, text) in &strings {
                    let mut read = Vec::new();
                    blocks.read(chain, 0, &mut read);
                    prop_assert_eq!(&read, text);
                    read.clear();
                    blocks.read(chain, text.len() / 3, &mut read);
                    prop_assert_eq!(&read[..], &text[text.len() / 3..]);
                    prop_assert_eq!(chain.len(), text.len());
                    prop_assert!(blocks.starts_with(chain, &text[..text.len() / 2]) && blocks.starts_with(chain, text));
                    let mut other = text.clone();
                    other.push(0);
                    prop_assert!(!blocks.starts_with(chain, &other));
                    if let Some(last) = text.last() {
                        other.pop();
                        other.pop();
                        other.push(last.wrapping_add(1));
                        prop_assert!(!blocks.starts_with(chain, &other));
                    }
                }
            }
        }
    }
}
