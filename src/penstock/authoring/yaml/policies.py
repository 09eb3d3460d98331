"""How attempts are made, and what the cache is told: the keys of a task or component as a `Policy`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.authoring.yaml.kinds import complaint_of
from penstock.authoring.yaml.schema import RECORDS
from penstock.authoring.yaml.tree import Dictionary, Part, Scalar, Sequence, Source, is_null, plain_value
from penstock.authoring.yaml.values import OPEN, Values
from penstock.base.instants import duration_ms
from penstock.base.sizes import size_bytes
from penstock.graph.bindings import Expression, Value
from penstock.graph.builder import UNKNOWN_SCOPED
from penstock.graph.expression.tree import Literal, Operation
from penstock.graph.model import DEFAULT_POLICY, Environment, Gpu, Policy, Resources, Retry
from penstock.graph.policies import file_complaint
from penstock.graph.value_trees import tree_of_value

DECLARED = ("files", "env", "depends", "environment")
"""What a component says of its code: where a task holds its component itself, these go to that."""

_RESOURCES = {key.name for key in RECORDS["resources"].keys}


class Policies:
    """Reads policies of one file. `values` reads references; None: there are none to refer to, as in a component."""

    def __init__(self, source: Source, values: Values | None) -> None:
        self._source = source
        self._values = values

    def given(self, part: Dictionary, base: Policy = DEFAULT_POLICY) -> dict[str, Any]:
        """The fields of a Policy that are written, by name; null is None. Resources are laid over those of `base`."""
        given: dict[str, Any] = {}
        for name, read in (
            ("resources", lambda each: self._resources(each, base.resources)),
            ("retry", self._retry),
            ("timeout", self._timeout),
            ("priority", self._plain),
            ("fresh", self._plain),
            ("environment", self._environment),
        ):
            written = part.get(name)
            if written is not None:
                given["timeout_ms" if name == "timeout" else name] = None if is_null(written) else read(written)
        cache = part.get("cache")
        if cache is not None:
            given.update(self._cache(cache))
        return given

    # -- resources -----------------------------------------------------------------------------------------------------

    def _resources(self, part: Part, base: Resources | None) -> Resources | None:
        made = base or Resources()
        if not isinstance(part, Dictionary):
            return made
        custom = dict(made.custom)
        for name, (_key, value) in part.entries.items():
            if name == "cpu":
                made = replace(made, cpu=self._amount(value, "number", made.cpu))
            elif name == "memory":
                made = replace(made, memory_bytes=self._amount(value, "size", made.memory_bytes))
            elif name == "disk":
                made = replace(made, disk_bytes=self._amount(value, "size", made.disk_bytes))
            elif name == "gpu":
                made = replace(made, gpu=None if is_null(value) else self._gpu(value))
            elif is_null(value):
                custom.pop(name, None)
            else:
                custom[name] = self._amount(value, "number", 0.0)
        return replace(made, custom=custom)

    def _gpu(self, part: Part) -> Gpu:
        if not isinstance(part, Dictionary):
            return Gpu(self._amount(part, "number", 1.0))
        count, memory = part.get("count"), part.get("memory")
        return Gpu(
            1.0 if count is None else self._amount(count, "number", 1.0),
            None if memory is None else self._amount(memory, "size", None),
        )

    def _amount(self, part: Part, kind: str, otherwise: Any) -> Any:
        """A number, or a Value; `otherwise` where it is wrong, which has been reported."""
        if is_null(part):
            return None
        if not isinstance(part, Scalar):
            return otherwise
        if OPEN in part.text:
            value = self._referred(part)
            return otherwise if value is None else value
        value = plain_value(part)
        if kind != "number":
            return size_bytes(value) if complaint_of("size_value", None, part) is None else otherwise
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        return float(value) if is_number else otherwise

    def _referred(self, part: Scalar) -> Value | None:
        if self._values is None:
            fix = "Give a number here, and the value where the component is used."
            self._source.report("bad-reference", "a component's amounts cannot refer to values", fix, part)
            return None
        scoped = self._values.bound(part)
        if scoped is UNKNOWN_SCOPED:
            return None
        return self._values.scope.builder.bring(scoped, self._source.location(part.start), called="amount")

    def _timeout(self, part: Part) -> int | Value | None:
        if isinstance(part, Dictionary):
            written = part.get("milliseconds")
            if written is None:
                return None
            amount = self._amount(written, "number", None)
            return int(amount) if isinstance(amount, float) else amount
        if not isinstance(part, Scalar):
            return None
        if OPEN in part.text:
            value = self._referred(part)
            if value is None:
                return None
            seconds = Operation("double", (tree_of_value(value),))
            return Expression(Operation("int", (Operation("_*_", (seconds, Literal(1000.0))),)))
        return duration_ms(plain_value(part)) if complaint_of("duration", None, part) is None else None

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _plain(self, part: Part) -> Any:
        value = plain_value(part) if isinstance(part, Scalar) else None
        return value if isinstance(value, (bool, int)) else None

    def _duration(self, part: Part | None, otherwise: int) -> int:
        if not isinstance(part, Scalar) or complaint_of("duration", None, part) is not None:
            return otherwise
        return duration_ms(plain_value(part))

    def _number(self, part: Part | None, otherwise: Any, least: float = 0) -> Any:
        value = plain_value(part) if isinstance(part, Scalar) else None
        fits = isinstance(value, (type(otherwise), int)) and not isinstance(value, bool)
        return value if fits and value >= least else otherwise  # type: ignore[operator] # it is a number

    def _retry(self, part: Part) -> Retry:
        default = Retry()
        if not isinstance(part, Dictionary):
            return Retry(attempts_max=self._number(part, 1, 1))
        return Retry(
            attempts_max=self._number(part.get("attempts"), default.attempts_max, 1),
            backoff_ms=self._duration(part.get("backoff"), default.backoff_ms),
            factor=float(self._number(part.get("factor"), default.factor, 1)),
            backoff_max_ms=self._duration(part.get("backoff_max"), default.backoff_max_ms),
            jitter=float(self._number(part.get("jitter"), default.jitter)),
            retry_on=self.texts(part.get("on")),
            oom_max=self._number(part.get("oom_max"), default.oom_max),
            lost_max=self._number(part.get("lost_max"), default.lost_max),
        )

    def _cache(self, part: Part) -> dict[str, Any]:
        if not isinstance(part, Dictionary):
            value = plain_value(part) if isinstance(part, Scalar) else None
            return {"cache": value if isinstance(value, bool) or value == "trust" else None}
        given: dict[str, Any] = {}
        for name, (_key, value) in part.entries.items():
            unset = is_null(value)
            if name == "use":
                given.update({"cache": None} if unset else self._cache(value))
            elif name == "version":
                text = plain_value(value) if isinstance(value, Scalar) else None
                given["version"] = text if isinstance(text, str) else None
            elif name == "expires":
                given["expires_ms"] = None if unset else self._duration(value, 1)
            elif name in ("env", "depends"):
                given[name] = tuple(sorted(set(self.texts(value))))
            elif name == "files":
                given[name] = self._files(value)
        return given

    def _files(self, part: Part) -> tuple[str, ...]:
        paths = set()
        for scalar in part.items if isinstance(part, Sequence) else (part,):
            if not isinstance(scalar, Scalar):
                continue
            wrong = file_complaint(scalar.text)
            if wrong is None:
                paths.add(_plain_path(scalar.text))
            else:
                self._source.report("bad-file", f"files: {scalar.text!r} {wrong[0]}", wrong[1], scalar)
        return tuple(sorted(paths))

    def _environment(self, part: Part) -> Environment | None:
        if not isinstance(part, Dictionary):
            return None
        made = Environment(
            python=self.text(part.get("python")),
            packages=self.texts(part.get("packages")),
            requirements=self.text(part.get("requirements")),
        )
        return None if made == Environment() and part.entries else made

    def text(self, part: Part | None) -> str:
        value = plain_value(part) if isinstance(part, Scalar) else None
        return value if isinstance(value, str) else ""

    def texts(self, part: Part | None) -> tuple[str, ...]:
        items = part.items if isinstance(part, Sequence) else (part,)
        return tuple(text for item in items if (text := self.text(item)))


def _plain_path(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."
