//! An expression of any text is a tree or a fault inside of the text.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(fault) = tripline::expr::parse(text) {
        assert!(fault.at <= text.chars().count());
    }
});
