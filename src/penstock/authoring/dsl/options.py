"""What can be said of a task besides its inputs: resources, retries, limits, order. Units are text here and numbers in
the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from penstock.authoring.dsl import declared
from penstock.authoring.dsl.annotations import public_name
from penstock.authoring.dsl.building import Building
from penstock.authoring.dsl.combining import MARK
from penstock.authoring.dsl.handles import Handle, as_scoped, operate, ref_of, value_of
from penstock.base.diagnostics import Location
from penstock.base.instants import duration_ms
from penstock.base.sizes import size_bytes
from penstock.graph import model
from penstock.graph.bindings import Value
from penstock.graph.builder import NodeOptions, NodeRef, Scoped
from penstock.graph.names import nearest

Report = Callable[[str, str, str], None]
"""Records (code, message, fix) where the author wrote the thing in question."""


class Resources:
    """What one attempt of a task needs: `cpu` cores (fractions allowed), `memory` as bytes or text such as `"4GiB"`,
    `gpu` as a number of GPUs, a share of one (`0.5`), or `{"count": 2, "memory": "40GiB"}` (memory on each), `disk` as bytes or
    text for what it may write below its scratch folder, and amounts of named resources that the settings declare:
    `Resources(cpu=2, memory="4GiB", licence=1)`. Inside a pipeline each may be a handle (`memory` and `disk` then in bytes)."""

    __slots__ = ("cpu", "custom", "disk", "gpu", "memory")

    def __init__(
        self, *, cpu: Any = None, memory: Any = None, gpu: Any = None, disk: Any = None, **custom: Any
    ) -> None:
        self.cpu = cpu
        self.memory = memory
        self.disk = disk
        self.gpu = gpu
        self.custom = custom

    def __repr__(self) -> str:
        given = {"cpu": self.cpu, "memory": self.memory, "gpu": self.gpu, "disk": self.disk, **self.custom}
        return f"Resources({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"


class Retry:
    """When a failed attempt is followed by another: at most `attempts` in all; `backoff` (seconds, or text such as
    `"10s"`) before the second, times `factor` before each later one, up to `backoff_max`, each varied by the fraction
    `jitter`. `on`: only for these exception classes or names of such (`"ValueError"`, `"module:Name"`). `oom_max` and
    `lost_max` bound the attempts that ended without memory or without a word, which do not count as failed."""

    __slots__ = ("attempts", "backoff", "backoff_max", "factor", "jitter", "lost_max", "on", "oom_max")

    def __init__(
        self,
        attempts: int,
        *,
        backoff: float | str = 1,
        factor: float = 2.0,
        backoff_max: float | str = "5m",
        jitter: float = 0.1,
        on: Any = (),
        oom_max: int = 3,
        lost_max: int = 5,
    ) -> None:
        self.attempts = attempts
        self.backoff = backoff
        self.factor = factor
        self.backoff_max = backoff_max
        self.jitter = jitter
        self.on = on
        self.oom_max = oom_max
        self.lost_max = lost_max

    def __repr__(self) -> str:
        return f"Retry({', '.join(f'{name}={getattr(self, name)!r}' for name in sorted(self.__slots__))})"


@dataclass(frozen=True, slots=True)
class Options:
    """Options as the author gave them; None: not given."""

    name: Any = None
    after: Any = None
    when: Any = None
    trigger: Any = None
    labels: Any = None
    resources: Any = None
    cpu: Any = None
    memory: Any = None
    gpu: Any = None
    disk: Any = None
    retry: Any = None
    timeout: Any = None
    priority: Any = None
    cache: Any = None
    fresh: Any = None
    version: Any = None
    expires: Any = None
    files: Any = None
    env: Any = None
    depends: Any = None
    environment: Any = None

    def with_more(self, given: Mapping[str, Any]) -> Options:
        return replace(self, **{name: value for name, value in given.items() if value is not None})


NO_OPTIONS = Options()
OPTION_NAMES = tuple(field.name for field in fields(Options))
CALL_OPTION_NAMES = ("name", "after", "when", "trigger", "labels")
"""Options that a call takes itself, where the component has no input of that name."""
TASK_OPTION_NAMES = ("files", "env", "depends", "environment")
"""Options of a definition: what its code depends on beside other code."""


def node_options(
    options: Options, building: Building, *, component: model.Work | model.Graph | None, location: Location
) -> NodeOptions:
    """The builder's form of `options` for a node of `component`."""

    def report(code: str, message: str, fix: str) -> None:
        building.report(code, message, fix, location)

    if options is NO_OPTIONS:
        return NodeOptions(policy=_graph_policy(component), location=location)
    name = options.name
    if name is not None and (not isinstance(name, str) or MARK in name):
        what = "text with a value of a run in it" if isinstance(name, str) else repr(name)
        report("bad-name", f"{what} cannot be a name", "Give text: a node's name is fixed when the pipeline is built.")
        name = None
    return NodeOptions(
        name=name,
        after=_refs(options.after, report),
        when=_condition(options.when),
        trigger=_trigger(options.trigger, report),
        policy=policy_of(options, component, report=report, building=building),
        labels=labels_of(options.labels, report),
        location=location,
    )


