"""Takes what the SDKs of `peers.py` send, answers as their own servers would, and counts it.

Arguments: three ports of 127.0.0.1 (HTTP/1.1; the same through TLS, for New Relic; Scout's frames of a length and JSON),
certificate, key. `GET /counted` on the first port answers {"messages", "bytes"} since the start.
"""

import asyncio
import json
import ssl
import struct
import sys
from urllib.parse import parse_qs, urlsplit

counted = {"messages": 0, "bytes": 0}


def answer(target):
    """Status and body for a request."""
    path = urlsplit(target).path
    if path == "/counted":
        return 200, counted
    if path == "/info":  # Datadog's agent: what it takes
        return 200, {"endpoints": ["/v0.4/traces", "/v0.5/traces"]}
    if path.startswith("/v0."):
        return 200, {"rate_by_service": {}}
    if path == "/intake/v2/events":
        return 202, {}
    if path == "/agent_listener/invoke_raw_method":  # New Relic's collector
        method = parse_qs(urlsplit(target).query)["method"][0]
        return 200, {"return_value": {"preconnect": {"redirect_host": "127.0.0.1"}, "connect": CONNECTED}.get(method)}
    return 200, {}


# What New Relic's `connect` answers to an account that may send everything.
CONNECTED = {
    "agent_run_id": "1",
    "collect_traces": True,
    "collect_errors": True,
    "collect_analytics_events": True,
    "collect_span_events": True,
    # Events are sent every five seconds rather than every minute: a measurement lasts ten.
    "event_harvest_config": {
        "report_period_ms": 5000,
        "harvest_limits": {"analytic_event_data": 833, "custom_event_data": 83, "error_event_data": 8, "span_event_data": 166},
    },
    "messages": [],
    "request_headers_map": {},
}


async def http(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split(" ", 2)[1]
            headers = dict(line.lower().split(":", 1) for line in head.split("\r\n")[1:] if line)
            size = len(head)
            if "chunked" in headers.get("transfer-encoding", ""):
                while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                    size += len(await reader.readexactly(length + 2))
                await reader.readuntil(b"\r\n")
            else:
                size += len(await reader.readexactly(int(headers.get("content-length", 0))))
            status, value = answer(target)
            if target != "/counted":
                counted["messages"] += 1
                counted["bytes"] += size
            body = b"" if target.startswith("/v1/") else json.dumps(value).encode()
            kind = "application/x-protobuf" if target.startswith("/v1/") else "application/json"
            writer.write(f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def frames(reader, writer):
    said = json.dumps({"Register": "Success"}).encode()
    try:
        while True:
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            await reader.readexactly(length)
            counted["messages"] += 1
            counted["bytes"] += 4 + length
            writer.write(struct.pack(">I", len(said)) + said)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    plain, secure, framed = map(int, sys.argv[1:4])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*sys.argv[4:6])
    servers = [
        await asyncio.start_server(http, "127.0.0.1", plain),
        await asyncio.start_server(http, "127.0.0.1", secure, ssl=tls),
        await asyncio.start_server(frames, "127.0.0.1", framed),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main())
