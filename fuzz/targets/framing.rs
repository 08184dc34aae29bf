//! Lines found in any pieces are the lines of the whole; joined, they are still all there.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tripline::codec::framing::multiline::Multiline;
use tripline::codec::framing::newline::NewlineFraming;
use tripline::event::BatchBuilder;
use tripline::pattern::Pattern;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (piece, text) = input;
    let multiline = Multiline::Continue(Pattern::new("^[ \t]").expect("a good pattern"));
    let (mut framing, mut carry, mut found) = (NewlineFraming::default(), Vec::new(), Vec::new());
    let mut pieces = text.chunks(usize::from(piece) + 1);
    loop {
        let next = pieces.next();
        let mut builder = BatchBuilder::default();
        builder.bytes.append(&mut carry);
        builder.bytes.extend_from_slice(next.unwrap_or_default());
        let mut rest = framing.mark(&mut builder, 0, 0).rest;
        if let Some(open) = multiline.join(&mut builder, next.is_none()) {
            rest = open;
        }
        for line in &builder.lines {
            found.extend_from_slice(&builder.bytes[line.at as usize..(line.at + line.len) as usize]);
        }
        if next.is_none() && builder.lines.is_empty() {
            break;
        }
        carry.extend_from_slice(&builder.bytes[rest..]);
    }
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let without_ends = |text: &[u8]| text.iter().copied().filter(|b| !matches!(b, b'\n' | b'\r')).collect::<Vec<u8>>();
    assert_eq!(without_ends(&found), without_ends(&text[..whole]));
});
