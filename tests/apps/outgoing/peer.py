"""An HTTP/1.1 server that answers as the path says, with and without TLS, and a proxy that knows CONNECT.

    peer.py PLAIN_PORT TLS_PORT PROXY_PORT CERTIFICATE KEY

/KIND/... with KIND: ok, post, chunked, big (1 MB back), upload, none (204), s404, s503, slow (answers after 30 ms), reset
(the connection is reset instead of an answer), close (closed instead of an answer), part (closed within the body),
hang (no answer until the client leaves). Served and proxied requests are not logged: the client's log is the truth.
"""

import asyncio
import socket
import ssl
import struct
import sys

BIG = b"x" * 1_000_000


def response(kind, method):
    status = {"none": 204, "s404": 404, "s503": 503}.get(kind, 200)
    head = "HTTP/1.1 %d Reason\r\nServer: peer\r\n" % status
    if status == 204:
        return head.encode() + b"\r\n"
    if kind == "chunked":
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"one", b"two" * 50, b"three" * 900))
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + (b"" if method == "HEAD" else chunks + b"0\r\n\r\n")
    body = BIG if kind == "big" else b'{"ok": true}'
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + (b"" if method == "HEAD" else body)


async def body(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        while True:
            size = int(await reader.readline(), 16)
            await reader.readexactly(size + 2)
            if size == 0:
                return
    left = int(headers.get("content-length", 0))
    while left:
        left -= len(await reader.read(min(left, 65536)))


async def answer(reader, writer, method, path, headers):
    await body(reader, headers)
    kind = path.split("/")[1]
    if kind == "slow":
        await asyncio.sleep(0.03)
    if kind == "hang":
        await reader.read()
        return False
    if kind == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    if kind == "close":
        return False
    whole = response(kind, method)
    if kind == "part":
        writer.write(whole[:-5])
        return False
    writer.write(whole)
    await writer.drain()
    return headers.get("connection", "").lower() != "close"


async def tunnel(reader, writer, authority):
    host, port = authority.rsplit(":", 1)
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pump(source, sink):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
        sink.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            method, target, _version = line.decode().split()
            headers = {}
            while (field := await reader.readline()) not in (b"\r\n", b""):
                name, value = field.decode().split(":", 1)
                headers[name.lower()] = value.strip()
            if method == "CONNECT":
                print("CONNECT", target, flush=True)
                await tunnel(reader, writer, target)
                return
            # A proxy gets the whole URL; it answers for the server itself.
            path = "/" + target.split("/", 3)[3] if "://" in target else target
            if not await answer(reader, writer, method, path, headers):
                return
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main(plain, tls, proxy, certificate, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await asyncio.start_server(serve, "127.0.0.1", plain, backlog=256)
    await asyncio.start_server(serve, "127.0.0.1", proxy, backlog=256)
    secure = await asyncio.start_server(serve, "127.0.0.1", tls, ssl=context, backlog=256)
    print("listening", flush=True)
    await secure.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4]), *sys.argv[4:6]))
