use super::*;

/// Writes values as the data section has them.
fn encode(value: &Value, out: &mut Vec<u8>) {
    let mut head = |kind: u8, size: usize| {
        let size_bits = if size < 29 { size as u8 } else { 29 };
        match kind {
            ..8 => out.push(kind << 5 | size_bits),
            _ => out.extend([size_bits, kind - 7]),
        }
        if size >= 29 {
            out.push((size - 29) as u8);
        }
    };
    match value {
        Value::String(text) => {
            head(2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Number(n) if n.is_u64() => {
            head(6, 4);
            out.extend_from_slice(&(n.as_u64().unwrap() as u32).to_be_bytes());
        }
        Value::Number(n) => {
            head(3, 8);
            out.extend_from_slice(&n.as_f64().unwrap().to_be_bytes());
        }
        Value::Bool(truth) => head(14, usize::from(*truth)),
        Value::Array(items) => {
            head(11, items.len());
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Object(members) => {
            head(7, members.len());
            for (key, item) in members {
                encode(&Value::from(key.as_str()), out);
                encode(item, out);
            }
        }
        Value::Null => panic!("the format has no null"),
    }
}

/// A database of networks of version 6 (those of version 4 below ::/96), with records of 24 bits.
fn database(networks: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes: Vec<[Option<usize>; 2]> = vec![[None, None]];
    let mut data = Vec::new();
    let mut leaves: HashMap<(usize, usize), usize> = HashMap::new();
    for (text, record) in networks {
        let (address, prefix) = text.split_once('/').unwrap();
        let mut prefix: usize = prefix.parse().unwrap();
        let bits = match address.parse().unwrap() {
            IpAddr::V4(v4) => {
                prefix += 96;
                u128::from(v4.to_bits())
            }
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let (mut at, bit) = (0, |depth: usize| (bits >> (127 - depth) & 1) as usize);
        for depth in 0..prefix - 1 {
            at = match nodes[at][bit(depth)] {
                Some(next) => next,
                None => {
                    nodes.push([None, None]);
                    let next = nodes.len() - 1;
                    nodes[at][bit(depth)] = Some(next);
                    next
                }
            };
        }
        leaves.insert((at, bit(prefix - 1)), data.len());
        encode(record, &mut data);
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        for (side, next) in node.iter().enumerate() {
            let value = leaves.get(&(at, side)).map(|offset| count + 16 + offset).or(*next).unwrap_or(count);
            out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = serde_json::json!({"binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_760_000_000,
        "database_type": "Test", "description": {"en": "a test"}, "ip_version": 6, "languages": ["en"], "node_count": count, "record_size": 24});
    let members = metadata.as_object().unwrap();
    out.push(7 << 5 | members.len() as u8);
    for (key, item) in members {
        encode(&Value::from(key.as_str()), &mut out);
        match (key.as_str(), item.as_u64()) {
            ("node_count", _) | (_, None) => encode(item, &mut out),
            ("build_epoch", Some(n)) => {
                out.extend([8, 9 - 7]);
                out.extend(n.to_be_bytes());
            }
            (_, Some(n)) => {
                out.push(5 << 5 | 2);
                out.extend((n as u16).to_be_bytes());
            }
        }
    }
    out
}

#[test]
fn addresses_of_both_versions_find_their_record() {
    let paris = serde_json::json!({"city": {"names": {"de": "Paris", "en": "Paris", "fr": "Paris"}}, "country": {"iso_code": "FR"},
        "location": {"latitude": 48.86}, "subdivisions": [{"iso_code": "IDF"}], "is_anycast": true});
    let asn = serde_json::json!({"autonomous_system_number": 64_500, "country": {"iso_code": "DE"}});
    let bytes = database(&[("203.0.113.0/24", paris), ("198.51.100.128/25", asn.clone()), ("2001:db8::/32", asn)]);
    let table = read(&bytes, None).unwrap();
    let cell = |address: &str, column: &str| {
        let row = table.find(address.as_bytes())?;
        table.cell(row, table.column(column)?).map(|cell| String::from_utf8_lossy(cell).into_owned())
    };
    let of = |address: &str, column: &str| cell(address, column).unwrap_or_default();
    assert_eq!(of("203.0.113.9", "city.names.en"), "Paris");
    assert_eq!(of("203.0.113.255", "location.latitude"), "48.86");
    assert_eq!(of("203.0.113.0", "subdivisions.0.iso_code"), "IDF");
    assert_eq!(of("203.0.113.1", "is_anycast"), "true");
    assert_eq!(of("198.51.100.200", "autonomous_system_number"), "64500");
    assert_eq!((of("2001:db8:ffff::1", "country.iso_code"), of("203.0.113.1", "country.iso_code")), ("DE".to_owned(), "FR".to_owned()));
    assert_eq!(
        (table.find(b"198.51.100.1"), table.find(b"203.0.114.0"), table.find(b"2001:db9::"), table.find(b"x")),
        (None, None, None, None)
    );
    assert_eq!((table.column("city.names.de"), &table.columns[0]), (None, &ADDRESS.to_owned()));

    // With columns that are given nothing else is there.
    let fixed = ["ip".to_owned(), "country.iso_code".to_owned(), "nothing".to_owned()];
    assert_eq!(read(&bytes, Some(&fixed)).unwrap().columns, fixed);
}

/// The database that other tests and the examples of the docs use, written by this.
#[test]
fn the_example_is_made_of_this() {
    let place =
        |country: &str, city: &str| serde_json::json!({"country": {"iso_code": country}, "city": {"names": {"en": city, "fr": city}}});
    let networks =
        [("192.0.2.0/24", place("FR", "Paris")), ("198.51.100.0/24", place("NL", "Delft")), ("2001:db8::/32", place("JP", "Nara"))];
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/places.mmdb");
    if !path.exists() {
        std::fs::write(&path, database(&networks)).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == database(&networks), "take {} away: it is written anew", path.display());
}

#[test]
fn what_is_no_database_is_named() {
    let bytes = database(&[("203.0.113.0/24", serde_json::json!({"a": "b"}))]);
    for broken in [&b"network,zone\n"[..], &[], &bytes[..bytes.len() - 20]] {
        assert!(read(broken, None).unwrap_err().contains("no MaxMind DB"));
    }
    // Whatever byte is wrong, there is a table or a word.
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        let _ = read(&bytes, None);
    }
}
