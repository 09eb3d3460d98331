"""Whether an attempt has changed what stands in the modules of its closure (cache rule 15): such a process is not used
again, since the next attempt would begin with what this one left behind.

Compared by identity: what every global name stands for. By content: lists, dicts and sets of plain data, up to a size;
attributes of objects; defaults, attributes and captured variables of functions; attributes of classes; the state of random
generators. What `functools` caches is emptied instead."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

ITEMS_MAX = 100_000
"""Containers with more items, all levels together, are compared by their length."""

DEPTH_MAX = 6
OBJECTS_MAX = 5_000
_CONTAINERS = (list, dict, set, bytearray, deque)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), ModuleType, BuiltinFunctionType)
_COUNTERS = ("itertools", "count")


@dataclass(slots=True)
class _Module:
    """How a module stood. `bindings` are namespaces with what gets some names of them and what those stood for; `live` are
    containers and `held` what they held; `asked` is what is asked of objects and what it was, `caches` what is emptied."""

    names: frozenset[str]
    size: int
    bindings: list[tuple[Mapping[str, Any], Callable[[Any], Any], Any]] = field(default_factory=list)
    live: list[Any] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)
    asked: list[tuple[Callable[[], Any], Any]] = field(default_factory=list)
    caches: list[Any] = field(default_factory=list)


class StandingValues:
    """Is told of modules as they are loaded (`pins.LoadWatch`). What a module's import changes elsewhere is no change."""

    def __init__(self) -> None:
        self._modules: dict[str, _Module] = {}
        self._waiting: dict[str, None] = {}
        self._depth = 0
        self._in_call = False
        self._has_changed = False

    def loading(self, module: str) -> None:
        if self._depth == 0 and self._in_call and not self._has_changed:
            self._has_changed = any(_differs(name, stood) for name, stood in self._modules.items())
        self._depth += 1

    def loaded(self, module: str, code: Any) -> None:
        self._depth -= 1
        self._waiting[module] = None
        if self._depth == 0 and self._in_call:
            self._look()

    def begin(self) -> None:
        """User code is called from here on."""
        if self._waiting or self._has_changed:
            self._look()
        self._has_changed = False
        self._in_call = True

    def end(self, modules: Collection[str] | None) -> bool:
        """Whether what stands in these modules (None: in all) was changed."""
        self._in_call = False
        for name in self._modules if modules is None else modules:
            stood = self._modules.get(name)
            if stood is not None:
                self._has_changed = self._has_changed or _differs(name, stood)
                for cache in stood.caches:
                    if cache.cache_info().currsize:
                        cache.cache_clear()
        return self._has_changed

    def _look(self) -> None:
        """Note how all modules stand now: an import may have added to the registries of others."""
        ours = frozenset((*self._modules, *self._waiting))
        for name in (*self._modules, *self._waiting):
            module = sys.modules.get(name)
            if isinstance(module, ModuleType):
                self._modules[name] = _Look(name, ours).at(vars(module))
        self._waiting.clear()


def _differs(name: str, stood: _Module) -> bool:
    module = sys.modules.get(name)
    if module is None:
        return False
    now = vars(module)
    try:
        if len(now) != stood.size and _has_more(now, stood):
            return True
        if any(names_of(namespace) != stood_for for namespace, names_of, stood_for in stood.bindings):
            return True
        return stood.live != stood.held or any(ask() != was for ask, was in stood.asked)
    except Exception:  # noqa: BLE001 - a name that is gone, or objects of the user's that cannot be compared any more
        return True


_GONE = object()


def _has_more(now: Mapping[str, Any], stood: _Module) -> bool:
    added = [key for key in now if key not in stood.names and not _is_dunder(key)]
    if any(not isinstance(now[key], ModuleType) for key in added):
        return True
    stood.size = len(now)
    return False