def policy_of(
    options: Options,
    component: model.Work | model.Graph | None,
    *,
    report: Report,
    building: Building | None = None,
) -> model.Policy:
    """The graph's form of what `options` say about attempts. Handles are allowed inside a pipeline (`building`) only.
    Resources that are given one by one are laid over those of the component."""

    def amount(what: str, given: Any, parse: Callable[[Any], float]) -> Any:
        if isinstance(given, Handle) and building is not None:
            return _bound(building, given, what)
        try:
            return parse(given)
        except ValueError as error:
            report("bad-resources" if what != "timeout" else "bad-timeout", f"{what}: {error}", _FIX_BY_AMOUNT[what])
            return None

    base = component.policy if isinstance(component, model.Work) else _graph_policy(component)
    resources = _resources(options, base.resources, amount, report)
    timeout: int | Value | None = None
    if isinstance(options.timeout, Handle) and building is not None:
        seconds = operate("double", options.timeout)
        timeout = _bound(building, operate("int", operate("_*_", seconds, 1000.0)), "timeout")
    elif options.timeout is not None:
        timeout = amount("timeout", options.timeout, duration_ms)
    graph_timeout = base.timeout_ms if isinstance(component, model.Graph) else None
    return model.Policy(
        resources=resources,
        retry=None if options.retry is None else _retry(options.retry, report),
        timeout_ms=timeout if timeout is not None else graph_timeout,
        priority=_plain(options.priority, int, "priority", report),
        cache=declared.cache_of(options.cache, report),
        fresh=_plain(options.fresh, bool, "fresh", report),
        version=declared.version_of(options.version, report),
        expires_ms=declared.expires_ms_of(options.expires, report),
        files=declared.files_of(options.files, report),
        env=declared.env_of(options.env, report),
        depends=declared.depends_of(options.depends, report),
        environment=declared.environment_of(options.environment, report),
    )


def labels_of(labels: Any, report: Report) -> Mapping[str, str]:
    """Labels as a mapping of text to text."""
    if not labels:
        return model.NOTHING
    texts = [part for pair in labels.items() for part in pair] if isinstance(labels, Mapping) else [None]
    if any(isinstance(text, str) and MARK in text for text in texts):
        report("bad-label", "a label holds a value that only a run knows", "Label with what is known now.")
        return model.NOTHING
    if all(isinstance(text, str) for text in texts):
        return dict(labels)
    report("bad-label", f"labels must be a dict of text to text, not {labels!r}", 'Write labels={"team": "growth"}.')
    return model.NOTHING


