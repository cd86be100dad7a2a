"""What the apps share that log their own calls: phases that begin by a signal, workers, and the log.

An app gets ready, says so on its standard output, and waits for SIGUSR1; then it runs its phases, writes its log and says
"done". A worker is a thread or a task; each makes its calls one after the other.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time

WORKERS = int(os.environ.get("APM_WORKERS", "50"))
CALLS = int(os.environ.get("APM_CALLS", "6"))
TIMED = 25

# Threads started later inherit this: the signal waits for the main thread to take it.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


class Log:
    """Lines of JSON, kept in memory until the end so that writing them costs no call any time."""

    def __init__(self, path):
        self._path = path
        self._lines = []

    def add(self, **line):
        self._lines.append(line)

    def write(self):
        with open(self._path, "w") as file:
            for line in self._lines:
                file.write(json.dumps(line) + "\n")


def ready_then_wait():
    """Tells the test that the app is ready, and returns once the test wants it to go on."""
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})


def threads(work, count):
    """Runs work(n) for each n in threads of their own; the first failure is raised again."""
    failures = []

    def run(n):
        try:
            work(n)
        except BaseException as error:  # noqa: B902 - the main thread raises it
            failures.append(error)

    running = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


async def tasks(work, count):
    """Runs work(n) for each n in tasks of their own."""
    await asyncio.gather(*(work(n) for n in range(count)))


def clock_ms(since):
    """Milliseconds since a value of time.monotonic()."""
    return (time.monotonic() - since) * 1e3


def fail(text):
    """Ends the app with a message."""
    sys.exit("outgoing app: " + text)
