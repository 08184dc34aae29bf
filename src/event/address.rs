//! Addresses and networks: one number space of 128 bits, version 4 mapped into version 6.
use std::net::IpAddr;

/// An address as a number. A v4 address and its v6-mapped form are one.
pub fn address_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) | 0xffff_0000_0000,
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// Parses an address of either version.
#[inline]
pub fn parse_address(text: &[u8]) -> Option<u128> {
    if let Some(v4) = parse_v4(text) {
        return Some(u128::from(v4) | 0xffff_0000_0000);
    }
    if text.len() > 45 || !text.contains(&b':') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(address_number)
}

/// Parses a dotted quad; a leading zero is refused, as it might be octal.
fn parse_v4(text: &[u8]) -> Option<u32> {
    if text.len() > 15 || text.len() < 7 {
        return None;
    }
    let (mut quad, mut part, mut digits, mut dots) = (0u32, 0u32, 0, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || (part != 0 && digits < 3) => {
                part = part * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 256 && dots < 3 => {
                quad = quad << 8 | part;
                (part, digits) = (0, 0);
                dots += 1;
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0 && part < 256).then_some(quad << 8 | part)
}

/// A network as its first and last address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// First address.
    pub first: u128,
    /// Last address.
    pub last: u128,
    /// Whether the text had bits set behind the prefix.
    pub host_bits: bool,
}

impl Network {
    /// Parses `10.0.0.0/8`, `fe80::/10` or a single address.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = address.trim().parse().ok()?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(l) => l.trim().parse::<u32>().ok().filter(|l| *l <= bits)?,
            None => bits,
        };
        let host = bits - length;
        let mask = if host == 128 { u128::MAX } else { (1 << host) - 1 };
        let number = address_number(ip);
        Some(Network { first: number & !mask, last: number | mask, host_bits: number & mask != 0 })
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: u128) -> bool {
        self.first <= address && address <= self.last
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// The v4 form of a mapped number.
    fn show_address(number: u128) -> String {
        match number >> 32 {
            0xffff => Ipv4Addr::from(number as u32).to_string(),
            _ => std::net::Ipv6Addr::from(number).to_string(),
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 20_000, ..Default::default() })]
        #[test]
        fn quads_are_parsed_as_the_library_does(text in "([0-9]{1,4}\\.){3}[0-9]{1,4}|[0-9.:/; -]{6,16}|[0-9]{1,3}\\.[0-9.]{1,3}\\.[0-9]{0,3}\\.[0-9]{1,3}") {
            proptest::prop_assert_eq!(parse_v4(text.as_bytes()), text.parse::<Ipv4Addr>().ok().map(u32::from));
        }
    }

    #[test]
    fn addresses_and_networks() {
        assert_eq!(parse_address(b"10.0.0.1").map(show_address).as_deref(), Some("10.0.0.1"));
        assert_eq!(parse_address(b"::ffff:10.0.0.1"), parse_address(b"10.0.0.1"));
        for bad in ["10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1.", "1..2.3", "x", ""] {
            assert_eq!(parse_address(bad.as_bytes()), None, "{bad}");
            assert!(bad.parse::<Ipv4Addr>().is_err());
        }
        let n = Network::parse("10.1.2.3/8").unwrap();
        assert!(n.host_bits && n.contains(parse_address(b"10.255.0.0").unwrap()) && !n.contains(parse_address(b"11.0.0.0").unwrap()));
        assert!(Network::parse("10.0.0.0/33").is_none());
        assert!(Network::parse("::/0").unwrap().contains(parse_address(b"1.2.3.4").unwrap()));
    }
}
