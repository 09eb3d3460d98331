"""The imperative shell: takes events in, has the engine decide, commits, and only then performs. It decides nothing."""

from penstock.controller.controller import Controller
from penstock.controller.holders import SystemClock, holder_of_this_process, is_provably_alive, is_provably_dead

__all__ = ["Controller", "SystemClock", "holder_of_this_process", "is_provably_alive", "is_provably_dead"]
