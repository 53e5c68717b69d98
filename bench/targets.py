"""What the service is meant to reach, by the name of the figure; the report sets it beside what was reached."""

from __future__ import annotations

# Requests a second, as a share of what the bare Flask endpoint answers in the same run: at least.
RATIO = {
    "start": 0.28,
    "verify": 0.22,
    "refresh": 0.35,
    "exchange": 0.35,
    "introspect": 0.40,
    "forward-auth": 0.55,
    "keys": 0.95,
}
# Bytes that stay in Redis for a record, its indexes included: at most.
BYTES = {
    "a patient on file": 900,
    "a challenge with its mail, until it is sent": 900,
    "a challenge with its mail, after it was sent": 450,
    "a session (a code verified)": 450,
    "an instant link": 450,
    "an audit entry": 160,
}
# Round trips to Redis: at most.
ROUND_TRIPS = {"verify": 2}
ROUND_TRIPS_DEFAULT = 1
# Server CPU of the recorded calls of one act, in microseconds: at most.
REPLAY_US = {"start": 55, "verify": 75, "exchange": 40, "link": 40, "refresh": 30, "forward-auth": 18}
# Latency in an open loop at 70 % of the capacity: p99 as a multiple of p50, at most.
P99_TO_P50 = 4.0
# The worker: at least, and at most.
MAILS_PER_S = 500
MAIL_CPU_MS = 1.5
# Flatness: the cost of an act at the most records, as a multiple of that at the fewest, within.
FLAT = 0.25
# Overload at twice the capacity: p99 of what was accepted, as a multiple of the unloaded p99, at most.
OVERLOAD_P99 = 5.0
