//! From an address to the row of the longest prefix that holds it.
//!
//! Prefixes nest or lie apart, so they cut the line of addresses into pieces of which each belongs to one row at most. Version 4 has an entry for each upper
//! half of an address, which leads to its few pieces; version 6 is searched by halves.
use crate::event::address::{Network, parse_address};
use crate::simd;

/// A piece that belongs to no row.
const NONE: u32 = u32::MAX;
/// What stands above the lower 32 bits of a version 4 address in the common space of 128 bits.
pub(super) const V4: u128 = 0xffff;
/// Pieces that are looked at together.
const AT_ONCE: usize = 8;

/// The index. See the module.
#[derive(Debug, Default)]
pub struct Networks {
    /// By upper half: the piece in which it begins.
    v4_halves: Vec<u32>,
    /// Where each piece begins: the lower half of the address before, so that one that begins with a half is behind every address of the half before.
    v4_before: Vec<u16>,
    v4_rows: Vec<u32>,
    v6: Vec<(u128, u32)>,
}

impl Networks {
    /// An index of networks and their rows. Of two equal networks the first counts; the numbers of the others come back.
    pub fn new(networks: &[(Network, u32)]) -> (Networks, Vec<u32>) {
        let mut sorted: Vec<&(Network, u32)> = networks.iter().collect();
        // The wider comes first, so that what lies in it stands behind it.
        sorted.sort_by_key(|(network, row)| (network.first, std::cmp::Reverse(network.last), *row));
        let mut doubles = Vec::new();
        sorted.dedup_by(|later, first| {
            let same = (later.0.first, later.0.last) == (first.0.first, first.0.last);
            doubles.extend(same.then_some(later.1));
            same
        });
        let mut pieces = Pieces::default();
        let mut open: Vec<(u128, u32)> = Vec::new();
        for (network, row) in sorted {
            while let Some((last, _)) = open.pop_if(|(last, _)| *last < network.first) {
                pieces.end(last, open.last());
            }
            pieces.put(network.first, *row);
            open.push((network.last, *row));
        }
        while let Some((last, _)) = open.pop() {
            pieces.end(last, open.last());
        }
        (Networks::of_pieces(&pieces.0), doubles)
    }

    fn of_pieces(pieces: &[(u128, u32)]) -> Networks {
        let mut out = Networks::default();
        let held_at = |address: u128| {
            let at = pieces.partition_point(|(start, _)| *start <= address);
            at.checked_sub(1).map_or(NONE, |at| pieces[at].1)
        };
        let mut v4 = vec![(0, held_at(V4 << 32))];
        for (start, row) in pieces {
            match start >> 32 {
                V4 if *start as u32 == 0 => {}
                V4 => v4.push((*start as u32, *row)),
                _ => out.v6.push((*start, *row)),
            }
        }
        // Behind the addresses of version 4 goes on what holds there.
        let behind = (V4 + 1) << 32;
        let at = out.v6.partition_point(|(start, _)| *start < behind);
        if out.v6.get(at).is_none_or(|(start, _)| *start != behind) {
            out.v6.insert(at, (behind, held_at(behind)));
        }
        let mut at = 0;
        for half in 0..=u32::from(u16::MAX) {
            while v4.get(at + 1).is_some_and(|(start, _)| *start <= half << 16) {
                at += 1;
            }
            out.v4_halves.push(at as u32);
        }
        out.v4_halves.push(v4.len() as u32 - 1);
        out.v4_before = v4.iter().map(|(start, _)| start.wrapping_sub(1) as u16).collect();
        out.v4_rows = v4.iter().map(|(_, row)| *row).collect();
        // So that a few pieces can be looked at behind any of them.
        out.v4_before.extend([0; AT_ONCE]);
        out
    }

    /// The row of the longest prefix that holds an address.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.row_of(parse_address(text)?)
    }

    /// The same of an address as a number.
    #[inline]
    pub fn row_of(&self, address: u128) -> Option<u32> {
        let row = if address >> 32 == V4 { self.find_v4(address as u32) } else { self.find_v6(address) };
        (row != NONE).then_some(row)
    }

    #[inline(always)]
    fn find_v4(&self, address: u32) -> u32 {
        let (half, lower) = ((address >> 16) as usize, address as u16);
        let first = self.v4_halves[half] as usize;
        let further = self.v4_halves[half + 1] as usize - first;
        let before = &self.v4_before[first + 1..];
        // Few pieces begin in one half: a fixed number is looked at without a branch.
        let count = match before.first_chunk::<AT_ONCE>().filter(|_| further <= AT_ONCE) {
            Some(before) => simd::leading_below(before, lower).min(further),
            None => before[..further].partition_point(|before| *before < lower),
        };
        self.v4_rows[first + count]
    }

    fn find_v6(&self, address: u128) -> u32 {
        let at = self.v6.partition_point(|(start, _)| *start <= address);
        at.checked_sub(1).map_or(NONE, |at| self.v6[at].1)
    }

    /// Bytes that it holds.
    pub fn memory(&self) -> usize {
        self.v4_halves.capacity() * 4 + self.v4_before.capacity() * 2 + self.v4_rows.capacity() * 4 + self.v6.capacity() * 32
    }
}

/// Pieces of the line of addresses, by start.
#[derive(Default)]
struct Pieces(Vec<(u128, u32)>);

impl Pieces {
    fn put(&mut self, start: u128, row: u32) {
        match self.0.last_mut() {
            Some(last) if last.0 == start => last.1 = row,
            _ => self.0.push((start, row)),
        }
    }

    /// A network ends; what it lies in goes on behind it.
    fn end(&mut self, last: u128, outer: Option<&(u128, u32)>) {
        if let Some(next) = last.checked_add(1) {
            self.put(next, outer.map_or(NONE, |(_, row)| *row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => (0u32..4, 0u32..3, any::<u8>(), any::<u8>(), 0u32..33).prop_map(|(a, b, c, d, len)| format!("10.{a}.{b}.{}/{len}", if c > 128 { d } else { 0 })),
            1 => (0u32..3, 100u32..129).prop_map(|(a, len)| format!("2001:db8::{a}/{len}")),
            1 => Just("::/0".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn equals_a_scan_for_the_longest(texts in prop::collection::vec(network(), 0..40), asked in prop::collection::vec((0u32..5, 0u32..4, any::<u8>()), 1..40)) {
            let networks: Vec<(Network, u32)> = texts.iter().enumerate().map(|(i, t)| (Network::parse(t).unwrap(), i as u32)).collect();
            let (index, _) = Networks::new(&networks);
            let mut addresses: Vec<String> = asked.iter().map(|(a, b, c)| format!("10.{a}.{b}.{c}")).collect();
            addresses.extend(["2001:db8::1", "2001:db8::2:0", "0.0.0.0", "255.255.255.255", "::", "ffff::", "9.255.255.255"].map(String::from));
            for text in addresses {
                let address = parse_address(text.as_bytes()).unwrap();
                let holds = networks.iter().filter(|(n, _)| n.contains(address));
                let want = holds.min_by_key(|(n, row)| (n.last - n.first, *row)).map(|(_, row)| *row);
                prop_assert_eq!(index.find(text.as_bytes()), want, "{}", text);
            }
        }
    }
}
