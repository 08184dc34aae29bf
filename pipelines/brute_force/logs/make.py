#!/usr/bin/env python3
"""Writes the sample logs. Known truth: see README.md. The same seed gives the same lines."""
import json, os, random
from datetime import datetime, timedelta, timezone
here = os.path.dirname(os.path.abspath(__file__))
r = random.Random(7)
start = datetime(2026, 3, 2, 8, 0, tzinfo=timezone.utc)
USERS = ["a.ionescu", "m.popa", "j.smith", "d.marin", "e.stan", "backup"]
events = []  # (time, kind, ok, user, address, host)
for i in range(4200):
    t = start + timedelta(seconds=r.uniform(0, 8 * 3600))
    net = r.choice(["10.1", "10.2"])
    events.append((t, r.choice(["cisco", "sshd", "windows"]), r.random() > 0.06, r.choice(USERS), f"{net}.{r.randrange(40)}.{r.randrange(1, 250)}", f"h{r.randrange(12):02d}"))
def burst(minute, kind, user, address, n, gap):
    for i in range(n):
        events.append((start + timedelta(minutes=minute, seconds=i * gap), kind, False, user, address, "h03"))
burst(31, "cisco", "admin", "203.0.113.7", 14, 9)      # fires: north, 10
burst(95, "sshd", "root", "203.0.113.40", 40, 2)       # fires
burst(110, "sshd", "root", "203.0.113.40", 12, 2)      # again within 30 minutes: suppressed, told in revision 2
burst(140, "windows", "j.smith", "203.0.113.200", 15, 8)  # does not fire: south wants 20
burst(170, "windows", "j.smith", "203.0.113.201", 26, 7)  # fires: south, 20
burst(230, "sshd", "svc_scan", "203.0.113.50", 30, 3)  # an exception
burst(300, "cisco", "m.popa", "203.0.113.9", 12, 40)   # too slow for 5 minutes: 8 at most
events.sort(key=lambda e: (e[0], e[1], e[4]))
out = {k: open(os.path.join(here, f), "w") for k, f in [("cisco", "cisco.log"), ("sshd", "sshd.log"), ("windows", "windows.ndjson")]}
for n, (t, kind, ok, user, address, host) in enumerate(events):
    if kind == "cisco":
        what = f"%SEC_LOGIN-5-LOGIN_SUCCESS: Login Success [user: {user}] [Source: {address}] [localport: 22]" if ok else \
            f"%SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: {user}] [Source: {address}] [localport: 22] [Reason: Login Authentication Failed]"
        line = f"<{189 if ok else 188}>{n}: {host}: *{t.strftime('%b')} {t.day:2d} {t.strftime('%H:%M:%S')}.{t.microsecond // 1000:03d}: {what}"
    elif kind == "sshd":
        word = "Accepted" if ok else "Failed"
        line = f"<38>1 {t.strftime('%Y-%m-%dT%H:%M:%S')}.{t.microsecond // 1000:03d}Z {host} sshd {4000 + n % 900} - - {word} password for {user} from {address} port {20000 + n % 40000} ssh2"
    else:
        line = json.dumps({"@timestamp": t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03d}Z", "event": {"code": "4624" if ok else "4625", "provider": "Microsoft-Windows-Security-Auditing"},
            "winlog": {"channel": "Security", "event_data": {"IpAddress": address, "TargetUserName": user, "LogonType": "3"}}, "host": {"name": host}}, separators=(",", ":"))
    out[kind].write(line + "\n")
