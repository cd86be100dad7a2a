"""What every app under test answers: the path says it all, so that no app needs state.

    /r/<status>/<size>/<delay in ms>/<how>/<id>

`how` is `whole` (one piece with a Content-Length) or `pieces` (streamed, chunked where the protocol allows).
"""

from collections import namedtuple

Answer = namedtuple("Answer", "status size delay pieces")

PIECE = 16 * 1024
NO_BODY = (204, 304)


def parse(path):
    """The answer that `path` asks for; a 404 for any other path."""
    parts = path.split("/")
    if len(parts) != 7 or parts[1] != "r":
        return Answer(404, 9, 0.0, False)
    return Answer(int(parts[2]), int(parts[3]), int(parts[4]) / 1000, parts[5] == "pieces")


def body(answer, method):
    """The body's pieces, as a list of bytes."""
    if method == "HEAD" or answer.status in NO_BODY:
        return []
    if not answer.pieces:
        return [b"x" * answer.size]
    whole, rest = divmod(answer.size, PIECE)
    return [b"x" * PIECE] * whole + ([b"x" * rest] if rest else [])


def headers(answer, method):
    """Content-Type, and Content-Length where the answer has one."""
    fields = [("Content-Type", "application/octet-stream")]
    if answer.status not in NO_BODY and not answer.pieces:
        fields.append(("Content-Length", str(answer.size)))
    return fields
