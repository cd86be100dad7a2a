"""An hour of requests into the store of the collector `backtrack_route101`, then its questions while more come.

Arguments: requests per second, seconds. Prints JSON lines: {"what", "p50_ms", "p99_ms", "asked"}; for "fill" the figures are
requests per second. Rows as the agent's own measurement makes them, as far as the collector keeps them.
"""

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from backtrack.collector.store import Store

ROUTES = 50
ASKED = 100
PATIENCE = 4.0  # seconds per question
BULK = 20  # seconds of requests per envelope while the hour is written: faster than the one second that its SDK sends

rate, seconds = int(sys.argv[1]), int(sys.argv[2])


def envelopes(at, length, count, first):
    """What three services send for `count` requests of the `length` seconds from `at` on."""
    sent = {}
    for i in range(count):
        n = first + i
        service = f"s{n % ROUTES % 3}"
        envelope = sent.setdefault(
            service,
            {"service": service, "host": "h", "pid": 100, "cpu_pct": 1.0, "mem_mb": 60.0, "in_flight": 0, "events": [], "outgoing_calls": []},
        )
        ts, request_id = at + i * length / count, f"r-{n}"
        event = {
            "ts": ts,
            "method": "GET",
            "route": f"/r{n % ROUTES}",
            "path": f"/r{n % ROUTES}/{n}",
            "status": 500 if n % 100 == 0 else 200,
            "duration_ms": 1.0 + n * 2654435761 % 1000 / 10,
            "request_id": request_id,
            "correlation_id": request_id,
        }
        if n % 100 == 0:
            event.update(
                error="ValueError",
                error_type="ValueError",
                error_message="no",
                error_traceback="Traceback (most recent call last):\n" * 20,
                error_fingerprint=f"f{n % 7}",
            )
        if n % 5 == 0:
            event.update(db_query_count=1, db_total_ms=0.7, db_slow=[{"sql": "SELECT * FROM t WHERE id = ?", "ms": 0.7}])
        if n % 20 == 1:
            event.update(parent_id=f"r-{n - 1}", correlation_id=f"r-{n - 1}")
        if n % 10 == 0:
            call = {"ts": ts, "method": "GET", "host": f"h{n % 20}.example", "path": "/x", "status": 200, "duration_ms": 3.0}
            envelope["outgoing_calls"].append({**call, "source_request_id": request_id})
        envelope["events"].append(event)
    return sent.values()


def main():
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "store.db", retention_seconds=4 * 3600)
        start = time.time() - seconds
        begin = time.perf_counter()
        for second in range(0, seconds, BULK):
            for envelope in envelopes(start + second, BULK, rate * BULK, second * rate):
                store.ingest(envelope)
        filled = rate * seconds / (time.perf_counter() - begin)
        print(json.dumps({"what": "fill", "p50_ms": filled, "p99_ms": filled, "asked": 1}), flush=True)
        stop = threading.Event()
        feeder = threading.Thread(target=feed, args=(store, stop))
        feeder.start()
        try:
            for what, question in questions(store).items():
                ask(what, question)
        finally:
            stop.set()
            feeder.join()


def feed(store, stop):
    """Requests go on at the same rate."""
    fed, begin = 0, time.time()
    while not stop.wait(0.05):
        due = int((time.time() - begin) * rate)
        if due > fed:
            for envelope in envelopes(time.time() - 0.05, 0.05, due - fed, fed):
                store.ingest(envelope)
        fed = due


def questions(store):
    """By the address at which the agent answers the same."""
    return {
        "/api/services": store.services,
        "/api/overview?w=3600": lambda: store.overview(None, 3600),
        "/api/overview?w=3600&service=s0": lambda: store.overview("s0", 3600),
        "/api/overview?w=300": lambda: store.overview(None, 300),
        "/api/timeseries?w=3600&bucket=5": lambda: store.rps_buckets(None, 3600, 5),
        "/api/timeseries?w=3600&bucket=60": lambda: store.rps_buckets(None, 3600, 60),
        "/api/timeseries?w=300&bucket=5": lambda: store.rps_buckets(None, 300, 5),
        "/api/routes?w=3600": lambda: store.routes(None, 3600),
        "/api/routes?w=300": lambda: store.routes(None, 300),
        "/api/recent_errors?limit=20": lambda: store.recent_errors(None, None, 20),
        "/api/recent_errors?service=s0&limit=100": lambda: store.recent_errors("s0", None, 100),
        "/api/route/snapshot?service=s1&method=GET&route=/r1&w=3600": lambda: store.route_snapshot("s1", "GET", "/r1", 3600),
        "/api/route_chains?w=3600": lambda: store.route_chains(None, 3600),
        "/api/error_groups?w=3600": lambda: store.error_groups(None, 3600),
        "/api/outgoing?w=3600": lambda: store.outgoing_summary(None, 3600),
        "/api/route_host_calls?w=3600": lambda: store.route_host_calls(None, 3600),
        "/api/folder/snapshot?service=s0&w=3600": lambda: store.folder_snapshot("s0", "", 3600),
        "/api/discovered": lambda: store.list_discovered(None),
    }


def ask(what, question):
    """Up to ASKED times, as long as PATIENCE lasts; at least three times."""
    times, begin = [], time.perf_counter()
    while len(times) < 3 or (len(times) < ASKED and time.perf_counter() - begin < PATIENCE):
        asked = time.perf_counter()
        json.dumps(question())
        times.append((time.perf_counter() - asked) * 1e3)
        time.sleep(0.005)
    times.sort()
    at = lambda q: times[min(len(times) - 1, int(q * len(times)))]
    print(json.dumps({"what": what, "p50_ms": at(0.5), "p99_ms": at(0.99), "asked": len(times)}), flush=True)


if __name__ == "__main__":
    main()
