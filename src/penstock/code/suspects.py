"""What cannot be followed by reading code (cache rules 11 to 13): code that is made or imported while it runs, other
programs, the environment."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.code.programs import PASSED_ON, PROGRAMS, why_unknown, words_of

if TYPE_CHECKING:
    from penstock.code.references import Reader

_REFERENCES = {
    "builtins.exec": "exec runs code that is made as it goes",
    "builtins.eval": "eval runs code that is made as it goes",
    "importlib.reload": "importlib.reload runs a module again",
    "importlib.util.spec_from_file_location": "a module is loaded from a computed place",
    "importlib.util.module_from_spec": "a module is loaded from a computed place",
    "importlib.machinery.SourceFileLoader": "a module is loaded from a computed place",
    "importlib.metadata.entry_points": "entry points are whatever is installed",
    "pkg_resources.iter_entry_points": "entry points are whatever is installed",
    "pkgutil.resolve_name": "what is imported is computed",
    "pkgutil.walk_packages": "modules are looked for while it runs",
    "pkgutil.iter_modules": "modules are looked for while it runs",
    "runpy.run_path": "runpy runs a script",
    "runpy.run_module": "runpy runs a module",
    "types.FunctionType": "a function is made from a code object",
    "types.CodeType": "a function is made from a code object",
    "importlib.import_module": "the name of an imported module is computed",
    "builtins.__import__": "the name of an imported module is computed",
    "sys.modules": "a module is taken from sys.modules under a computed name",
}
_WRITES_ENVIRONMENT = frozenset({"update", "__setitem__", "clear", "__delitem__"})
_READS_ENVIRONMENT = frozenset({"get", "pop", "setdefault", "__getitem__"})


def judge_reference(reader: Reader, node: ast.expr, chains: Sequence[str]) -> None:
    for meaning in reader.meanings(chains):
        why = _REFERENCES.get(meaning)
        if why is not None:
            reader.found.suspects.append((why, node.lineno))
        elif meaning.startswith("os.environ") and isinstance(getattr(node, "ctx", None), (ast.Load, type(None))):
            if meaning.rpartition(".")[2] not in _WRITES_ENVIRONMENT:
                reader.found.suspects.append(("the whole environment is read", node.lineno))
        elif meaning.startswith("sys.modules."):
            reader.found.suspects.append((_REFERENCES["sys.modules"], node.lineno))
        elif meaning == "os.getenv":
            reader.found.suspects.append(("the name of an environment variable is computed", node.lineno))
        elif (PROGRAMS.fullmatch(meaning) or meaning == "subprocess") and not reader.is_asked_about:
            reader.found.suspects.append((PASSED_ON, node.lineno))


def judge_subscript(reader: Reader, node: ast.Subscript) -> bool:
    """`os.environ["NAME"]`. Whether the value of the subscript needs no further look."""
    if not reader.is_named(node.value, "os.environ", "os.environb"):
        return False
    if isinstance(node.ctx, ast.Load):
        _variable(reader, node.slice, node.lineno)
    return True


def judge_call(reader: Reader, node: ast.Call) -> bool:
    """Whether the function of the call needs no further look."""
    function = node.func
    if isinstance(function, ast.Attribute) and reader.is_named(function.value, "os.environ"):
        if function.attr in _READS_ENVIRONMENT and node.args:
            _variable(reader, node.args[0], node.lineno)
            return True
        return False
    if isinstance(function, ast.Attribute) and function.attr == "dlopen":
        _library(reader, node)
    chains = reader.chains_of(function)
    for meaning in reader.meanings(chains or ()):
        if meaning == "os.getenv" and node.args:
            _variable(reader, node.args[0], node.lineno)
            return True
        if PROGRAMS.fullmatch(meaning):
            _program(reader, node)
            reader.refer(chains or ())
            return True
    return False


def judge_compare(reader: Reader, node: ast.Compare) -> bool:
    """`"NAME" in os.environ`."""
    if len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)):
        if reader.is_named(node.comparators[0], "os.environ"):
            _variable(reader, node.left, node.lineno)
            reader.read(node.left)
            return True
        if reader.is_named(node.comparators[0], "sys.modules"):
            return True
    return False


def _variable(reader: Reader, key: ast.expr, line: int) -> None:
    name = reader.text_of(key)
    if name is None:
        reader.found.suspects.append(("the name of an environment variable is computed", line))
    else:
        reader.found.variables[name] = None


def _program(reader: Reader, call: ast.Call) -> None:
    """Another program is the author's own if it is Python, a script, or not known."""
    given = call.args[0] if call.args else next((each.value for each in call.keywords if each.arg == "args"), None)
    if given is None:
        return
    parts = given.elts if isinstance(given, (ast.List, ast.Tuple)) else [given, *call.args[1:]]
    texts = [reader.text_of(part) for part in parts]
    if not texts or texts[0] is None:
        reader.found.suspects.append((PASSED_ON, call.lineno))
        return
    words = words_of([text for text in texts if text])
    why = why_unknown(words)
    if why is not None:
        reader.found.suspects.append((why, call.lineno))
    else:
        reader.found.natives += [(words[0], word, call.lineno) for word in words[1:]]


def _library(reader: Reader, call: ast.Call) -> None:
    """cffi loads a library where nobody hears of it."""
    text = reader.text_of(call.args[0]) if call.args else None
    if text is None:
        reader.found.suspects.append(("the library that is loaded is not known", call.lineno))
    else:
        reader.found.natives.append(("dlopen", text, call.lineno))