class _Look:
    """Looks at one module: at every object once."""

    def __init__(self, module: str, ours: Collection[str]) -> None:
        self._module = module
        self._ours = ours
        self._seen: dict[int, Any] = {}
        self._items_left = ITEMS_MAX
        self._found = _Module(frozenset(), 0)

    def at(self, names: Mapping[str, Any]) -> _Module:
        own = {key: value for key, value in names.items() if not _is_dunder(key)}
        self._found.names = frozenset(own)
        self._found.size = len(names)
        self._bind(names, own)
        for value in own.values():
            self._see(value, 0)
        return self._found

    def _bind(self, namespace: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        if own:
            first = next(iter(own))
            names_of = itemgetter(first, *own)  # two names at least: one alone would not come as a tuple
            self._found.bindings.append((namespace, names_of, names_of(namespace)))

    def _see(self, value: Any, depth: int) -> None:
        if isinstance(value, _PLAIN) or depth > DEPTH_MAX or id(value) in self._seen or len(self._seen) > OBJECTS_MAX:
            return
        self._seen[id(value)] = value
        if type(value) in _CONTAINERS or isinstance(value, (list, dict, set)):
            self._see_container(value, depth)
        elif isinstance(value, (tuple, frozenset)):
            for item in value:
                self._see(item, depth + 1)
        elif isinstance(value, FunctionType):
            self._see_function(value, depth)
        elif isinstance(value, MethodType):
            self._see(value.__self__, depth + 1)
        elif isinstance(value, type):
            if value.__module__ == self._module:
                self._see_class(value, depth)
        elif hasattr(value, "cache_info") and hasattr(value, "cache_clear"):
            self._found.caches.append(value)
            self._see(getattr(value, "__wrapped__", None), depth + 1)
        else:
            self._see_object(value, depth)

    def _see_container(self, value: Any, depth: int) -> None:
        self._items_left -= len(value)
        if self._items_left < 0:
            self._found.asked.append((value.__len__, len(value)))
            return
        self._found.live.append(value)
        self._found.held.append(dict(value) if isinstance(value, dict) else value.copy())
        if not isinstance(value, bytearray):
            for item in list(value.values()) if isinstance(value, dict) else list(value):
                self._see(item, depth + 1)

    def _see_function(self, function: FunctionType, depth: int) -> None:
        if function.__module__ != self._module:
            return
        self._found.live.append(function.__dict__)
        self._found.held.append(dict(function.__dict__))
        for held in (
            *function.__dict__.values(),
            *(function.__defaults__ or ()),
            *(function.__kwdefaults__ or {}).values(),
        ):
            self._see(held, depth + 1)
        for cell in function.__closure__ or ():
            self._found.asked.append((_content_of(cell), _content_of(cell)()))
            self._see(_content_of(cell)()[0], depth + 1)

    def _see_class(self, cls: type, depth: int) -> None:
        attributes = {
            key: held for key, held in vars(cls).items() if not _is_dunder(key) and not key.startswith("_abc")
        }
        self._bind(vars(cls), attributes)
        for held in attributes.values():
            inner = held.__func__ if isinstance(held, (staticmethod, classmethod)) else held
            self._see(inner, depth + 1)

    def _see_object(self, value: Any, depth: int) -> None:
        state = _state_of(value)
        if state is not None:
            self._found.asked.append((state, state()))
            return
        if type(value).__module__ not in self._ours and not type(value).__module__.startswith("sklearn."):
            return  # what others keep in their objects is theirs: caches, locks, connections
        held = getattr(value, "__dict__", None)
        if type(held) is dict:
            self._see_container(held, depth)
        for name in _slots_of(type(value)):
            item = getattr(value, name, _GONE)
            self._found.asked.append((_slot(value, name), (item,)))
            self._see(item, depth + 1)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _content_of(cell: CellType) -> Callable[[], Any]:
    def content() -> Any:
        try:
            return (cell.cell_contents,)
        except ValueError:  # empty
            return (None,)

    return content


def _slot(value: Any, name: str) -> Callable[[], Any]:
    return lambda: (getattr(value, name, _GONE),)


def _slots_of(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if not name.startswith("__"):
                yield name


def _state_of(value: Any) -> Callable[[], Any] | None:
    """What tells whether a generator of numbers has gone on; None for anything else."""
    cls = type(value)
    if isinstance(value, random.Random):
        return value.getstate
    if (cls.__module__, cls.__name__) == _COUNTERS:
        return lambda: repr(value)
    top = cls.__module__.partition(".")[0]
    if top == "numpy":
        if cls.__name__ == "Generator":
            return lambda: repr(value.bit_generator.state)
        if cls.__name__ == "RandomState":
            return lambda: repr(value.get_state())
        if cls.__name__ == "ndarray":
            return (
                (lambda: value.tobytes())
                if value.nbytes <= ITEMS_MAX and not value.dtype.hasobject
                else (lambda: value.shape)
            )
    if top == "torch" and cls.__name__ == "Generator":
        return lambda: value.get_state().tolist()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "nn") and isinstance(value, torch.nn.Module):
        # Tensors count the changes made in place.
        return lambda: [(id(tensor), tensor._version) for tensor in (*value.parameters(), *value.buffers())]
    return None
