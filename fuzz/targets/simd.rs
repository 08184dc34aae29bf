//! Every mask equals its scalar twin.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tripline::simd::{self, scalar};

fuzz_target!(|bytes: &[u8]| {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    simd::offsets(bytes, b'\n', 7, &mut a);
    scalar::offsets(bytes, b'\n', 7, &mut b);
    assert_eq!(a, b);
    let (mut c, mut d) = (Vec::new(), Vec::new());
    assert_eq!(simd::bitmap(bytes, [b'"', b' ', b'\\'], &mut c), scalar::bitmap(bytes, [b'"', b' ', b'\\'], &mut d));
    assert_eq!(c, d);
    simd::bitmap(bytes, [b',', b',', b'|', b'|'], &mut c);
    scalar::bitmap(bytes, [b',', b',', b'|', b'|'], &mut d);
    assert_eq!(c, d);
    let from = bytes.len() / 3;
    assert_eq!(simd::find_escape(bytes, from), scalar::find_escape(bytes, from));
    assert_eq!(simd::find_near(bytes, from, [b'"', b'\\']), scalar::find_near(bytes, from, [b'"', b'\\']));
    if let Some(block) = bytes.first_chunk() {
        (0..40).for_each(|at| assert_eq!(simd::is_first_at(block, at, b'"', b'\\'), scalar::is_first_at(block, at, b'"', b'\\')));
    }
    if let Some(block) = bytes.first_chunk() {
        assert_eq!(simd::marks(block, [b'"', b'\\']), scalar::marks(block, [b'"', b'\\']));
    }
    let short = &bytes[..from.min(40)];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    assert_eq!(simd::append_plain(short, &mut ours), scalar::append_plain(short, &mut theirs));
    assert_eq!(simd::quote_plain(short, &mut ours), scalar::quote_plain(short, &mut theirs));
    simd::append(short, &mut ours);
    theirs.extend_from_slice(short);
    assert_eq!(ours, theirs);
    let (mut e, mut f) = (Vec::new(), Vec::new());
    let outcomes = (simd::json_marks(bytes, &mut a, &mut e), scalar::json_marks(bytes, &mut b, &mut f));
    assert_eq!(outcomes.0, outcomes.1);
    assert_eq!((a, e), (b, f));
});
