"""Ctrl-C and SIGTERM while runs are being driven: the first asks for a cancellation, the second for a kill (semantics
19). They are counted here and acted on by the loop, never inside a signal handler. A terminal that hangs up (SIGHUP) asks for
nothing: the run goes on, as under `nohup`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stops:
    """How often this process was asked to stop."""

    def __init__(self) -> None:
        self.count = 0

    def ask(self) -> None:
        self.count += 1


@contextmanager
def counted_stops() -> Iterator[Stops]:
    """Counts signals while the block runs; outside the main thread signals are left as they are, and none is
    counted."""
    stops = Stops()
    if threading.current_thread() is not threading.main_thread():
        yield stops
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        stops.ask()

    def on_hangup(number: int, frame: FrameType | None) -> None:
        pass  # unlike with SIG_IGN, a program that is started from here may still be hung up

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, on_hangup)
    try:
        yield stops
    finally:
        for number, reaction in before.items():
            signal.signal(number, reaction)
