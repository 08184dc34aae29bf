//! Durations (`500ms`, `5m`, `1h30m`) and sizes (`64KiB`, `10MiB`).
use nom::IResult;
use nom::Parser as _;
use nom::bytes::complete::take_while1;
use nom::combinator::all_consuming;
use nom::multi::many1;

/// A number and a unit.
fn part(text: &str) -> IResult<&str, (&str, &str)> {
    (take_while1(|c: char| c.is_ascii_digit()), take_while1(|c: char| c.is_ascii_alphabetic() || c == 'µ')).parse(text)
}

/// Nanoseconds of a duration.
pub fn duration(text: &str) -> Option<i64> {
    let (_, parts) = all_consuming(many1(part)).parse(text.trim()).ok()?;
    parts.into_iter().try_fold(0i64, |sum, (number, unit)| {
        let nanos: i64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        sum.checked_add(number.parse::<i64>().ok()?.checked_mul(nanos)?)
    })
}

/// Bytes of a size; a bare number is bytes.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(bytes) = text.parse::<u64>() {
        return Some(bytes);
    }
    let (_, (number, unit)) = all_consuming(part).parse(text).ok()?;
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("500ms"), Some(500_000_000));
        assert_eq!((duration("5 parsecs"), duration("5"), duration("")), (None, None, None));
        assert_eq!((size("64KiB"), size("12"), size("1 XB")), (Some(65_536), Some(12), None));
    }
}
