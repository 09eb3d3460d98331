"""What is shipped for tests: of users, of those who write executors and stores, and of Penstock itself.

`run_inline` is for users' own tests: it runs a pipeline in this process. The rest is found in the modules of this package:
conformance suites, fakes, the naive evaluator and the simulator."""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; see the package's own __init__
if TYPE_CHECKING:
    from typing import Any

    from penstock.testing.inline import run_inline

__all__ = ["run_inline"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from penstock.testing import inline

    public = globals()[name] = getattr(inline, name)
    return public
