"""TARGET as a person writes it: which file or module, which pipeline in it. What can be told without importing anything
is told here; the rest is a worker's answer (`Description`), which is turned into errors here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.base.diagnostics import Diagnostic
from penstock.base.errors import InvalidInput, InvalidPipeline, TargetFailed
from penstock.base.ids import NAME
from penstock.wire import Description

FORMS = "TARGET is file.py, file.yaml, either with :name, or module:name."
SUFFIXES = (".py", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Target:
    """`text` is what a worker resolves: an absolute path or a module, then `:name` where a pipeline is named. `folder`
    is where the search for the project starts."""

    text: str
    folder: Path


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
        return Target(text, folder)
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
