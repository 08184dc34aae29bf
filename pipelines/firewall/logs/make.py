#!/usr/bin/env python3
"""Writes cef.log and asa.log: an hour of two firewalls with known truth in it (see ../README.md)."""
import datetime
import random

random.seed(11)
START = datetime.datetime(2026, 11, 2, 8, 0, 0)
cef, asa = [], []


def see(second, source, target, port, allowed):
    """The one firewall or the other saw a connection."""
    at = START + datetime.timedelta(seconds=second)
    if random.random() < 0.5:
        epoch = int(at.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
        name, act = ("Accept", "allow") if allowed else ("Drop", "deny")
        cef.append((second, f"CEF:0|Example|Gate|2.1|{100 if allowed else 200}|{name}|{3 if allowed else 6}|rt={epoch} src={source} dst={target} spt={random.randint(1024, 65535)} dpt={port} proto=TCP act={act}"))
        return
    stamp = at.strftime("%b %d %Y %H:%M:%S")
    side = "inside" if source.startswith("10.") else "outside"
    other = "outside" if side == "inside" else "inside"
    if allowed:
        text = f"%ASA-6-302013: Built {'outbound' if side == 'inside' else 'inbound'} TCP connection {random.randint(1, 99999)} for {other}:{target}/{port} ({target}/{port}) to {side}:{source}/{random.randint(1024, 65535)} ({source}/1)"
    else:
        text = f'%ASA-4-106023: Deny tcp src {side}:{source}/{random.randint(1024, 65535)} dst {other}:{target}/{port} by access-group "edge" [0x0, 0x0]'
    asa.append((second, f"<166>{stamp} asa-1 : {text}"))


def inside():
    return f"10.{random.randint(1, 3)}.{random.randint(0, 9)}.{random.randint(1, 250)}"


for _ in range(4000):  # people
    see(random.uniform(0, 3600), inside(), f"192.0.2.{random.randint(1, 200)}", random.choice([80, 443, 443, 443, 53]), True)
for _ in range(600):  # the usual knocking
    see(random.uniform(0, 3600), f"198.51.100.{random.randint(1, 250)}", inside(), random.choice([22, 23, 445, 3389]), False)
for n in range(120):  # one walks through the ports
    see(1000 + n * 0.4, "203.0.113.66", "10.1.1.10", 1 + n * 7, False)
for n in range(40):  # one walks through the hosts
    see(1800 + n, "203.0.113.67", f"10.2.0.{n + 1}", 445, False)
for n in range(30):  # a host calls home, every two minutes
    see(60 + n * 118, "10.3.7.7", "203.0.113.200", 8443, True)
for name, lines in [("cef.log", cef), ("asa.log", asa)]:
    with open(__file__.replace("make.py", name), "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for _, line in sorted(lines, key=lambda l: l[0]))
