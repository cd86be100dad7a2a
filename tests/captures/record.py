"""Records what a client and a server say to each other, as a capture file.

    python record.py OUT LISTEN_PORT SERVER_PORT -- COMMAND...

starts a TCP proxy on 127.0.0.1:LISTEN_PORT in front of 127.0.0.1:SERVER_PORT, runs COMMAND and writes one file per
connection: OUT.capture (OUT-2.capture, ... where there are several). A line of a capture is one chunk as it passed:
`>` from the client or `<` from the server, a blank, and the bytes with everything but printable ASCII as `\\xNN`,
a backslash as `\\\\` and a run of 16 or more equal bytes as `\\{COUNT}` before the one byte. `#` starts a comment.
"""

import pathlib
import re
import selectors
import socket
import subprocess
import sys


def escape(data: bytes) -> str:
    def unit(byte: int) -> str:
        return "\\\\" if byte == 0x5C else chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"

    runs = re.finditer(rb"(?s)(.)\1*", data)
    return "".join(
        f"\\{{{len(run[0])}}}{unit(run[1][0])}" if len(run[0]) >= 16 else unit(run[1][0]) * len(run[0]) for run in runs
    )


def main() -> int:
    split = sys.argv.index("--")
    out, listen_port, server_port = sys.argv[1:split]
    chunks: list[list[tuple[str, bytes]]] = []
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", int(listen_port)))
    selector.register(listener, selectors.EVENT_READ, None)
    command = subprocess.Popen(sys.argv[split + 1 :])
    while command.poll() is None or len(selector.get_map()) > 1:
        for key, _ in selector.select(timeout=0.1):
            if key.data is None:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", int(server_port)))
                chunks.append([])
                selector.register(client, selectors.EVENT_READ, (">", server, chunks[-1]))
                selector.register(server, selectors.EVENT_READ, ("<", client, chunks[-1]))
                continue
            mark, other, log = key.data
            try:
                data = key.fileobj.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if data:
                log.append((mark, data))
                other.sendall(data)
                continue
            for end in (key.fileobj, other):
                selector.unregister(end)
                end.close()
    for number, log in enumerate(chunks, 1):
        path = pathlib.Path(f"{out}.capture" if number == 1 else f"{out}-{number}.capture")
        path.write_text("".join(f"{mark} {escape(data)}\n" for mark, data in log))
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
