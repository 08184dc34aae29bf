use super::*;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let common = prop::sample::select(b"\"\\{}[]:,\n ab\x01\x0c\x1a\x1f".to_vec());
    prop::collection::vec(prop_oneof![4 => common, 1 => any::<u8>()], 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn masks_equal_their_scalar_twins(bytes in bytes(), from in 0usize..400) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        offsets(&bytes, b'\n', 7, &mut a);
        scalar::offsets(&bytes, b'\n', 7, &mut b);
        prop_assert_eq!(&a, &b);
        let (mut c, mut d) = (Vec::new(), Vec::new());
        bitmap(&bytes, [b'"', b' ', b'\\'], &mut c);
        scalar::bitmap(&bytes, [b'"', b' ', b'\\'], &mut d);
        prop_assert_eq!(&c, &d);
        for needles in [[b' ', b'\n', 1, 0x0c, 0x1f], [b',', b',', b',', b',', b','], [b' ', b'0', b'[', b'\n', 0], [0xc3, b' ', b'a', b'b', b'"']] {
            prop_assert_eq!(bitmap(&bytes, needles, &mut c), scalar::bitmap(&bytes, needles, &mut d));
            prop_assert_eq!(&c, &d);
        }
        bitmap(&bytes, [0], &mut c);
        scalar::bitmap(&bytes, [0], &mut d);
        prop_assert_eq!(&c, &d);
        let from = from.min(bytes.len());
        prop_assert_eq!(find_escape(&bytes, from), scalar::find_escape(&bytes, from));
        prop_assert_eq!(find_near(&bytes, from, [b'"', b'\\']), scalar::find_near(&bytes, from, [b'"', b'\\']));
        if let Some(block) = bytes[from..].first_chunk() {
            prop_assert_eq!(marks(block, [b'"', b'\\']), scalar::marks(block, [b'"', b'\\']));
        }
        if let Some(text) = bytes[from..].first_chunk::<16>() {
            let mut head = *text;
            let mask = std::array::from_fn(|i| if i < from % 17 { u8::MAX } else { 0 });
            head.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
            prop_assert!(begins_with(text, &head, &mask) && scalar::begins_with(text, &head, &mask));
            head[from % 16] ^= 1;
            prop_assert!(!begins_with(text, &head, &mask) && !scalar::begins_with(text, &head, &mask));
            for at in 0..70 {
                prop_assert_eq!(is_first_at(text, at, b'"', b'\\'), scalar::is_first_at(text, at, b'"', b'\\'));
            }
        }
        let numbers = std::array::from_fn(|i| u16::from(*bytes.get(i).unwrap_or(&0)) << (i % 9));
        prop_assert_eq!(leading_below(&numbers, from as u16 * 80), scalar::leading_below(&numbers, from as u16 * 80));
        let eight = std::array::from_fn(|i| u32::from(*bytes.get(i).unwrap_or(&0)) << (from % 25));
        let wanted = eight[from % 8];
        prop_assert_eq!(equal_to(&eight, wanted), scalar::equal_to(&eight, wanted));
        let rest = &bytes[from..];
        let other = [&rest[..rest.len().saturating_sub(1)], b"x"].concat();
        prop_assert!(equal(rest, rest));
        prop_assert_eq!(equal(&other, rest), other == rest);
        let short = &bytes[..from % 40 % (bytes.len() + 1)];
        let (mut e, mut f) = (b"x".to_vec(), b"x".to_vec());
        prop_assert_eq!(append_plain(short, &mut e), scalar::append_plain(short, &mut f));
        prop_assert_eq!(quote_plain(short, &mut e), scalar::quote_plain(short, &mut f));
        append(short, &mut e);
        f.extend_from_slice(short);
        prop_assert_eq!(e, f);
        let (mut e, mut f) = (Vec::new(), Vec::new());
        prop_assert_eq!(json_marks(&bytes, &mut a, &mut e), scalar::json_marks(&bytes, &mut b, &mut f));
        prop_assert_eq!(e, f);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn short_comparison_is_comparison(a in prop::collection::vec(0u8..3, 0..40), b in prop::collection::vec(0u8..3, 0..40)) {
        prop_assert_eq!(equal(&a, &b), a == b);
        prop_assert!(equal(&a, &a.clone()));
    }
}

#[test]
fn short_words_are_the_bytes() {
    let text: Vec<u8> = (1..=20).collect();
    for len in 0..=16 {
        let [low, high] = short_words(&text[..len]).unwrap();
        let mut filled = text[..len].to_vec();
        filled.resize(16, 0);
        assert_eq!([low.to_le_bytes(), high.to_le_bytes()].concat(), filled, "{len}");
    }
    assert_eq!(short_words(&text), None);
}
