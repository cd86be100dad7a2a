"""An HTTP server of asyncio streams alone: argument 1 is the port, argument 2 the loop."""

import asyncio
import sys

import calls


# CPython 3.8 keeps no reference to the task that serves a connection, and may collect it while it waits.
serving = set()


async def serve(reader, writer):
    serving.add(asyncio.current_task())
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            kind, rid = calls.parse(head.split(b" ", 2)[1].decode())
            await asyncio.ensure_future(calls.handle(kind, rid))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
    finally:
        serving.discard(asyncio.current_task())


async def main():
    await calls.startup()
    await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=256)
    await asyncio.Event().wait()


if sys.argv[2] == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main())
