"""Which first-party code ran outside the closure of an attempt's component (cache rule 14).

On Python 3.12 and later `sys.monitoring` tells of the first call of each function of a pinned module; a function that has
told is silent until an attempt begins whose closure does not hold it. So a process that runs the same component again and
again hears nothing, and pays nothing. On 3.11 it is told which modules a call has imported; those that an earlier call of
another component has imported are forgotten first.

One for a process, since modules are."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

from penstock.launcher.outer.covered import Covered

NAMES_MAX = 50
_monitoring: Any = getattr(sys, "monitoring", None)
_TOOL_IDS = (4, 3)  # the two that nobody is assigned


class FunctionWatch:
    """Is told of modules as they are loaded (`pins.LoadWatch`), and of attempts as they begin and end."""

    def __init__(self) -> None:
        self._tool = _taken_tool()
        self._function_by_id: dict[int, tuple[str, CodeType]] = {}
        self._ran: list[int] = []
        self._silent: dict[int, None] = {}
        self._covered: Covered | None = None
        self._is_stale = True
        self._in_call = False
        self._depth = 0
        self._imported: dict[str, None] = {}
        self._imported_by_calls: dict[str, None] = {}
        if self._tool is not None:
            _monitoring.register_callback(self._tool, _monitoring.events.PY_START, self._started)

    # -- modules ---------------------------------------------------------------------------------------------------------

    def loading(self, module: str) -> None:
        self._depth += 1

    def loaded(self, module: str, code: CodeType | None) -> None:
        self._depth -= 1
        if self._in_call:
            self._imported_by_calls[module] = None
            if self._depth == 0:
                self._imported[module] = None
        if self._tool is None or code is None:
            return
        for function in _functions_in(code):
            self._function_by_id[id(function)] = (module, function)
            _monitoring.set_local_events(self._tool, function, _monitoring.events.PY_START)

    # -- attempts --------------------------------------------------------------------------------------------------------

    def begin(self, covered: Covered | None) -> None:
        """User code is called from here on; `covered` None: what it runs is not asked."""
        if self._ran:
            self._silence()
        if covered is not None and (self._is_stale or covered is not self._covered):
            for each in [i for i in self._silent if not self._covers(covered, i)]:
                del self._silent[each]
                function = self._function_by_id[each][1]
                _monitoring.set_local_events(self._tool, function, 0)
                _monitoring.set_local_events(self._tool, function, _monitoring.events.PY_START)
            self._is_stale = False
        if self._tool is None and self._imported_by_calls and covered is not None:
            self._forget_modules(covered)
        self._covered = covered
        if self._imported:
            self._imported = {}
        self._in_call = True

    def end(self) -> tuple[str, ...]:
        """User code has ended: what ran outside, as `module:qualname`, and on 3.11 as names of modules."""
        self._in_call = False
        covered = self._covered
        if covered is None or not (self._ran or self._imported):
            return ()
        found: dict[str, None] = {}
        for each in list(self._ran):
            module, function = self._function_by_id[each]
            if not self._covers(covered, each):
                found[f"{module}:{function.co_qualname}"] = None
        if self._tool is None:
            found.update({module: None for module in self._imported if not covered.covers_module(module)})
        if self._ran:
            self._silence()
        return tuple(sorted(found))[:NAMES_MAX]

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _started(self, code: CodeType, offset: int) -> Any:
        self._ran.append(id(code))
        return _monitoring.DISABLE

    def _silence(self) -> None:
        ran, self._ran = self._ran, []
        self._silent.update(dict.fromkeys(ran))
        self._is_stale = True

    def _covers(self, covered: Covered, each: int) -> bool:
        module, function = self._function_by_id[each]
        return covered.covers(module, function.co_qualname, function.co_firstlineno)

    def _forget_modules(self, covered: Covered) -> None:
        """Let a module that an earlier call has imported be imported again, if this closure does not hold it: so that it
        is noticed."""
        for name in [name for name in self._imported_by_calls if not covered.covers_module(name)]:
            del self._imported_by_calls[name]
            module = sys.modules.pop(name, None)
            package, _, short = name.rpartition(".")
            if package in sys.modules and getattr(sys.modules[package], short, None) is module:
                delattr(sys.modules[package], short)


def _functions_in(code: CodeType) -> Iterator[CodeType]:
    """The functions at any depth in a module's code: what is run by a call, not bodies of classes."""
    pending = [code]
    while pending:
        for constant in pending.pop().co_consts:
            if isinstance(constant, CodeType):
                pending.append(constant)
                if constant.co_flags & inspect.CO_OPTIMIZED:
                    yield constant


def _taken_tool() -> int | None:
    """The number under which this process monitors; None where it cannot (before 3.12, or both are in use)."""
    for tool in _TOOL_IDS if _monitoring is not None else ():
        if _monitoring.get_tool(tool) in (None, "penstock"):
            if _monitoring.get_tool(tool) is None:
                _monitoring.use_tool_id(tool, "penstock")
            return int(tool)
    return None
