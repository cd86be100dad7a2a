"""Asks over one HTTP/2 connection: each line of standard input is the paths to be asked for at a time, each line of
standard output the statuses of the answers.

    h2_get.py PORT plain|tls
"""

import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events


def main(port, how):
    sock = socket.create_connection(("127.0.0.1", int(port)), timeout=30)
    if how == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        sock = context.wrap_socket(sock, server_hostname="localhost")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    for line in sys.stdin:
        streams, statuses = [], {}
        for path in line.split():
            stream = connection.get_next_available_stream_id()
            head = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": path}
            connection.send_headers(stream, list(head.items()), end_stream=True)
            streams.append(stream)
        sock.sendall(connection.data_to_send())
        open_streams = set(streams)
        while open_streams:
            data = sock.recv(65536)
            if not data:
                raise ConnectionError("closed with %d streams open" % len(open_streams))
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    statuses[event.stream_id] = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    open_streams.discard(event.stream_id)
            sock.sendall(connection.data_to_send())
        print(*(statuses.get(stream, "0") for stream in streams), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
