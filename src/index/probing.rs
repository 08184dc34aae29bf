//! Tables with open addressing: entries stand at their home or behind it, without a gap.

/// Takes the entry at `at` out; those behind it move up, so that no tombstones gather. `home` says where an entry would stand if nothing stood there before;
/// the number of places is a power of two.
pub fn take_out<T: Copy + PartialEq>(slots: &mut [T], empty: T, mut at: usize, home: impl Fn(T) -> usize) {
    let mask = slots.len() - 1;
    let mut next = (at + 1) & mask;
    while slots[next] != empty {
        // It may move up only if its home is not between the gap and itself.
        if (next.wrapping_sub(home(slots[next])) & mask) >= (next.wrapping_sub(at) & mask) {
            slots[at] = slots[next];
            at = next;
        }
        next = (next + 1) & mask;
    }
    slots[at] = empty;
}
