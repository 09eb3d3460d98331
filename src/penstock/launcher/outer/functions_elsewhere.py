"""Which functions of the author's run in a process that an attempt has started anew (cache rule 14): the attempt's own process
hears nothing of them.

Such a process imports the sources from where they are, and does not know the closure. So it tells of every function once,
before anything is sent that may depend on it: before each message to another process, whenever a read or write is heard, and
at its end. What only the import of a module calls belongs to that module (cache rule 5) and is not told."""

from __future__ import annotations

import atexit
import functools
import sys
import threading
from types import CodeType, ModuleType
from typing import Any

from penstock.base.firstparty import is_first_party
from penstock.launcher.inner.arrivals import Arrivals
from penstock.launcher.outer.forks import ForkedReads
from penstock.launcher.outer.functions import FunctionWatch

_CONNECTIONS = ("multiprocess.connection", "multiprocessing.connection")
_ENDS = ("multiprocess.util", "multiprocessing.util")


class FunctionsElsewhere:
    """One for a process, for its whole life."""

    def __init__(self, forks: ForkedReads) -> None:
        self._forks = forks
        self._watch = FunctionWatch()
        self._told = _Told()
        self._importing = 0

    def install(self) -> None:
        """Where functions cannot be watched, no module counts as imported by another one."""
        self._watch.begin(self._told)
        machinery: Any = sys.modules["_frozen_importlib_external"]
        machinery.SourceFileLoader.exec_module = self._loading(machinery.SourceFileLoader.exec_module)
        wrapped = dict.fromkeys(_CONNECTIONS, ("Connection", "_send"))
        wrapped |= dict.fromkeys(_ENDS, ("", "_exit_function"))
        Arrivals({name: functools.partial(self._wrap, name, *what) for name, what in wrapped.items()}).install()
        atexit.register(self.tell)

    def tell(self) -> None:
        """What has run since this was called last. Inside of an import nothing is known of what called it."""
        if self._importing == threading.get_ident():
            return
        ran = {(code.co_filename, code.co_qualname, code.co_firstlineno): module for module, code in self._watch.ran()}
        if ran:
            self._told.held |= {(module, name, line) for (_, name, line), module in ran.items()}
            self._forks.tell_ran(ran)

    def _loading(self, plain: Any) -> Any:
        def exec_module(loader: Any, module: ModuleType) -> None:
            if not is_first_party(loader.path):
                plain(loader, module)
                return
            self.tell()
            outer, self._importing = self._importing, threading.get_ident()
            self._forks.tell_imported(loader.path, nested=outer == self._importing and self._watch.is_able)
            self._watch.loading(loader.name)
            code: CodeType | None = None
            try:
                code = loader.get_code(loader.name)
                exec(code, module.__dict__)
            finally:
                self._watch.loaded(loader.name, code)
                self._importing = outer
                if not outer:
                    self._imported()

        return exec_module

    def _imported(self) -> None:
        """What has run since the import began is part of it; beside other threads nobody knows."""
        if threading.active_count() > 1:
            self.tell()
        self._watch.begin(self._told)

    def _wrap(self, module: str, holder: str, name: str) -> None:
        found: Any = sys.modules[module]
        found = getattr(found, holder) if holder else found
        plain = getattr(found, name)

        @functools.wraps(plain)
        def telling(*given: Any, **named: Any) -> Any:
            self.tell()
            return plain(*given, **named)

        setattr(found, name, telling)


class _Told:
    """Holds the functions that are told; every module, so that the watch leaves them alone."""

    def __init__(self) -> None:
        self.held: set[tuple[str, str, int]] = set()

    def covers(self, module: str, qualname: str, line: int) -> bool:
        return (module, qualname, line) in self.held

    def covers_module(self, module: str) -> bool:
        return True
