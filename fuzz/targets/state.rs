//! Saved state of any bytes is taken or refused: a torn or foreign store must not end the program.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tripline::state::Chunks;
use tripline::window::ring::RingGroups;

fuzz_target!(|bytes: &[u8]| {
    for (n, weighted) in [(5, false), (2, true)] {
        let mut groups = RingGroups::new(n, 60_000_000_000, weighted, false);
        let _ = groups.load(&mut tripline::state::StateReader::new(bytes), &|_| true);
        // What was taken can be used and saved again.
        let key = bytes.get(..bytes.len().min(20)).unwrap_or_default();
        groups.hit(None, 7, key, 1_760_000_000_000_000_000, 1);
        groups.save(true, &mut Chunks::default());
    }
});
