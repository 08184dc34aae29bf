#!/usr/bin/env python3
"""Writes queries.log: an hour of a resolver's query log with known truth in it (see ../README.md)."""
import datetime
import random

random.seed(7)
START = datetime.datetime(2026, 11, 2, 8, 0, 0)
NAMES = ["www.corp.example", "mail.corp.example", "cdn.example.net", "api.example.io", "update.example.com", "ntp.example.net"]
lines = []


def ask(second, client, name, kind="A"):
    at = START + datetime.timedelta(milliseconds=int(second * 1000))
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    port = random.randint(1024, 65535)
    lines.append((second, f"{stamp} queries: info: client @0x7f3a {client}#{port} ({name}): query: {name} IN {kind} +E(0)K (10.0.0.53)"))


def reverse(address):
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


for _ in range(4000):  # people
    ask(random.uniform(0, 3600), f"10.{random.randint(1, 4)}.{random.randint(0, 9)}.{random.randint(1, 250)}", random.choice(NAMES))
for n in range(1500):  # the log collector resolves what it reads: noise
    ask(n * 2.4, "10.0.0.9", reverse(f"10.1.{n % 9}.{n % 250}"), "PTR")
for n in range(60):  # an outsider walks through the private space
    ask(900 + n * 3, "198.51.100.23", reverse(f"10.2.3.{n}"), "PTR")
for n in range(8):  # another one asks now and then
    ask(300 + n * 350, "198.51.100.77", reverse(f"192.168.1.{n}"), "PTR")
for n in range(80):  # data leaves in names
    label = "".join(random.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(52))
    ask(2000 + n * 0.5, "10.3.4.20", f"{label}.t.evil.example", "TXT")
ask(2500, "203.0.113.99", "corp.example", "AXFR")
ask(2600, "203.0.113.99", "version.bind", "TXT")

with open(__file__.replace("make.py", "queries.log"), "w", encoding="utf-8") as out:
    out.writelines(line + "\n" for _, line in sorted(lines, key=lambda l: l[0]))
