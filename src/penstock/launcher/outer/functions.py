"""Which first-party code ran outside the closure of an attempt's component (cache rule 14).

On Python 3.12 and later `sys.monitoring` tells of the first call of each function of a pinned module; a function that has
told is silent until an attempt begins whose closure does not hold it. So a process that runs the same component again and
again hears nothing, and pays nothing. On 3.11 counters in code objects say it (`warmups`), and it is told which modules a
call has imported; those that an earlier call of another component has imported are forgotten first.

One for a process, since modules are."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from penstock.launcher.outer import warmups
from penstock.launcher.outer.covered import Holds

NAMES_MAX = 50
_monitoring: Any = getattr(sys, "monitoring", None)
_HOLDING = ("__func__", "fget", "function", "__wrapped__")
_TOOL_IDS = (4, 3)  # the two that nobody is assigned


class FunctionWatch:
    """Is told of modules as they are loaded (`pins.LoadWatch`), and of attempts as they begin and end."""

    def __init__(self) -> None:
        self._tool = _taken_tool()
        self._function_by_id: dict[int, tuple[str, CodeType]] = {}
        self._ran: list[int] = []
        self._silent: dict[int, None] = {}
        self._covered: Holds | None = None
        self._is_stale = True
        self._in_call = False
        self._depth = 0
        self._imported: dict[str, None] = {}
        self._imported_by_calls: dict[str, None] = {}
        self._counted = _Counted() if self._tool is None and warmups.can_count() else None
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
        if code is None:
            return
        if self._counted is not None:
            self._counted.add(module, code)
        if self._tool is None:
            return
        for function in _functions_in(code):
            self._function_by_id[id(function)] = (module, function)
            _monitoring.set_local_events(self._tool, function, _monitoring.events.PY_START)

    # -- attempts --------------------------------------------------------------------------------------------------------

    def begin(self, covered: Holds | None) -> None:
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
        if self._counted is not None and covered is not None:
            self._counted.begin(covered)
        self._covered = covered
        if self._imported:
            self._imported = {}
        self._in_call = True

    @property
    def is_able(self) -> bool:
        """Whether this interpreter can be asked for single functions."""
        return self._tool is not None or self._counted is not None

    def end(self) -> tuple[str, ...]:
        """User code has ended: what ran outside, as `module:qualname`, and on 3.11 as names of modules."""
        self._in_call = False
        covered = self._covered
        if covered is None:
            return ()
        found = {f"{module}:{code.co_qualname}" for module, code in self.ran()}
        if self._tool is None:
            found.update(module for module in self._imported if not covered.covers_module(module))
        return tuple(sorted(found))[:NAMES_MAX]

    def ran(self) -> list[tuple[str, CodeType]]:
        """The functions that have run outside since `begin`, or since this was asked last: their modules and code."""
        covered = self._covered
        if covered is None:
            return []
        found = self._counted.ran() if self._counted is not None else []
        for each in self._silence() if self._ran else ():
            if not self._covers(covered, each):
                found.append(self._function_by_id[each])
        return found

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _started(self, code: CodeType, offset: int) -> Any:
        self._ran.append(id(code))
        return _monitoring.DISABLE

    def _silence(self) -> list[int]:
        """What has run is not heard again; which functions it is."""
        ran, self._ran = self._ran, []
        self._silent.update(dict.fromkeys(ran))
        self._is_stale = True
        return ran

    def _covers(self, covered: Holds, each: int) -> bool:
        module, function = self._function_by_id[each]
        return covered.covers(module, function.co_qualname, function.co_firstlineno)

    def _forget_modules(self, covered: Holds) -> None:
        """Let a module that an earlier call has imported be imported again, if this closure does not hold it: so that it
        is noticed."""
        for name in [name for name in self._imported_by_calls if not covered.covers_module(name)]:
            del self._imported_by_calls[name]
            module = sys.modules.pop(name, None)
            package, _, short = name.rpartition(".")
            if package in sys.modules and getattr(sys.modules[package], short, None) is module:
                delattr(sys.modules[package], short)


class _Counted:
    """The same, by counters: of functions that the closure does not hold, those whose counter has gone on. Those whose
    counter has ended, since they belong to what ran here before, are given another first."""

    def __init__(self) -> None:
        self._outer: list[tuple[str, CodeType]] = []
        self._covered: Holds | None = None
        self._watched: list[tuple[str, CodeType, Any]] = []
        self._before: list[int] = []
        self._added: list[tuple[str, CodeType, Any]] = []
        self._added_before: list[int] = []

    def add(self, module: str, code: CodeType) -> None:
        """The code of a module, which has just run."""
        outer = [(module, each) for each in _outer_functions_in(code)]
        self._outer += outer
        added = _counters_of(outer)
        self._added += added
        self._added_before += [counter.value for _, _, counter in added]

    def begin(self, covered: Holds) -> None:
        if covered is not self._covered or self._added:
            self._covered = covered
            self._watched = [each for each in _counters_of(self._outer) if not _holds(covered, each[0], each[1])]
            self._renew({id(code) for _, code, counter in self._watched if warmups.is_warm(counter)}, covered)
        self._added, self._added_before = [], []
        self._before = [counter.value for _, _, counter in self._watched]

    def ran(self) -> list[tuple[str, CodeType]]:
        """Those that have run since `begin`, or since this was asked last."""
        watched, before = [*self._watched, *self._added], [*self._before, *self._added_before]
        now = [counter.value for _, _, counter in watched]
        covered = self._covered
        if now == before or covered is None:
            return []
        self._before, self._added_before = now[: len(self._before)], now[len(self._before) :]
        pairs = zip(watched, before, now, strict=True)
        ran = [(module, code) for (module, code, _), was, is_ in pairs if was != is_]
        return [(module, code) for module, code in ran if not _holds(covered, module, code)]

    def _renew(self, warm: set[int], covered: Holds) -> None:
        stale = [each for each in self._outer if any(id(code) in warm for code in (each[1], *_functions_in(each[1])))]
        if not stale:
            return
        module_by_id = {id(code): module for module, code in stale}
        pairs = warmups.renewed([code for _, code in stale], lambda code: _named(module_by_id[id(code)], code))
        new_by_id = {id(old): new for old, new in pairs}
        self._outer = [(module, new_by_id.get(id(code), code)) for module, code in self._outer]
        self._watched = [each for each in _counters_of(self._outer) if not _holds(covered, each[0], each[1])]


def _counters_of(outer: list[tuple[str, CodeType]]) -> list[tuple[str, CodeType, Any]]:
    return [(module, code, warmups.watch(code)) for module, each in outer for code in (each, *_functions_in(each))]


def _holds(covered: Holds, module: str, code: CodeType) -> bool:
    return covered.covers(module, code.co_qualname, code.co_firstlineno)


def _named(module: str, code: CodeType) -> FunctionType | None:
    """The function that is found under the name that code has."""
    found: Any = sys.modules.get(module)
    for part in code.co_qualname.split("."):
        found = inspect.getattr_static(found, part, None)
    for _ in range(3):
        inner = next((i for name in _HOLDING if (i := getattr(found, name, None)) is not None), None)
        found = inner if not isinstance(found, FunctionType) and inner is not None else found
    return found if isinstance(found, FunctionType) else None


def _outer_functions_in(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes, without those inside of them."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & inspect.CO_OPTIMIZED:
                yield constant
            else:
                yield from _outer_functions_in(constant)


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
