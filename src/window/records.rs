//! Records of one length, by their number: words that begin on a cache line where their length allows it. Memory grows by chunks, each twice as long as the one
//! before, so that records never move and growing copies nothing; large chunks lie in huge pages.
use crate::simd;

/// Records of the first chunk.
const FIRST_CHUNK: usize = 1 << 12;
/// Words of a cache line.
const LINE: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct Records {
    chunks: Vec<Chunk>,
    len: usize,
    stride: usize,
    /// Whether a record may lie on two cache lines.
    is_split: bool,
}

#[derive(Debug)]
struct Chunk {
    words: Vec<u64>,
    /// Words that all records before the chunk would take, less those in front of its first one. Records are counted from [`FIRST_CHUNK`] on here, so that the
    /// highest bit of a number tells its chunk.
    before: usize,
}

impl Chunk {
    fn new(records: usize, stride: usize) -> Chunk {
        let mut words = vec![0; records * stride + LINE - 1];
        simd::prefer_huge_pages(&mut words);
        // What a vector holds stays where it is while it does not grow.
        let first = words.as_ptr().align_offset(LINE * 8).min(LINE - 1);
        Chunk { words, before: records * stride - first }
    }
}

impl Records {
    /// No records, of so many words each.
    pub fn new(stride: usize) -> Records {
        Records { chunks: Vec::new(), len: 0, stride, is_split: !LINE.is_multiple_of(stride) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.len
    }

    /// Bytes of all records.
    pub fn memory(&self) -> usize {
        self.len * self.stride * 8
    }

    /// Adds a record of zeros and says its number.
    pub fn push(&mut self) -> u32 {
        let number = self.len;
        if self.chunk(number) == self.chunks.len() {
            self.chunks.push(Chunk::new(FIRST_CHUNK << self.chunks.len(), self.stride));
        }
        self.len += 1;
        number as u32
    }

    #[inline(always)]
    fn chunk(&self, number: usize) -> usize {
        ((number + FIRST_CHUNK).ilog2() - FIRST_CHUNK.ilog2()) as usize
    }

    /// The chunk of a record and where it begins there.
    #[inline(always)]
    fn place(&self, number: u32) -> (&Chunk, usize) {
        let number = number as usize;
        let chunk = &self.chunks[self.chunk(number)];
        (chunk, (number + FIRST_CHUNK) * self.stride - chunk.before)
    }

    /// A record.
    #[inline(always)]
    pub fn get(&self, number: u32) -> &[u64] {
        let (chunk, at) = self.place(number);
        &chunk.words[at..at + self.stride]
    }

    /// A record.
    #[inline(always)]
    pub fn get_mut(&mut self, number: u32) -> &mut [u64] {
        let (_, at) = self.place(number);
        let chunk = self.chunk(number as usize);
        &mut self.chunks[chunk].words[at..at + self.stride]
    }

    /// Asks for the cache lines of a record.
    #[inline(always)]
    pub fn prefetch(&self, number: u32) {
        let (chunk, at) = self.place(number);
        simd::prefetch(&chunk.words, at);
        if self.is_split {
            simd::prefetch(&chunk.words, at + self.stride - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_where_they_are() {
        for stride in [1, 5, 8, 35] {
            let mut records = Records::new(stride);
            let count = FIRST_CHUNK as u32 * 5;
            for number in 0..count {
                assert_eq!(records.push(), number);
                assert_eq!(records.get(number), vec![0; stride]);
                records.get_mut(number).fill(u64::from(number) + 1);
            }
            records.prefetch(count - 1);
            assert!((0..count).all(|number| records.get(number) == vec![u64::from(number) + 1; stride]));
            assert_eq!((records.count(), records.memory()), (count as usize, count as usize * stride * 8));
            let begins = (0..count).filter(|number| records.get(*number).as_ptr().align_offset(64) == 0).count();
            assert!(begins >= count as usize / 8, "{begins} records of {stride} words begin a cache line");
        }
    }
}
