//! Rows whose first condition is a range or a network: elementary intervals, each with the rows that cover it.
use super::rows::Span;
use crate::event::address::parse_address;
use crate::event::value::{Num, parse_number};

/// Covered places that an index may hold per range before it keeps plain lists instead.
const SPREAD_MAX: usize = 64;

/// Intervals over one kind of point.
#[derive(Debug)]
struct Intervals<P> {
    /// First point of each elementary interval.
    starts: Vec<P>,
    /// End of each interval's rows.
    ends: Vec<u32>,
    rows: Vec<u32>,
    /// Ranges that would have covered too many intervals.
    wide: Vec<(P, P, u32)>,
}

impl<P: PartialOrd + Copy> Intervals<P> {
    fn new(mut ranges: Vec<(P, P, u32)>, next: impl Fn(P) -> Option<P>) -> Intervals<P> {
        ranges.retain(|(a, b, _)| a <= b);
        let mut starts: Vec<P> = ranges.iter().flat_map(|(a, b, _)| [Some(*a), next(*b)]).flatten().collect();
        starts.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        starts.dedup_by(|a, b| a == b);
        let mut covered: Vec<Vec<u32>> = vec![Vec::new(); starts.len()];
        let mut wide = Vec::new();
        for (a, b, row) in ranges {
            let from = starts.partition_point(|s| *s < a);
            let to = starts.partition_point(|s| *s <= b);
            if to - from > SPREAD_MAX {
                wide.push((a, b, row));
            } else {
                covered[from..to].iter_mut().for_each(|c| c.push(row));
            }
        }
        let mut intervals = Intervals { starts, ends: Vec::new(), rows: Vec::new(), wide };
        for mut rows in covered {
            rows.sort_unstable();
            rows.dedup();
            intervals.rows.extend(rows);
            intervals.ends.push(intervals.rows.len() as u32);
        }
        intervals
    }

    fn each(&self, point: P, candidate: &mut impl FnMut(u32)) {
        for (a, b, row) in &self.wide {
            if *a <= point && point <= *b {
                candidate(*row);
            }
        }
        let Some(at) = self.starts.partition_point(|s| *s <= point).checked_sub(1) else { return };
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        self.rows[from as usize..self.ends[at] as usize].iter().for_each(|row| candidate(*row));
    }
}

/// See the module.
#[derive(Debug)]
pub struct IntervalIndex {
    /// The getter.
    pub column: usize,
    addresses: Intervals<u128>,
    numbers: Intervals<Ordered>,
}

/// A number with an order; ranges hold no NaN.
#[derive(Clone, Copy, Debug)]
struct Ordered(Num, bool);

impl PartialEq for Ordered {
    fn eq(&self, other: &Ordered) -> bool {
        self.partial_cmp(other).is_some_and(std::cmp::Ordering::is_eq)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<std::cmp::Ordering> {
        Some(self.0.compare(other.0)?.then(self.1.cmp(&other.1)))
    }
}

impl IntervalIndex {
    /// An index over the ranges of rows.
    pub fn new<'a>(column: usize, rows: impl Iterator<Item = (u32, &'a [Span])>) -> IntervalIndex {
        let (mut addresses, mut numbers) = (Vec::new(), Vec::new());
        for (row, spans) in rows {
            for span in spans {
                match span {
                    Span::Addresses(a, b) => addresses.push((*a, *b, row)),
                    Span::Numbers(a, b) => numbers.push((Ordered(*a, false), Ordered(*b, false), row)),
                }
            }
        }
        IntervalIndex {
            column,
            addresses: Intervals::new(addresses, |p| p.checked_add(1)),
            // The point just behind a number: there is always one, numbers being dense.
            numbers: Intervals::new(numbers, |p| Some(Ordered(p.0, true))),
        }
    }

    /// Calls with each row whose range holds the value.
    pub fn each(&self, value: &[u8], mut candidate: impl FnMut(u32)) {
        if let Some(address) = parse_address(value) {
            self.addresses.each(address, &mut candidate);
        }
        if let Some(number) = parse_number(value) {
            self.numbers.each(Ordered(number, false), &mut candidate);
        }
    }
}
