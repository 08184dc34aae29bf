//! What generated lines look like. Line N of a seed is the same whatever came before, so a source can go on from any position.
//!
//! In every 1,000 lines of `syslog`, `cisco` and `windows`, lines 500 to 519 are failed logins of one address: a brute force that a rule should find.
use std::io::Write as _;

use crate::event::time::{civil_from_days, write_rfc3339};
use crate::limits::SECOND;

/// Kinds of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    Syslog,
    Cisco,
    Cef,
    Json,
    Dns,
    Windows,
}

impl LineKind {
    pub(super) fn named(word: &str) -> Option<LineKind> {
        Some(match word {
            "syslog" => LineKind::Syslog,
            "cisco" => LineKind::Cisco,
            "cef" => LineKind::Cef,
            "json" => LineKind::Json,
            "dns" => LineKind::Dns,
            "windows" => LineKind::Windows,
            _ => return None,
        })
    }
}

const USERS: [&str; 12] =
    ["root", "admin", "a.ionescu", "m.popa", "backup", "oracle", "j.smith", "svc_web", "guest", "test", "d.marin", "e.stan"];
const DOMAINS: [&str; 8] = [
    "example.com",
    "cdn.example.net",
    "mail.example.org",
    "update.example.com",
    "wpad.example.net",
    "api.example.io",
    "static.example.org",
    "ntp.example.net",
];

/// Makes one line.
pub(super) struct Generator {
    state: u64,
    row: u64,
}

impl Generator {
    pub(super) fn new(seed: u64, row: u64) -> Generator {
        Generator { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ row.wrapping_mul(0xd134_2543_de82_ef95), row }
    }

    fn pick(&mut self, most: u64) -> u64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % most.max(1)
    }

    fn address(&mut self) -> String {
        format!("10.{}.{}.{}", self.pick(4), self.pick(32), 1 + self.pick(250))
    }

    pub(super) fn line(&mut self, kind: LineKind, time: i64, out: &mut Vec<u8>) {
        let attack = (500..520).contains(&(self.row % 1000));
        let failed = attack || self.pick(8) == 0;
        let source = if attack { format!("203.0.113.{}", 1 + self.row / 1000 % 250) } else { self.address() };
        let user = USERS[self.pick(USERS.len() as u64) as usize];
        let port = 1024 + self.pick(60_000);
        let host = self.pick(20);
        // Writing to a vector cannot fail.
        let _ = match kind {
            LineKind::Syslog => {
                let _ = write!(out, "<38>1 ");
                write_rfc3339(time, out);
                let word = if failed { "Failed" } else { "Accepted" };
                write!(
                    out,
                    " host{host} sshd {} - [auth@32473 src=\"{source}\" user=\"{user}\"] {word} password for {user} from {source} port {port} ssh2",
                    1000 + self.pick(9000)
                )
            }
            LineKind::Cisco => {
                write_cisco_time(time, out);
                match failed {
                    true => write!(
                        out,
                        "%SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: {user}] [Source: {source}] [localport: 22] [Reason: Login Authentication Failed]"
                    ),
                    false => write!(out, "%SEC_LOGIN-5-LOGIN_SUCCESS: Login Success [user: {user}] [Source: {source}] [localport: 22]"),
                }
            }
            LineKind::Cef => {
                let (act, severity) = if failed { ("Deny", 6) } else { ("Permit", 2) };
                write!(
                    out,
                    "CEF:0|Example|Firewall|1.0|{}|{act}|{severity}|rt={} src={source} dst={} spt={port} dpt={} proto=TCP act={act} suser={user}",
                    100 + self.pick(20),
                    time / 1_000_000,
                    self.address(),
                    [22, 80, 443, 3389][self.pick(4) as usize]
                )
            }
            LineKind::Json => {
                let _ = write!(out, "{{\"@timestamp\":\"");
                write_rfc3339(time, out);
                let outcome = if failed { "failure" } else { "success" };
                write!(
                    out,
                    "\",\"event\":{{\"category\":\"authentication\",\"outcome\":\"{outcome}\"}},\"source\":{{\"ip\":\"{source}\",\"port\":{port}}},\"user\":{{\"name\":\"{user}\"}},\"host\":{{\"name\":\"host{host}\"}}}}"
                )
            }
            LineKind::Dns => {
                let name = DOMAINS[self.pick(DOMAINS.len() as u64) as usize];
                write_rfc3339(time, out);
                write!(
                    out,
                    " queries: info: client @0x7f {source}#{port} (w{}.{name}): query: w{}.{name} IN A +E(0)K (10.0.0.53)",
                    self.pick(100_000),
                    self.pick(100_000)
                )
            }
            LineKind::Windows => {
                let _ = write!(out, "{{\"@timestamp\":\"");
                write_rfc3339(time, out);
                let (code, outcome) = if failed { (4625, "failure") } else { (4624, "success") };
                write!(
                    out,
                    "\",\"event\":{{\"code\":\"{code}\",\"outcome\":\"{outcome}\"}},\"winlog\":{{\"channel\":\"Security\",\"event_data\":{{\"IpAddress\":\"{source}\",\"TargetUserName\":\"{user}\",\"LogonType\":\"3\"}}}},\"host\":{{\"name\":\"WS{host:03}\"}}}}"
                )
            }
        };
    }
}

fn write_cisco_time(time: i64, out: &mut Vec<u8>) {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.div_euclid(SECOND);
    let (_, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let millis = time.rem_euclid(SECOND) / 1_000_000;
    let _ = write!(
        out,
        "<189>{}: *{} {day:>2} {:02}:{:02}:{:02}.{millis:03}: ",
        seconds % 100_000,
        MONTHS[month as usize - 1],
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    );
}
