#!/usr/bin/env python3
"""Writes walks.log: a day of SNMP walks over the ARP tables of two firewalls, with known truth in it (see ../README.md)."""
import datetime
import random

random.seed(5)
START = datetime.datetime(2026, 11, 3, 0, 0, 0)
OID = "iso.3.6.1.4.1.3224.17.1.3.1"


def mac():
    return " ".join(f"{random.choice([0x00, 0x20, 0x80, 0xAC])if n == 0 else random.randint(0, 255):02X}" for n in range(6))


# Entry, address, MAC.
tables = {
    "fw-a": {100 + n: [f"172.16.9.{n + 1}", mac()] for n in range(60)},
    "fw-b": {300 + n: [f"192.168.30.{n + 1}", mac()] for n in range(40)},
}
for n in range(6):  # a router's group, which is in tables/routers.csv
    tables["fw-b"][330 + n][1] = "00 00 5E 00 01 0A"
lines = []
for walk in range(24):
    for host, table in tables.items():
        at = START + datetime.timedelta(hours=walk, seconds=3 if host == "fw-a" else 40)
        if host == "fw-a" and walk == 7:  # another machine answers for the server's address
            table[142][1] = "00 50 56 BE EF 01"
        if host == "fw-b" and walk == 12:  # one machine answers for many
            for n in range(12):
                table[310 + n][1] = "00 0C 29 66 66 66"
        for column, kind in ((2, "IpAddress"), (3, "Hex-STRING")):
            for entry, (address, hardware) in table.items():
                at += datetime.timedelta(milliseconds=random.randint(1, 40))
                stamp = at.isoformat(timespec="milliseconds") + "Z"
                value = address if column == 2 else hardware + " "
                lines.append(f"{stamp} {host} {OID}.{column}.{entry} = {kind}: {value}")
lines.sort()
with open("walks.log", "w") as out:
    out.write("\n".join(lines) + "\n")
