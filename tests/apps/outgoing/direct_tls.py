"""Ends TLS in front of a PostgreSQL server that cannot take it directly: the handshake comes first, without an SSLRequest, and its
ALPN must be `postgresql` (PostgreSQL 17, `sslnegotiation=direct`).

    direct_tls.py PORT SERVER_PORT CERTIFICATE KEY
"""

import asyncio
import ssl
import sys

ALPN = "postgresql"


async def relay(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(port, server_port, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([ALPN])

    async def taken(reader, writer):
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
            writer.close()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", int(server_port))
        await asyncio.gather(relay(reader, to_server), relay(from_server, writer))

    server = await asyncio.start_server(taken, "127.0.0.1", int(port), ssl=context, backlog=200)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
