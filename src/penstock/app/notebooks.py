"""A pipeline of a notebook as a file that workers can import: of the cells run so far, the statements that the pipeline
reaches.

Knows IPython's history of inputs; runs nothing. Statements that only have effects are left out, so a cell that draws or
runs something is not run again by a worker; a name bound by a call (`rows = load()`) is bound again there."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock.base.digests import digest_of_bytes

FOLDER = "notebooks"


def write_notebook(name: str) -> Path | None:
    """Write what `name` reaches below the state folder of the current project; None outside a notebook."""
    cells = _cells()
    if not cells:
        return None
    from penstock.app.places import make_state_folder
    from penstock.settings import load

    source = reached_source(cells, name)
    settings = load(Path.cwd())
    make_state_folder(settings)
    folder = settings.state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"notebook_{digest_of_bytes(source.encode())[:12]}.py"
    if not file.exists():
        file.write_text(source)
    return file


def _cells() -> Sequence[str]:
    """The inputs of the notebook so far, with magics already turned into calls."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return [str(cell) for cell in shell.user_ns.get("In", [])] if shell is not None else []


def reached_source(cells: Sequence[str], name: str) -> str:
    """The statements of all cells that bind a name which `name` reaches, in the order of the cells. Of a name that was
    bound again (a cell run twice), the last binding counts and what was done to it since."""
    statements = [statement for cell in cells for statement in _statements(cell)]
    binding: dict[str, list[int]] = {}
    for index, statement in enumerate(statements):
        for bound, anew in _bound(statement):
            binding[bound] = [index] if anew else [*binding.get(bound, []), index]
    wanted: set[int] = set()
    names, seen = [name], {name}
    while names:
        for index in binding.get(names.pop(), []):
            if index not in wanted:
                wanted.add(index)
                new = {node.id for node in ast.walk(statements[index]) if isinstance(node, ast.Name)} - seen
                seen |= new
                names += sorted(new)
    return "\n\n".join(ast.unparse(statements[index]) for index in sorted(wanted)) + "\n"


def _statements(cell: str) -> Sequence[ast.stmt]:
    try:
        return ast.parse(cell).body
    except SyntaxError:  # the cell itself has failed when it was run
        return ()


def _bound(statement: ast.stmt) -> Iterator[tuple[str, bool]]:
    """The names that a top-level statement binds, and whether anew (else it changes what is bound)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name, True
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield (alias.asname or alias.name.partition(".")[0]), True
    elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        ends = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for end in ends:
            for node in ast.walk(end):
                if isinstance(node, ast.Name):
                    plain = isinstance(node.ctx, ast.Store) and not isinstance(statement, ast.AugAssign)
                    yield node.id, plain
