"""What a binding is right after import (cache rule 6): plain data counts by its value, functions and classes in it are
followed, anything else is opaque and its text counts as well."""

from __future__ import annotations

import enum
import functools
import hashlib
import os
import re
from collections import ChainMap, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType, SimpleNamespace
from typing import Any

VALUES_MAX = 200_000
ARRAY_BYTES_MAX = 16 << 20
DEPTH_MAX = 100

_PLAIN = (bool, int, float, complex, bytes, bytearray, range, type(None), type(Ellipsis), type(NotImplemented))
# Types of the standard library whose instances are what their `repr` says.
_SPOKEN = frozenset({"datetime", "decimal", "fractions", "uuid", "ipaddress", "zoneinfo"})
# Set in `__flags__` of classes that a class statement made.
_MADE_BY_CLASS = 1 << 9
# Set for classes of the standard library that are written in C.
_IMMUTABLE = 1 << 8
_POINTER_BYTES = 8
_EXTENDED = (list, tuple, dict, set, frozenset, str, int, float, bytes)
_OURS = "penstock."
# A notebook's module is named by its content, which is not what counts of it.
_NOTEBOOK = re.compile(r"\bnotebook_[0-9a-f]{12}\b")


def without_digest(name: str) -> str:
    """A name in which a notebook's module has the same name whatever stands in it."""
    return _NOTEBOOK.sub("notebook", name)


@dataclass(frozen=True, slots=True)
class Live:
    """`digest` is over all that could be read of a value; `is_opaque`: something in it could not be. `refs` are chains
    (see `references`), or `@module:line` for what has no name of its own."""

    digest: str
    is_opaque: bool
    refs: tuple[str, ...]


def live_value(value: Any, *, locate: Callable[[Any], str | None], project: str) -> Live:
    """`locate` answers the chain of a first-party function or class; None for any other."""
    walk = _Walk(locate, project)
    text = without_digest(walk.text(value))
    return Live(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), walk.is_opaque, tuple(walk.refs))


def counts_by_value(value: Any) -> bool:
    """Whether a binding with this value may count by it. What is itself a function, class or module counts by its
    text."""
    if isinstance(value, (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)):
        return False
    return type(value).__module__.partition(".")[0] != "penstock"


