"""TARGET as a person writes it: which file or module, which pipeline in it. What can be told without importing anything
is told here; the rest is a worker's answer (`Description`), which is turned into errors here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.base.diagnostics import Diagnostic
from penstock.base.errors import InvalidInput, InvalidPipeline, TargetFailed
from penstock.base.firstparty import is_first_party
from penstock.base.ids import NAME
from penstock.settings import find_project, trusted_folders
from penstock.wire import Description

FORMS = "TARGET is file.py, file.yaml, either with :name, or module:name."
SUFFIXES = (".py", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Target:
    """`text` is what a worker resolves: an absolute path or a module, then `:name` where a pipeline is named. `folder`
    is where the search for the project starts: that of the target's file. `root` is the folder that a module is imported
    from, and `file` what it is imported from, as far as both are known."""

    text: str
    folder: Path
    root: str = ""
    file: Path | None = None

    def shown(self, project: Path) -> str:
        """As it is recorded: relative to the project where it lies in it, and so that it is found from there again."""
        if self.file is not None and self.root not in (str(project), str(project / "src")):
            text = f"{self.file}:{self.text.rpartition(':')[2]}"
        else:
            text = self.text
        return text.removeprefix(f"{project}{os.sep}")


def parse_target(text: str, *, folder: Path | None = None) -> Target:
    """Raises InvalidInput when it is not of a known form, or names a file that does not exist."""
    folder = folder or Path.cwd()
    place, colon, name = text.partition(":") if text.count(":") == 1 else text.rpartition(":")
    if not colon:
        place, name = text, ""
    is_name = NAME.fullmatch(name) if place.endswith(SUFFIXES[1:]) else name.isidentifier()
    if not place or (colon and not is_name):
        raise InvalidInput(f"not a target: {text!r}", fix=FORMS)
    file = (folder / Path(place).expanduser()).absolute()
    if place.endswith(SUFFIXES):
        return _file_target(text, place, file=file, name=name)
    if file.exists():
        what = "a folder" if file.is_dir() else "neither Python nor YAML"
        raise InvalidInput(f"{place} is {what}{_near_text('', _target_files(file))}", fix=FORMS)
    if colon and all(part.isidentifier() for part in place.split(".")):
        return _module_target(text, place, folder=folder)
    raise InvalidInput(f"there is no {text!r} here{_near_text(Path(place).stem, _target_files(folder))}", fix=FORMS)


def _file_target(text: str, place: str, *, file: Path, name: str) -> Target:
    if file.is_file():
        if not os.access(file, os.R_OK):
            raise InvalidInput(f"{place} cannot be read", fix="Its permissions do not allow it.")
        return Target(f"{file}:{name}" if name else str(file), file.parent)
    if file.exists():
        raise InvalidInput(f"{place} is not a file", fix=FORMS)
    near = _near_text(file.stem, _target_files(file.parent))
    where = "" if file.parent.is_dir() else f" (nor is there a folder {file.parent})"
    raise InvalidInput(f"there is no file {place}{where}{near}", fix=FORMS)


def _module_target(text: str, module: str, *, folder: Path) -> Target:
    """The module is looked for where a worker would, without importing anything."""
    project = find_project(folder, trusted=trusted_folders()).folder
    for place in dict.fromkeys(base / below for base in (project, folder.resolve()) for below in ("", "src")):
        file = _file_of(module.split("."), [str(place)])
        if file is not None:
            return Target(text, file.parent, str(place), file)
    root, file = _installed(module)
    return Target(text, folder) if file is None else Target(text, file.parent, root, file)


def _file_of(parts: Sequence[str], folders: Iterable[str]) -> Path | None:
    """The source of a module below one of the folders."""
    for folder in folders:
        base = Path(folder, *parts)
        for file in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if file.is_file():
                return file
    return None


def _installed(module: str) -> tuple[str, Path | None]:
    """The root and source of a module that is installed to be edited where it lies; "" and None for any other."""
    from importlib.util import find_spec

    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return "", None
    if spec is None or not is_first_party(spec.origin):
        return "", None
    assert spec.origin is not None
    packages = spec.submodule_search_locations
    file = _file_of(rest, packages or ()) if rest else Path(spec.origin)
    above = Path(spec.origin).parent
    return str(above if packages is None else above.parent), file


def _target_files(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIXES))[:200]
    except OSError:
        return []


def _near_text(stem: str, files: Iterable[str]) -> str:
    from difflib import get_close_matches

    by_stem = {Path(file).stem: file for file in files}
    near = [by_stem[match] for match in get_close_matches(stem, by_stem, n=2)] if stem else list(by_stem.values())[:5]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def diagnostics_of(description: Description) -> tuple[Diagnostic, ...]:
    return tuple(Diagnostic.from_json(dict(item)) for item in description.diagnostics)


def require_graph(description: Description, *, target: str) -> None:
    """Raises what is wrong with a description: TargetFailed with the author's traceback, InvalidInput (no pipeline,
    several), or InvalidPipeline with every diagnostic."""
    failure = description.failure
    if failure is not None:
        short = failure.type.removeprefix("builtins:").replace(":", ".")
        raise TargetFailed(
            f"{target} cannot be imported: {short}: {failure.message}",
            traceback=failure.traceback,
            fix=description.fix or "Mend the error; the traceback starts at your own code.",
        )
    if description.error:
        raise InvalidInput(description.error, fix=description.fix)
    diagnostics = diagnostics_of(description)
    if description.graph is None or any(item.severity == "error" for item in diagnostics):
        raise InvalidPipeline(diagnostics)
