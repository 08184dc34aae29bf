//! P4: a table of networks against a tree of prefixes, a table of a million rows against a map of owned texts.
#![allow(clippy::expect_used, dropping_copy_types)] // made-up data is as it was made

mod common;

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use common::{Bench, Rng};
use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;
use tripline::diagnostic::Place;
use tripline::event::address::{Network, address_number};
use tripline::table::networks::Networks;
use tripline::table::rows::Keys;
use tripline::table::{Form, Table, load};

fn table(text: &str, form: &Form) -> Table {
    load(text, form, &Place::start_of("bench.csv"), &mut Vec::new()).expect("the table is good")
}

fn main() {
    let mut bench = Bench::new("tables", true);
    let n: u64 = if bench.quick { 400_000 } else { 2_000_000 };
    let mut r = Rng(11);
    let networks = 100_000u64;
    let mut text = String::from("network,zone\n");
    let mut spans = Vec::new();
    let mut peer: IpNetworkTable<u32> = IpNetworkTable::new();
    for i in 0..networks {
        let length = [16, 20, 22, 24, 24, 24, 28][r.below(7) as usize];
        let address = Ipv4Addr::from((r.next() as u32) & (u32::MAX << (32 - length)));
        text.push_str(&format!("{address}/{length},zone{}\n", i % 100));
        spans.push((Network::parse(&format!("{address}/{length}")).expect("a network"), i as u32));
        peer.insert(IpNetwork::new(address, length as u8).expect("a network"), i as u32);
    }
    let ours = table(&text, &Form::Prefix { column: "network".into(), delimiter: ',' });
    println!(
        "{{\"bench\":\"tables\",\"case\":\"bytes of the index of 100000 networks\",\"bytes\":{},\"bar\":4194304}}",
        ours.index_memory()
    );
    // Addresses as text, as they stand in events, for both; half of them lie in some network.
    let asked: Vec<String> = (0..4096).map(|_| Ipv4Addr::from(r.next() as u32).to_string()).collect();
    let events = || (0..n / 4096).flat_map(|_| asked.iter());
    let n = n / 4096 * 4096;
    let m = bench.interleave(
        || drop(black_box(events().map(|a| u64::from(ours.find(a.as_bytes()).unwrap_or(0))).sum::<u64>())),
        || {
            let find = |a: &String| peer.longest_match(a.parse::<IpAddr>().expect("an address")).map_or(0, |(_, row)| u64::from(*row));
            drop(black_box(events().map(find).sum::<u64>()));
        },
    );
    bench.report("prefix 100000 networks, addresses as text / ip_network_table", "ip_network_table", n, n * 14, &m);

    let (index, _) = Networks::new(&spans);
    let numbers: Vec<(u128, IpAddr)> =
        asked.iter().map(|a| a.parse::<IpAddr>().expect("an address")).map(|a| (address_number(a), a)).collect();
    let events = || (0..n / 4096).flat_map(|_| numbers.iter());
    let m = bench.interleave(
        || drop(black_box(events().map(|(a, _)| u64::from(index.row_of(*a).unwrap_or(0))).sum::<u64>())),
        || drop(black_box(events().map(|(_, a)| peer.longest_match(*a).map_or(0, |(_, row)| u64::from(*row))).sum::<u64>())),
    );
    bench.report("prefix 100000 networks, addresses as numbers / ip_network_table", "ip_network_table", n, n * 4, &m);

    let rows: u64 = if bench.quick { 200_000 } else { 1_000_000 };
    let key = |i: u64| format!("user{i:010}@corp.example"); // 27 bytes
    let mut text = String::from("login,dept\n");
    (0..rows).for_each(|i| text.push_str(&format!("{},d{}\n", key(i), i % 100)));
    let ours = table(&text, &Form::Csv { keys: vec!["login".into()], delimiter: ',' });
    println!(
        "{{\"bench\":\"tables\",\"case\":\"bytes per row\",\"bytes_per_row\":{},\"rows\":{rows},\"bar\":60}}",
        ours.memory() as u64 / rows
    );
    drop(text);
    let peer: HashMap<String, String> = (0..rows).map(|i| (key(i), format!("d{}", i % 100))).collect();
    let mut asked: Vec<Vec<u8>> = (0..n / 4).map(|_| key(r.below(rows + rows / 10)).into_bytes()).collect();
    let texts: Vec<String> = asked.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
    asked.iter_mut().for_each(|a| a.push(0xff));
    let theirs = || drop(black_box(texts.iter().filter_map(|a| peer.get(a)).map(String::len).sum::<usize>()));
    // A batch at once, as `enrich` does it.
    let mut keys = Keys::default();
    let together = || {
        let mut sum = 0;
        for batch in asked.chunks(1024) {
            keys.clear();
            for key in batch {
                keys.push(|out| {
                    out.extend_from_slice(key);
                    true
                });
            }
            ours.find_each(&mut keys, |_, row| sum += row.and_then(|row| ours.cell(row, 1)).map_or(0, <[u8]>::len));
        }
        black_box(sum);
    };
    let m = bench.interleave(together, theirs);
    bench.report("csv 1 M rows / HashMap<String, String>", "HashMap<String, String>", n / 4, n / 4 * 27, &m);
    let m = bench.interleave(
        || drop(black_box(asked.iter().filter_map(|a| ours.find(a).and_then(|row| ours.cell(row, 1))).map(<[u8]>::len).sum::<usize>())),
        theirs,
    );
    bench.report("csv 1 M rows, one by one / HashMap<String, String>", "HashMap<String, String>", n / 4, n / 4 * 27, &m);
    bench.end();
}
