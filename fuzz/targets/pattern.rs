//! What a walk finds in a text is what the automaton finds.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tripline::pattern::Pattern;

fuzz_target!(|input: (&str, Vec<String>)| {
    let (pattern, texts) = input;
    if pattern.len() > 100 {
        return;
    }
    let Ok(pattern) = Pattern::new(pattern) else { return };
    let mut found = pattern.found();
    for text in texts.iter().take(8) {
        let mut first = None;
        pattern.each(text.as_bytes(), |captures| {
            first.get_or_insert_with(|| (0..captures.group_len()).map(|g| captures.get_group(g).map(|span| span.range())).collect::<Vec<_>>());
        });
        let is_match = pattern.find(text.as_bytes(), &mut found);
        let groups = is_match.then(|| (0..found.groups()).map(|g| found.group(g)).collect::<Vec<_>>());
        assert_eq!(groups, first);
    }
});
