"""Stacks that change while `SimpleQueue.get` waits: `stacks.py`, which says `ready`, begins at SIGUSR1 and says how often it did.

The handler of a signal, which Python runs within `get`, switches to a greenlet that has begun higher up the stack and takes
something from a queue itself.
"""

import queue
import signal
import sys

import greenlet

TIMES = 20
outer, inner = queue.SimpleQueue(), queue.SimpleQueue()
main = greenlet.getcurrent()
done = 0


def takes():
    while True:
        main.switch()
        inner.put(1)
        inner.get()


def interrupted(*_):
    other.switch()
    outer.put(2)


def deep(depth):
    """Waits for the interruption, with some of C's stack in use: `sorted` calls back."""
    global done
    if depth > 0:
        return sorted([0], key=lambda _: deep(depth - 1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    done += outer.get() == 2


other = greenlet.greenlet(takes)
other.switch()
signal.signal(signal.SIGALRM, interrupted)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1])
for _ in range(TIMES):
    deep(20)
print(done, flush=True)
sys.exit(done != TIMES)
