"""Warnings of `check` about tasks that write a file under a fixed relative path: all task runs share the project's folder, so
two of them may write the same file at the same time. Only the task's own function is looked at, and only what is certain is
said."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from penstock.base.diagnostics import Diagnostic, Location
from penstock.code.pins import Source
from penstock.graph.model import Function

FIX = (
    "Write it into the attempt's own folder: take a parameter `folder: Scratch` (from penstock import Scratch) and use "
    "folder / {path!r}."
)
_WRITING_MODES = frozenset("wax+")
# Methods whose first argument is the file that they write; with the keywords that it may be given by.
# fmt: off
_METHODS = frozenset((
    "to_csv", "to_parquet", "to_json", "to_pickle", "to_excel", "to_feather", "to_hdf", "to_html", "to_markdown", "to_latex",
    "to_orc", "to_stata", "to_xml", "write_csv", "write_parquet", "write_ipc", "write_json", "write_ndjson", "write_excel",
    "write_avro", "sink_csv", "sink_parquet", "sink_ipc", "savefig", "save_model", "save_pretrained", "tofile", "write_html",
    "write_image",
))
_KEYWORDS = frozenset((
    "path", "path_or_buf", "fname", "filename", "file", "fp", "f", "excel_writer", "dst", "filepath_or_buffer", "target",
))
# fmt: on
_OF_PATHS = frozenset({"write_text", "write_bytes", "touch"})
# Functions by the last two parts of how they are written, with the position of the file.
_FUNCTIONS = {
    "np.save": 0,
    "np.savez": 0,
    "np.savez_compressed": 0,
    "np.savetxt": 0,
    "numpy.save": 0,
    "numpy.savez": 0,
    "numpy.savez_compressed": 0,
    "numpy.savetxt": 0,
    "plt.savefig": 0,
    "torch.save": 1,
    "joblib.dump": 1,
    "shutil.copy": 1,
    "shutil.copy2": 1,
    "shutil.copyfile": 1,
    "shutil.copytree": 1,
    "shutil.move": 1,
    "os.replace": 1,
    "os.rename": 1,
}


_ANY = re.compile(
    rf"\b(?:open|{'|'.join({*_METHODS, *_OF_PATHS, *(name.partition('.')[2] for name in _FUNCTIONS)})})\("
)


def shared_writes(
    components: Iterable[Function], *, sources: Mapping[str, Source], project: str
) -> tuple[Diagnostic, ...]:
    """A warning for each fixed relative path that a task's function writes, in the order of modules and lines."""
    wanted: dict[str, dict[str, None]] = {}
    for component in components:
        wanted.setdefault(component.module, {})[component.name] = None
    found: list[Diagnostic] = []
    for module, names in sorted(wanted.items()):
        source = sources.get(module)
        if source is not None:
            path = source.path
            shown = os.path.relpath(path, project) if path.startswith(f"{project.rstrip(os.sep)}{os.sep}") else path
            found += _in_module(source, names, shown)
    return tuple(found)


def _in_module(source: Source, names: Mapping[str, None], file: str) -> Iterator[Diagnostic]:
    if _ANY.search(source.data.decode(errors="replace")) is None:
        return  # most modules: reading them as code takes long
    try:
        tree = ast.parse(source.data)
    except (SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in names:
            for line, path in sorted(set(_Writes(node).found())):
                message = f"{node.name!r} writes {path!r} in the project's folder, which all task runs share"
                yield Diagnostic("shared-write", message, FIX.format(path=path), Location(file, line), "warning")


class _Writes:
    """What one function writes. Names that are bound once, to a literal path, stand for it."""

    def __init__(self, function: ast.AST) -> None:
        self._nodes = list(ast.walk(function))
        self._literals: dict[str, ast.expr] = {}
        bound: dict[str, int] = {}
        for node in self._nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[node.id] = bound.get(node.id, 0) + 1
            if isinstance(node, ast.arg):
                bound[node.arg] = bound.get(node.arg, 0) + 1
        for node in self._nodes:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                if bound[node.targets[0].id] == 1:
                    self._literals[node.targets[0].id] = node.value

    def found(self) -> Iterator[tuple[int, str]]:
        if any(isinstance(node, ast.Attribute) and node.attr in ("chdir", "fchdir") for node in self._nodes):
            return  # the working folder is another one
        for node in self._nodes:
            if isinstance(node, ast.Call):
                written = self._written(node)
                path = self._path(written) if written is not None else None
                if path and not path.startswith(("/", "~")) and "://" not in path:
                    yield node.lineno, path

    def _written(self, call: ast.Call) -> ast.expr | None:
        """What the call writes to; None where it writes nothing, or nobody can say what."""
        function = call.func
        if isinstance(function, ast.Name):
            return self._given(call, 0) if function.id == "open" and _writes(call, 1) else None
        if not isinstance(function, ast.Attribute):
            return None
        if function.attr == "open":
            return function.value if _writes(call, 0) else None
        if function.attr in _OF_PATHS:
            return function.value
        if function.attr in _METHODS:
            return self._given(call, 0)
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        position = _FUNCTIONS.get(f"{owner}.{function.attr}")
        return None if position is None else self._given(call, position)

    def _given(self, call: ast.Call, position: int) -> ast.expr | None:
        if position < len(call.args):
            return call.args[position]
        return next((each.value for each in call.keywords if each.arg in _KEYWORDS), None)

    def _path(self, node: ast.expr, depth: int = 0) -> str | None:
        """The text of a path that is written out."""
        if depth > 10:
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            known = self._literals.get(node.id)
            return self._path(known, depth + 1) if known is not None else None
        if isinstance(node, ast.Call) and _makes_path(node):
            parts = [self._path(each, depth + 1) for each in node.args]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [self._path(node.left, depth + 1), self._path(node.right, depth + 1)]
        else:
            return None
        return "/".join(each for each in parts if each) if parts and None not in parts else None


def _writes(call: ast.Call, position: int) -> bool:
    mode = call.args[position] if position < len(call.args) else None
    mode = next((each.value for each in call.keywords if each.arg == "mode"), mode)
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and bool(_WRITING_MODES & set(mode.value))


def _makes_path(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return not call.keywords and name in ("Path", "pathlib.Path", "os.path.join", "path.join", "join")
