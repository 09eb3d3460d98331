"""What user code may raise to answer for its attempt (semantics 16)."""

from __future__ import annotations

from penstock.base.instants import duration_ms


class Skip(Exception):
    """There is nothing to do: the task run ends skipped, and what needs its outputs is skipped too."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = str(why)


class Fail(Exception):
    """Trying again would not help: the task run fails at once, whatever its retries."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = str(why)


class NotYet(Exception):
    """What the task waits for is not there: try again after a while. Costs no attempt. `after` is seconds, or text
    such as "5m". Raises ValueError for anything else."""

    def __init__(self, after: float | str, why: str = "") -> None:
        super().__init__(after, why)
        self.after_ms = duration_ms(after)
        self.why = str(why)
