//! What a hit adds to its window's measure, in whole numbers: weights, hashes of values, or units of 10⁻⁹.
use xxhash_rust::xxh3::xxh3_128;

use super::Value;

/// One in units of 10⁻⁹.
pub const ONE: i128 = 1_000_000_000;

/// A decimal in units of 10⁻⁹; digits beyond the ninth of the fraction are cut.
pub fn decimal(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Int(n) => Some(i128::from(n) * ONE),
        Value::Float(f) => parse_decimal(f.to_string().as_bytes()),
        Value::Number(text) | Value::Text(text) => {
            value.number()?;
            parse_decimal(text)
        }
        _ => None,
    }
}

/// Parses a number's text.
pub fn parse_decimal(text: &[u8]) -> Option<i128> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&rest[..at], std::str::from_utf8(&rest[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let mut value: i128 = 0;
    // The place of a digit in powers of ten, relative to units of 10⁻⁹.
    let mut place = i32::try_from(point).ok()?.checked_add(exponent)?.checked_add(9)?;
    for digit in mantissa.iter().filter(|b| **b != b'.') {
        place -= 1;
        if !digit.is_ascii_digit() {
            return None;
        }
        if place >= 0 {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
    }
    for _ in 0..place.max(0) {
        value = value.checked_mul(10)?;
    }
    Some(if negative { -value } else { value })
}

/// A value as what `distinct` compares: its canonical text.
pub fn distinct(value: Value<'_>, scratch: &mut Vec<u8>) -> Option<i128> {
    if let Some(text) = value.plain_text() {
        return Some(xxh3_128(text) as i128);
    }
    scratch.clear();
    value.write_text(scratch).then(|| xxh3_128(scratch) as i128)
}

/// A weight: a positive whole number counts as itself, all else as one.
#[inline]
pub fn weight(value: Value<'_>) -> i128 {
    match value {
        Value::Absent | Value::Text(_) => 1,
        other => match other.number() {
            Some(super::value::Num::Int(n)) if n > 0 => i128::from(n),
            _ => 1,
        },
    }
}

/// Appends units of 10⁻⁹ as a decimal without trailing zeros.
pub fn write_decimal(units: i128, out: &mut Vec<u8>) {
    let (whole, fraction) = (units.unsigned_abs() / ONE as u128, units.unsigned_abs() % ONE as u128);
    let sign = if units < 0 { "-" } else { "" };
    let mut text = format!("{sign}{whole}");
    if fraction != 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let back = |text: &str| {
            let mut out = Vec::new();
            write_decimal(parse_decimal(text.as_bytes()).unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for (text, want) in
            [("0.1", "0.1"), ("-12.50", "-12.5"), ("1e3", "1000"), ("12.5E-1", "1.25"), ("0.0000000019", "0.000000001"), ("7", "7")]
        {
            assert_eq!(back(text), want);
        }
        assert_eq!(weight(Value::Number(b"3")), 3);
        assert_eq!((weight(Value::Number(b"-3")), weight(Value::Text(b"3")), weight(Value::Number(b"1.5"))), (1, 1, 1));
    }
}
