//! Short keys of CEF extensions and the names that they stand for, sorted by key. Keys that are full names already stand for themselves.
//!
//! Source: the key names of the vendor's CEF guide, producer and consumer dictionaries.

const NAMES: &[(&str, &str)] = &[
    ("act", "deviceAction"),
    ("agt", "agentAddress"),
    ("ahost", "agentHostName"),
    ("aid", "agentId"),
    ("amac", "agentMacAddress"),
    ("app", "applicationProtocol"),
    ("art", "agentReceiptTime"),
    ("at", "agentType"),
    ("atz", "agentTimeZone"),
    ("av", "agentVersion"),
    ("c6a1", "deviceCustomIPv6Address1"),
    ("c6a1Label", "deviceCustomIPv6Address1Label"),
    ("c6a2", "deviceCustomIPv6Address2"),
    ("c6a2Label", "deviceCustomIPv6Address2Label"),
    ("c6a3", "deviceCustomIPv6Address3"),
    ("c6a3Label", "deviceCustomIPv6Address3Label"),
    ("c6a4", "deviceCustomIPv6Address4"),
    ("c6a4Label", "deviceCustomIPv6Address4Label"),
    ("cat", "deviceEventCategory"),
    ("catdt", "categoryDeviceType"),
    ("cfp1", "deviceCustomFloatingPoint1"),
    ("cfp1Label", "deviceCustomFloatingPoint1Label"),
    ("cfp2", "deviceCustomFloatingPoint2"),
    ("cfp2Label", "deviceCustomFloatingPoint2Label"),
    ("cfp3", "deviceCustomFloatingPoint3"),
    ("cfp3Label", "deviceCustomFloatingPoint3Label"),
    ("cfp4", "deviceCustomFloatingPoint4"),
    ("cfp4Label", "deviceCustomFloatingPoint4Label"),
    ("cn1", "deviceCustomNumber1"),
    ("cn1Label", "deviceCustomNumber1Label"),
    ("cn2", "deviceCustomNumber2"),
    ("cn2Label", "deviceCustomNumber2Label"),
    ("cn3", "deviceCustomNumber3"),
    ("cn3Label", "deviceCustomNumber3Label"),
    ("cnt", "baseEventCount"),
    ("cs1", "deviceCustomString1"),
    ("cs1Label", "deviceCustomString1Label"),
    ("cs2", "deviceCustomString2"),
    ("cs2Label", "deviceCustomString2Label"),
    ("cs3", "deviceCustomString3"),
    ("cs3Label", "deviceCustomString3Label"),
    ("cs4", "deviceCustomString4"),
    ("cs4Label", "deviceCustomString4Label"),
    ("cs5", "deviceCustomString5"),
    ("cs5Label", "deviceCustomString5Label"),
    ("cs6", "deviceCustomString6"),
    ("cs6Label", "deviceCustomString6Label"),
    ("dhost", "destinationHostName"),
    ("dlat", "destinationGeoLatitude"),
    ("dlong", "destinationGeoLongitude"),
    ("dmac", "destinationMacAddress"),
    ("dntdom", "destinationNtDomain"),
    ("dpid", "destinationProcessId"),
    ("dpriv", "destinationUserPrivileges"),
    ("dproc", "destinationProcessName"),
    ("dpt", "destinationPort"),
    ("dst", "destinationAddress"),
    ("dtz", "deviceTimeZone"),
    ("duid", "destinationUserId"),
    ("duser", "destinationUserName"),
    ("dvc", "deviceAddress"),
    ("dvchost", "deviceHostName"),
    ("dvcmac", "deviceMacAddress"),
    ("dvcpid", "deviceProcessId"),
    ("end", "endTime"),
    ("fname", "fileName"),
    ("fsize", "fileSize"),
    ("in", "bytesIn"),
    ("mrt", "managerReceiptTime"),
    ("msg", "message"),
    ("out", "bytesOut"),
    ("outcome", "eventOutcome"),
    ("proto", "transportProtocol"),
    ("request", "requestUrl"),
    ("rt", "deviceReceiptTime"),
    ("shost", "sourceHostName"),
    ("slat", "sourceGeoLatitude"),
    ("slong", "sourceGeoLongitude"),
    ("smac", "sourceMacAddress"),
    ("sntdom", "sourceNtDomain"),
    ("spid", "sourceProcessId"),
    ("spriv", "sourceUserPrivileges"),
    ("sproc", "sourceProcessName"),
    ("spt", "sourcePort"),
    ("src", "sourceAddress"),
    ("start", "startTime"),
    ("suid", "sourceUserId"),
    ("suser", "sourceUserName"),
    ("type", "eventType"),
];

/// The full name of a short key; none where the key stands for itself.
pub fn full_name(key: &[u8]) -> Option<&'static str> {
    NAMES.binary_search_by(|(short, _)| short.as_bytes().cmp(key)).ok().map(|at| NAMES[at].1)
}

/// The short key of a full name; the name itself where there is none.
pub fn short_name(name: &str) -> &str {
    NAMES.iter().find(|(_, full)| *full == name).map_or(name, |(short, _)| short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_found() {
        assert!(NAMES.is_sorted_by(|a, b| a.0.as_bytes() < b.0.as_bytes()));
        assert_eq!(full_name(b"src"), Some("sourceAddress"));
        assert_eq!(full_name(b"cs6Label"), Some("deviceCustomString6Label"));
        assert_eq!(full_name(b"sourceAddress"), None);
        assert_eq!((short_name("sourceAddress"), short_name("mine")), ("src", "mine"));
    }
}
