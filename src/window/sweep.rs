//! When groups whose window is empty are looked for: a hand goes round over the records, but only once there are twice as many groups as were left after its
//! last round. So a new group costs two looks at most, groups cannot gather, and keys that come back are found where they were.

/// Groups that are never worth a look.
const FEW: usize = 1024;

/// See the module.
#[derive(Debug)]
pub struct Hand {
    at: usize,
    above: usize,
}

impl Default for Hand {
    fn default() -> Hand {
        Hand { at: 0, above: FEW }
    }
}

impl Hand {
    /// How many records to look at, of `records` that hold `groups`, after `came` new ones.
    pub fn steps(&self, groups: usize, records: usize, came: usize) -> usize {
        if groups > self.above { records.min(came * 4 + 16) } else { 0 }
    }

    /// The next record to look at.
    pub fn next(&mut self, groups: usize, records: usize) -> usize {
        self.at += 1;
        if self.at >= records {
            self.at = 0;
            self.above = FEW.max(groups * 2);
        }
        self.at
    }
}