def limit_of(what: str, given: Any, minimum: int, report: Report) -> int | None:
    """A whole number of at least `minimum`, or None for a mistake, which is recorded."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= minimum:
        return given
    report(
        "bad-limit",
        f"{what} must be a whole number of at least {minimum}, not {given!r}",
        f"Give {what}={minimum} or more.",
    )
    return None


_FIX_BY_AMOUNT: Mapping[str, str] = {
    "cpu": "Give a number of cores, such as cpu=2 or cpu=0.5.",
    "memory": 'Give bytes or text, such as memory="4GiB".',
    "gpu": 'Give a number of GPUs, a share of one, or both parts: gpu=1, gpu=0.5, gpu={"count": 2, "memory": "40GiB"}.',
    "gpu memory": 'Give bytes or text, such as gpu={"count": 1, "memory": "40GiB"}.',
    "disk": 'Give bytes or text, such as disk="10GiB".',
    "timeout": 'Give seconds or text, such as timeout="10m".',
    "resource": "Give a number.",
}


_OWN_NAMES = ("cpu", "memory", "gpu", "disk")


def _graph_policy(component: model.Work | model.Graph | None) -> model.Policy:
    """A nested pipeline keeps the limit that it declares for itself."""
    if isinstance(component, model.Graph) and component.timeout_ms is not None:
        return model.Policy(timeout_ms=component.timeout_ms)
    return model.DEFAULT_POLICY


def _resources(
    options: Options,
    base: model.Resources | None,
    amount: Callable[[str, Any, Callable[[Any], float]], Any],
    report: Report,
) -> model.Resources | None:
    given: dict[str, Any] = {}
    if isinstance(options.resources, Resources):
        own = options.resources
        given = {**{name: getattr(own, name) for name in _OWN_NAMES}, **own.custom}
    elif isinstance(options.resources, Mapping):
        given = {str(name): value for name, value in options.resources.items()}
    elif options.resources is not None:
        report(
            "bad-resources",
            f"resources: {options.resources!r} is neither a dict nor Resources(...)",
            'Write resources={"licence": 1} or resources=Resources(cpu=2, licence=1).',
        )
    given.update({name: getattr(options, name) for name in _OWN_NAMES if getattr(options, name) is not None})
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    made = base or model.Resources()
    custom = dict(made.custom)
    for name, value in given.items():
        if name == "cpu":
            made = replace(made, cpu=_or(amount("cpu", value, _number), made.cpu))
        elif name == "memory":
            made = replace(made, memory_bytes=_or(amount("memory", value, _memory), made.memory_bytes))
        elif name == "disk":
            made = replace(made, disk_bytes=_or(amount("disk", value, _memory), made.disk_bytes))
        elif name == "gpu":
            made = replace(made, gpu=_or(_gpu(value, amount, report), made.gpu))
        elif name == "custom" and isinstance(value, Mapping):
            example = ", ".join(f"{key}={amount!r}" for key, amount in value.items())
            report("bad-resources", "resources: there is no argument `custom`", f"Write Resources({example}).")
        else:
            custom[name] = _or(amount("resource", value, _number), 0.0)
    return replace(made, custom=custom)


def _gpu(given: Any, amount: Callable[[str, Any, Callable[[Any], float]], Any], report: Report) -> model.Gpu | None:
    """GPUs as a number, or as `{"count": ..., "memory": ...}` with memory for each; None for a mistake."""
    parts = given if isinstance(given, Mapping) else {"count": given}
    unknown = sorted(str(name) for name in parts if name not in ("count", "memory"))
    if unknown or not parts:
        what = f"gpu: no such part: {', '.join(unknown)}" if unknown else "gpu: an empty dict says nothing"
        report("bad-resources", what, _FIX_BY_AMOUNT["gpu"])
        return None
    count = amount("gpu", parts.get("count", 1), _gpus)
    memory = amount("gpu memory", parts["memory"], _memory) if parts.get("memory") is not None else None
    return None if count is None else model.Gpu(count, memory)


def _gpus(given: Any) -> float:
    count = _number(given)
    if count > 1 and count != int(count):
        raise ValueError(f"{count:g} is neither whole devices nor a share of one")
    return count


def _retry(given: Any, report: Report) -> model.Retry:
    retry = Retry(given) if isinstance(given, int) and not isinstance(given, bool) else given
    default = model.Retry()
    if not isinstance(retry, Retry):
        report(
            "bad-retry", f"retry: {given!r} is neither a number nor Retry(...)", "Write retry=3 or retry=Retry(3, ...)."
        )
        return default

    def checked(name: str, parse: Callable[[Any], Any], otherwise: Any) -> Any:
        try:
            return parse(getattr(retry, name))
        except ValueError as error:
            report("bad-retry", f"retry: {name}: {error}", "See the documentation of Retry for what it takes.")
            return otherwise

    return model.Retry(
        attempts_max=checked("attempts", _count(1), default.attempts_max),
        backoff_ms=checked("backoff", duration_ms, default.backoff_ms),
        factor=checked("factor", _between(1.0, 1e6), default.factor),
        backoff_max_ms=checked("backoff_max", duration_ms, default.backoff_max_ms),
        jitter=checked("jitter", _between(0.0, 1.0), default.jitter),
        retry_on=checked("on", _exception_names, default.retry_on),
        oom_max=checked("oom_max", _count(0), default.oom_max),
        lost_max=checked("lost_max", _count(0), default.lost_max),
    )


def _exception_names(given: Any) -> tuple[str, ...]:
    several: Iterable[Any] = given if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    names = []
    for one in several:
        if isinstance(one, str) and one:
            names.append(one)
        elif isinstance(one, type) and issubclass(one, BaseException):
            names.append(public_name(one).removeprefix("builtins:"))
        else:
            raise ValueError(f"{one!r} is no exception class")
    return tuple(names)


def _count(minimum: int) -> Callable[[Any], int]:
    def parse(given: Any) -> int:
        if isinstance(given, int) and not isinstance(given, bool) and given >= minimum:
            return given
        raise ValueError(f"must be a whole number of at least {minimum}, not {given!r}")

    return parse


def _between(low: float, high: float) -> Callable[[Any], float]:
    def parse(given: Any) -> float:
        if isinstance(given, (int, float)) and not isinstance(given, bool) and low <= given <= high:
            return float(given)
        raise ValueError(f"must be a number from {low:g} to {high:g}, not {given!r}")

    return parse


def _number(given: Any) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < 1e9:
        return float(given)
    raise ValueError(f"not an amount: {given!r}")


def _memory(given: Any) -> int:
    size = size_bytes(given)
    if size == 0:
        raise ValueError("no attempt can run in 0 bytes")
    return size


def _or(amount: Any, otherwise: Any) -> Any:
    return otherwise if amount is None else amount


def _plain(given: Any, kind: type, what: str, report: Report) -> Any:
    if given is None or type(given) is kind:
        return given
    word = "true or false" if kind is bool else "a whole number"
    report("bad-option", f"{what} must be {word}, not {given!r}", f"Give {what}={'True' if kind is bool else '10'}.")
    return None


def _refs(after: Any, report: Report) -> Sequence[NodeRef]:
    if after is None:
        return ()
    refs = []
    for handle in after if isinstance(after, (list, tuple)) else (after,):
        ref = ref_of(handle) if isinstance(handle, Handle) else None
        if ref is not None:
            refs.append(ref)
        elif not isinstance(handle, Handle) or value_of(handle).owner is not None:
            report(
                "bad-after",
                f"after: {handle!r} is not what a task gave",
                "Give what calls of tasks return: after=[load].",
            )
    return refs


def _condition(when: Any) -> Scoped | None:
    return None if when is None else as_scoped(when)


def _trigger(given: Any, report: Report) -> model.Trigger:
    if given is None:
        return model.Trigger.ALL_SUCCEEDED
    try:
        return model.Trigger(given)
    except ValueError:
        report(
            "unknown-trigger", f"there is no trigger {given!r}", nearest(str(given), [str(t) for t in model.Trigger])
        )
        return model.Trigger.ALL_SUCCEEDED


def _bound(building: Building, handle: Handle, what: str) -> Value:
    return building.builder.bring(value_of(handle), called=what)
