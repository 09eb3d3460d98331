"""Doing something as soon as a named module has been imported, whoever imports it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Arrivals:
    """A finder that finds nothing itself: for the modules in `callbacks` it has the others find them, and calls back
    once they are loaded. A module that is loaded already is called back at once by `install`."""

    def __init__(self, callbacks: dict[str, Callable[[], None]]) -> None:
        self._callbacks = callbacks
        self._looking: set[str] = set()

    def install(self) -> None:
        for name in [name for name in self._callbacks if name in sys.modules]:
            self._callbacks.pop(name)()
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._callbacks or name in self._looking:
            return None
        self._looking.add(name)  # the others may ask us in turn
        try:
            found = (
                find(name, path, target) for finder in sys.meta_path if (find := getattr(finder, "find_spec", None))
            )
            spec: ModuleSpec | None = next((spec for spec in found if spec is not None), None)
        finally:
            self._looking.discard(name)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            # Called only when it is loaded: code may look a module up without importing it.
            spec.loader = _CallingBack(spec.loader, lambda: self._arrived(name))  # type: ignore[assignment]
        return spec

    def _arrived(self, name: str) -> None:
        callback = self._callbacks.pop(name, None)
        if callback is not None:
            callback()


class _CallingBack:
    """Stands in for a module's loader until the module is loaded."""

    def __init__(self, loader: Any, callback: Callable[[], None]) -> None:
        self._loader = loader
        self._callback = callback

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        spec.loader = self._loader
        module: ModuleType | None = self._loader.create_module(spec)
        spec.loader = self  # type: ignore[assignment]
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._callback()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