class _Walk:
    def __init__(self, locate: Callable[[Any], str | None], project: str) -> None:
        self.refs: dict[str, None] = {}
        self.is_opaque = False
        self._locate = locate
        self._project = project
        self._left = VALUES_MAX
        self._open: set[int] = set()

    def text(self, value: Any) -> str:
        """A text that is the same for equal values, and for no others."""
        cls = type(value)
        if cls is str:
            return repr(self._relative(value))
        if cls in _PLAIN:
            return f"{cls.__name__}:{value!r}"
        if id(value) in self._open:
            return "again"
        self._left -= 1
        if self._left < 0 or len(self._open) > DEPTH_MAX:
            return self._opaque("large")
        self._open.add(id(value))
        try:
            return self._inside(value, cls)
        except Exception as error:  # noqa: BLE001 - attributes of the author's own objects may raise anything
            return self._opaque(type(error).__name__)
        finally:
            self._open.discard(id(value))

    def _inside(self, value: Any, cls: type) -> str:
        if isinstance(value, ModuleType):
            return self._refer(f"={value.__name__}")
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, enum.Enum):
            return f"{self._class(cls)}.{value.name}"
        if isinstance(value, PurePath):
            return f"path:{self._relative(str(value))!r}"
        if cls.__module__.partition(".")[0] == "numpy":
            return self._array(value, cls)
        if isinstance(value, re.Pattern):
            return f"pattern:{value.pattern!r}:{value.flags}"
        container = self._container(value, cls)
        if container is not None:
            return container
        called = self._callable(value)
        if called is not None:
            return called
        if cls.__module__ in _SPOKEN:
            return f"{cls.__module__}.{cls.__qualname__}:{value!r}"
        if self._locate(cls) is None or _hides_state(cls, object):
            return self._opaque(self._class(cls))
        return self._instance(value, cls)

    def _container(self, value: Any, cls: type) -> str | None:
        if cls in (list, tuple, deque):
            return f"{cls.__name__}[{self._listed(value)}]"
        if cls in (dict, OrderedDict, MappingProxyType):
            return f"{cls.__name__}{{{self._pairs(value)}}}"
        if cls in (set, frozenset):
            return f"{cls.__name__}{{{','.join(sorted(self.text(item) for item in value))}}}"
        if cls is defaultdict:
            return f"defaultdict({self.text(value.default_factory)}){{{self._pairs(value)}}}"
        if cls is ChainMap:
            return f"ChainMap[{self._listed(value.maps)}]"
        if cls is SimpleNamespace:
            return f"SimpleNamespace{{{self._pairs(vars(value))}}}"
        if isinstance(value, _EXTENDED):
            return self._derived(value, cls)
        return None

    def _derived(self, value: Any, cls: type) -> str:
        """Named tuples, counters, and other classes that extend a plain one."""
        plain: Any = next(base for base in _EXTENDED if issubclass(cls, base))
        if plain is dict:
            text = self._pairs(dict.items(value))
        elif plain in (str, int, float, bytes):
            text = repr(plain.__str__(value) if plain is str else plain(value))
        elif plain in (set, frozenset):
            text = ",".join(sorted(map(self.text, plain.__iter__(value))))
        else:
            text = self._listed(plain.__iter__(value))
        self.is_opaque |= _hides_state(cls, plain)
        own = self._pairs(vars(value)) if hasattr(value, "__dict__") else ""
        return f"{self._class(cls)}({text}){{{own}}}"

    def _callable(self, value: Any) -> str | None:
        if isinstance(value, functools.partial):
            return f"partial({self.text(value.func)},{self.text(value.args)},{self.text(value.keywords)})"
        if isinstance(value, MethodType):
            return f"method({self.text(value.__func__)},{self.text(value.__self__)})"
        if isinstance(value, (staticmethod, classmethod)):
            return f"{type(value).__name__}({self.text(value.__func__)})"
        if isinstance(value, property):
            return f"property({self._listed((value.fget, value.fset, value.fdel))})"
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, BuiltinFunctionType):
            return self._refer(f"={value.__module__ or 'builtins'}|{value.__qualname__}")
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and type(value).__module__.startswith(("functools", _OURS)):
            return f"{type(value).__name__}({self.text(wrapped)})"
        if type(value).__module__.startswith(_OURS) and isinstance(getattr(value, "component", None), object):
            inner = getattr(getattr(value, "component", None), "function", None) or getattr(value, "function", None)
            return None if inner is None else f"task({self.text(inner)})"
        return None

    def _function(self, function: FunctionType) -> str:
        registry = getattr(function, "registry", None)
        if function.__code__.co_filename == functools.__file__ and isinstance(registry, MappingProxyType):
            return f"dispatch({self.text(getattr(function, '__wrapped__', None))},{self._pairs(registry)})"
        chain = self._locate(function)
        if chain is None:
            if (function.__module__ or "").startswith(_OURS):
                return f"penstock:{function.__qualname__}"
            self.is_opaque |= "<locals>" in function.__qualname__
            return self._refer(f"={function.__module__}|{function.__qualname__}")
        text = f"function({self._refer(chain)}"
        if function.__closure__:
            text += f",{function.__code__.co_freevars},{self._listed(_cell(cell) for cell in function.__closure__)}"
        if function.__defaults__ or function.__kwdefaults__:
            text += f",{self.text(function.__defaults__)},{self.text(function.__kwdefaults__)}"
        return f"{text},{function.__qualname__})"

    def _class(self, cls: type) -> str:
        chain = self._locate(cls)
        self.is_opaque |= chain is not None and "<locals>" in cls.__qualname__
        return self._refer(chain or f"={cls.__module__}|{cls.__qualname__}")

    def _array(self, value: Any, cls: type) -> str:
        """Arrays and scalars of numpy."""
        kind = getattr(value, "dtype", None)
        size = getattr(value, "nbytes", ARRAY_BYTES_MAX + 1)
        if kind is None and cls.__name__.endswith(("DType",)):
            return f"{cls.__qualname__}:{value!r}"
        self._refer("=numpy")
        if kind is None or kind.hasobject or size > ARRAY_BYTES_MAX or cls.__name__ == "memmap":
            return self._opaque(f"{cls.__module__}.{cls.__qualname__}")
        content = hashlib.sha256(value.tobytes()).hexdigest()
        return f"{cls.__qualname__}:{kind.str}:{getattr(value, 'shape', ())}:{content}"

    def _instance(self, value: Any, cls: type) -> str:
        attributes = dict(getattr(value, "__dict__", {}))
        for base in cls.__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and name not in attributes:
                    private = f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") else name
                    if hasattr(value, private):
                        attributes[name] = getattr(value, private)
        return f"{self._class(cls)}{{{self._pairs(dict(sorted(attributes.items())))}}}"

    def _listed(self, values: Iterable[Any]) -> str:
        return ",".join([self.text(value) for value in values])

    def _pairs(self, given: Any) -> str:
        pairs = given.items() if hasattr(given, "items") else given
        return ",".join([f"{self.text(key)}:{self.text(value)}" for key, value in pairs])

    def _refer(self, chain: str) -> str:
        self.refs[chain] = None
        return "@" if chain[0] == "@" else chain

    def _opaque(self, what: str) -> str:
        self.is_opaque = True
        return f"<{what}>"

    def _relative(self, text: str) -> str:
        """A copy of a project elsewhere has the same values."""
        if text == self._project or text.startswith(self._project + os.sep):
            return f"\0project{text[len(self._project) :]}"
        return text


def _hides_state(cls: type, known: type) -> bool:
    """Whether instances hold more than their attributes and what `known` does: a base is not written in Python."""
    bases = [base for base in cls.__mro__ if base not in (object, known)]
    if any(not base.__flags__ & _MADE_BY_CLASS or base.__flags__ & _IMMUTABLE for base in bases):
        return True
    slots = [vars(base).get("__slots__", ()) for base in bases]
    count = sum(1 if isinstance(each, str) else len(tuple(each)) for each in slots)
    return cls.__basicsize__ > known.__basicsize__ + (count + 2) * _POINTER_BYTES  # two: __dict__ and __weakref__


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing in it yet
        return None
