"""What a command is given: the folder that it runs in with its files and inputs, its arguments, its variables. Nothing of an
input is ever looked at as anything but a value: an argument is an argument whatever is in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, PenstockError
from penstock.base.secrets import MARK, is_secret
from penstock.graph.expression.values import text_of
from penstock.values import data
from penstock.values.refusals import ContentLost
from penstock.wire import Artifact, CommandRequest, Counted, Datum, Inline, Struct, artifacts_in, file_of, parts_of

Materialize = Callable[[str, Path], None]
"""Puts the content of a digest at a path. Raises ArtifactMissing, ArtifactCorrupt, StoreUnavailable."""

INPUTS = "inputs"
"""The folder, in the one that a command runs in, with the inputs that are files: `inputs/NAME/FILE`."""

SUFFIX_BY_FORM: Mapping[str, str] = {"arrow": ".arrow", "npy": ".npy", "data": ".json"}
PASSED = frozenset(
    {
        "CONDA_PREFIX", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME",
        "PATH", "PENSTOCK_INCARNATION", "REQUESTS_CA_BUNDLE", "ROCR_VISIBLE_DEVICES", "SHELL", "SSL_CERT_DIR", "SSL_CERT_FILE",
        "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
    }
)  # fmt: skip
PASSED_ENDS = ("_NUM_THREADS", "_proxy", "_PROXY", "_MAX_THREADS")
"""What a command sees of the environment beside what it declares: where things are, and how much of the machine to use."""

_PARAMETERS = frozenset({"str", "struct", "json", "list"})
_MASKED = "***"
_SECRET_LENGTH_MIN = 4


class Ungivable(PenstockError):
    """A value that no program can be given."""


@dataclass(slots=True)
class Given:
    """The inputs of one attempt, put into `folder` as they are needed."""

    request: CommandRequest
    inputs: Mapping[str, Datum]
    folder: Path
    materialize: Materialize
    _places: dict[str, Any] = field(default_factory=dict)

    def put_files(self) -> None:
        """Write the inputs that are given as files. Raises ContentLost, OSError."""
        for name, path in self.request.given.items():
            if name in self.inputs:
                place = self.folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                self._places[name] = self._put(name, self._input(name), path)

    def arguments(self) -> list[str]:
        """The words of the command. Raises Ungivable, ContentLost."""
        found: list[str] = []
        for word in self.request.argv:
            found += self._of_word(word)
        return found

    def variables(self, path: str | None = None) -> dict[str, str]:
        """The environment of the command; `path` stands before PATH. Raises Ungivable, ContentLost."""
        declared = {name.removeprefix(MARK) for name in self.request.variables}
        found = {name: text for name, text in os.environ.items() if name in declared or is_passed(name)}
        if path is not None:
            found["PATH"] = f"{path}{os.pathsep}{found.get('PATH', os.defpath)}"
        if self.request.script:
            found.update({name: self._text(name) for name in self.inputs})
        for name, word in self.request.env.items():
            found[name] = "".join(self._joined(word))
        for name, text in found.items():
            if "\0" in text:
                raise Ungivable(f"variable {name!r} would hold a NUL character", fix="Give the input as a file.")
        return found

    def secrets(self) -> list[str]:
        """The texts that are never shown: values of secret variables, and of inputs named like secrets; the longest first."""
        marked = [name for name in self.request.variables if is_secret(name, os.environ.get(name.removeprefix(MARK)))]
        found = {os.environ.get(name.removeprefix(MARK), "") for name in marked}
        for name, datum in self.inputs.items():
            if is_secret(name) and isinstance(datum, Inline) and isinstance(datum.value, str):
                found.add(datum.value)
        return sorted((text for text in found if len(text) >= _SECRET_LENGTH_MIN), key=len, reverse=True)

    # -- words -----------------------------------------------------------------------------------------------------------

    def _of_word(self, word: Sequence[Any]) -> list[str]:
        if len(word) == 1 and not isinstance(word[0], str):
            texts = self._texts(word[0]["input"])
        else:
            texts = ["".join(self._joined(word))]
        if any("\0" in text for text in texts):
            raise Ungivable("an argument would hold a NUL character", fix="Give the input as a file.")
        return texts

    def _joined(self, word: Sequence[Any]) -> Iterator[str]:
        for part in word:
            yield part if isinstance(part, str) else self._text(part["input"])

    def _texts(self, name: str) -> list[str]:
        """An input as arguments: one, none for null, one for each item of a list."""
        value = self._plain(name)
        if value is None:
            return []
        return [text_of(item) for item in value] if isinstance(value, list) else [text_of(value)]

    def _text(self, name: str) -> str:
        value = self._plain(name)
        return "" if value is None else text_of(value)

    def _plain(self, name: str) -> Any:
        """A parameter as it is, an artifact as its path, a list or struct of both as a list or dict."""
        if name not in self._places:
            self._places[name] = self._given(name, self._input(name), f"{INPUTS}/{name}")
        return self._places[name]

    def _input(self, name: str) -> Datum:
        declared = self.request.inputs.get(name, {"name": "any"})
        return self._whole(name, self.inputs.get(name, Inline(None)), declared)

    def _whole(self, name: str, datum: Datum, declared: Mapping[str, Any]) -> Datum:
        """With text and JSON that was too large to travel inline as what it is. Where nothing is declared, text is known by its
        type; other data may hold what no JSON can."""
        item = declared.get("item") or {"name": "any"}
        if isinstance(datum, Counted):
            return Counted(tuple([self._whole(name, each, item) for each in datum.items]))
        if isinstance(datum, Struct):
            return Struct({field: self._whole(name, each, item) for field, each in datum.fields.items()})
        if not isinstance(datum, Artifact) or datum.form != "data":
            return datum
        if declared["name"] not in _PARAMETERS and datum.type != "builtins:str":
            return datum
        place = self.folder.with_name(f"{self.folder.name}-read")
        try:
            self._put_content(name, datum, place)
            return Inline(data.read(place, dict))
        finally:
            place.unlink(missing_ok=True)

    def _given(self, name: str, datum: Datum, path: str) -> Any:
        if isinstance(datum, Inline):
            return datum.value
        if isinstance(datum, Counted):
            return [self._given(name, item, f"{path}/{number:05}") for number, item in enumerate(datum.items)]
        if isinstance(datum, Struct):
            return {field: self._given(name, item, f"{path}/{file_of(field)}") for field, item in datum.fields.items()}
        (self.folder / path).mkdir(parents=True, exist_ok=True)
        return self._materialize(name, datum, f"{path}/{_file_name(datum)}")

    # -- files -----------------------------------------------------------------------------------------------------------

    def _put(self, name: str, datum: Datum, path: str) -> Any:
        """Write an input as a file, or as a folder of files where artifacts are in it; answers what `_plain` does."""
        if isinstance(datum, Artifact):
            return self._materialize(name, datum, path)
        if next(artifacts_in(datum), None) is None:
            value = plain_of(datum)
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            (self.folder / path).write_text(text, encoding="utf-8", errors="surrogatepass")
            return value
        (self.folder / path).mkdir()
        if isinstance(datum, Struct):
            return {field: self._put(name, item, f"{path}/{file_of(field)}") for field, item in datum.fields.items()}
        named = [(f"{number:05}", item) for number, item in enumerate(parts_of(datum))]
        return [
            self._put(
                name, item, f"{path}/{number}-{_file_name(item)}" if isinstance(item, Artifact) else f"{path}/{number}"
            )
            for number, item in named
        ]

    def _materialize(self, name: str, artifact: Artifact, path: str) -> str:
        self._put_content(name, artifact, self.folder / path)
        return path

    def _put_content(self, name: str, artifact: Artifact, place: Path) -> None:
        try:
            self.materialize(artifact.digest, place)
        except (ArtifactMissing, ArtifactCorrupt) as error:
            raise ContentLost(artifact.digest, f"input {name!r}: {error.message}") from error


def is_passed(name: str) -> bool:
    """Whether every command sees this variable."""
    return name in PASSED or name.startswith(("LC_", "NVIDIA_")) or name.endswith(PASSED_ENDS)


def masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _MASKED)
    return text


def plain_of(datum: Datum) -> Any:
    """A value without artifacts in it, as plain data."""
    if isinstance(datum, Struct):
        return {field: plain_of(item) for field, item in datum.fields.items()}
    return [plain_of(item) for item in datum.items] if isinstance(datum, Counted) else getattr(datum, "value", None)


def _file_name(datum: Artifact) -> str:
    """What a file is called: as its maker called it, else by the form that it is written in."""
    name = datum.metadata.get("name", "")
    if isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\0" not in name:
        return name
    return f"content{SUFFIX_BY_FORM.get(datum.form, '')}"
