"""The graph: what was asked for, typed, frozen and nested. A node may hold graphs, so nesting is one idea used
everywhere.

Everything here is data. `graph.builder` makes it, `graph.check` judges it, `graph.codec` writes, reads and digests it.
Locations, labels and descriptions are carried along and never part of a graph's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.base.diagnostics import Location
from penstock.graph.bindings import Constant, Input, Value
from penstock.graph.types import Type

NOTHING: Mapping[str, str] = {}
NO_WORDS: Mapping[str, tuple[str | Input, ...]] = {}


class Trigger(StrEnum):
    """When a node may run, as a function of how its upstreams ended (semantics 6)."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_ENDED = "all_ended"
    NONE_FAILED = "none_failed"
    ONE_SUCCEEDED = "one_succeeded"
    ONE_FAILED = "one_failed"
    NONE_FAILED_ONE_SUCCEEDED = "none_failed_one_succeeded"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """A typed input. `default` is None when a value must be given (a default of null is `Constant(None)`)."""

    name: str
    type: Type
    default: Constant | None = None


@dataclass(frozen=True, slots=True)
class OutputSpec:
    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Gpu:
    """GPUs of one machine: `count` whole devices, or a share of one where it is below 1 (by memory). `memory_bytes` is
    what is needed on each device: the device may then be shared with others that leave so much."""

    count: float | Value = 1
    memory_bytes: int | Value | None = None


NO_GPU = Gpu(0)
GPU_NAMES = ("gpu", "gpu_memory")


@dataclass(frozen=True, slots=True)
class Resources:
    """What one attempt needs. A Value is evaluated when the task run becomes ready. `memory_bytes` None: not declared,
    never enforced; `disk_bytes` bounds what the attempt writes below its own folder, None: not at all. `custom` are
    amounts of named resources that the settings declare (licences, tokens, ...)."""

    cpu: float | Value = 1.0
    memory_bytes: int | Value | None = None
    custom: Mapping[str, float | Value] = field(default_factory=dict)
    gpu: Gpu | None = None
    disk_bytes: int | Value | None = None

    def amounts(self) -> dict[str, float | Value]:
        """All that is asked for, by name, custom resources last: `gpu` counts devices, `gpu_memory` is bytes on each."""
        gpu = self.gpu or NO_GPU
        asked = {"cpu": self.cpu, "memory": self.memory_bytes, "gpu_memory": gpu.memory_bytes, **self.custom}
        if self.gpu is not None:
            asked["gpu"] = gpu.count
        return {name: amount for name, amount in asked.items() if amount is not None}

    def said(self) -> dict[str, float | Value]:
        """The amounts, and what is a limit only: `disk`, which is nobody's to reserve."""
        amounts = self.amounts()
        return amounts if self.disk_bytes is None else {**amounts, "disk": self.disk_bytes}


@dataclass(frozen=True, slots=True)
class Environment:
    """An isolated set of packages that a component runs in, built once per content. `python` is a version ("3.12") or
    empty for the project's own; `packages` are requirements as pip reads them; `requirements` the path of a requirements
    file, relative to the project."""

    python: str = ""
    packages: tuple[str, ...] = ()
    requirements: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts_max` counts Failed and TimedOut attempts, the first included. The wait before attempt n+1 is
    `backoff_ms × factor^(n-1)`, at most `backoff_max_ms`, times a seeded factor in [1-jitter, 1+jitter]. `retry_on` are
    names of exception classes (`ValueError`, `module:Name`), matched against the class and its bases; empty: every
    exception."""

    attempts_max: int = 1
    backoff_ms: int = 1_000
    factor: float = 2.0
    backoff_max_ms: int = 300_000
    jitter: float = 0.1
    retry_on: tuple[str, ...] = ()
    oom_max: int = 3
    lost_max: int = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """How a node is run; none of it is part of what it computes. On a component it is the default for its calls; a
    field that a node leaves at None takes the component's, then the default. `timeout_ms` bounds each attempt of a
    function, and the whole of a node with a graph. `fresh` asks for a process of its own for each attempt."""

    resources: Resources | None = None
    retry: Retry | None = None
    timeout_ms: int | Value | None = None
    priority: int | None = None
    cache: bool | str | None = None
    fresh: bool | None = None
    version: str | None = None
    expires_ms: int | None = None
    files: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    environment: Environment | None = None


DEFAULT_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Order:
    """When a node may run: `after` are names of nodes without a data edge, `when` must hold once its inputs exist."""

    after: tuple[str, ...] = ()
    when: Value | None = None
    trigger: Trigger = Trigger.ALL_SUCCEEDED


DEFAULT_ORDER = Order()


@dataclass(frozen=True, slots=True)
class Function:
    """A component: a Python function by module and qualified name. `source_file` helps a reader find it; not
    identity."""

    module: str
    name: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    policy: Policy = DEFAULT_POLICY
    location: Location | None = field(default=None, compare=False)
    description: str = field(default="", compare=False)


Word = tuple[str | Input, ...]
"""One argument of a command: text and the component's own inputs, joined. A value is written as CEL's `string()` writes
it, null as nothing, an artifact as the path of its file. An argument that is one input alone and a list is one argument
for each item; null, and an empty list, are none."""


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """Where an output of a command comes from. `source`: "file" (the file or folder at `path`), "json" (the value under
    `key` of the JSON object in the file at `path`; without a key the whole of it), "last_line" (of standard output, read
    as the type), "stdout" (all of it). Paths are relative to the attempt's own folder, where the command runs."""

    name: str
    type: Type
    source: str
    path: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A component: a program and its arguments, or text for a shell. With `argv` no shell sees anything; with `script`
    (the author wrote `shell: true`) the inputs are environment variables of their names, never pasted into the text.
    `env` sets variables; `given` maps inputs to files of the attempt's folder that hold their values (text for text,
    JSON for other parameters, the file itself for an artifact). An artifact in a Word is the path where it lies."""

    name: str
    argv: tuple[Word, ...]
    inputs: tuple[InputSpec, ...]
    outputs: tuple[CommandOutput, ...]
    script: str = ""
    env: Mapping[str, Word] = field(default_factory=lambda: NO_WORDS)
    given: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    policy: Policy = DEFAULT_POLICY
    location: Location | None = field(default=None, compare=False)
    description: str = field(default="", compare=False)


Work = Function | Command
"""A component that does something itself; the other kind, a graph, holds others."""


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a component, its inputs bound by name. A component that is a graph makes a nested pipeline."""

    name: str
    component: Work | Graph
    inputs: Mapping[str, Value]
    order: Order = DEFAULT_ORDER
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, compare=False)
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Map:
    """The body once per item of a list. `inputs` binds the body's inputs; `Item()` and `Index()` may stand in them.
    Outputs: every body output as a list in item order, and `indexes: list[int]`. `parallel_max` None: as capacity
    allows."""

    name: str
    body: Graph
    items: Value
    inputs: Mapping[str, Value]
    parallel_max: int | None = None
    failures_max: int = 0
    order: Order = DEFAULT_ORDER
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, compare=False)
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a `Branch`; `when` None means otherwise. `inputs` binds the body's inputs."""

    when: Value | None
    body: Graph
    inputs: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Branch:
    """The first case whose condition holds. Outputs: those of every case by name; the ones of cases not taken are
    absent."""

    name: str
    cases: tuple[Case, ...]
    order: Order = DEFAULT_ORDER
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, compare=False)
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Loop:
    """The body again and again (do-until). `carry` maps an output of the body to the input that it feeds in the next
    round; `until` reads the round just ended as `Output("", name)`. Outputs: the last round's, with `met: bool` and
    `rounds: int`. `exhausted`: what `rounds_max` rounds without `until` mean, "succeed" or "fail"."""

    name: str
    body: Graph
    inputs: Mapping[str, Value]
    carry: Mapping[str, str]
    until: Value | None
    rounds_max: int
    exhausted: str = "succeed"
    order: Order = DEFAULT_ORDER
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, compare=False)
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Finally:
    """Runs when every node in `watch` has ended, however it ended, also when the run is cancelled or fails fast. It
    never watches another `Finally`. An input whose producer has no value takes its default, or the node is skipped."""

    name: str
    component: Work | Graph
    inputs: Mapping[str, Value]
    watch: tuple[str, ...]
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, compare=False)
    location: Location | None = field(default=None, compare=False)


Node = Call | Map | Branch | Loop | Finally


@dataclass(frozen=True, slots=True)
class GraphOutput:
    name: str
    type: Type
    value: Value


@dataclass(frozen=True, slots=True)
class Graph:
    """Typed inputs, nodes in the order they were written, outputs. `fail_fast`: the first failed node cancels the rest.
    `timeout_ms` bounds a run of this graph as the root; a node that holds it has its own in `policy`."""

    name: str
    inputs: tuple[InputSpec, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[GraphOutput, ...]
    fail_fast: bool = False
    timeout_ms: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING, compare=False)
    location: Location | None = field(default=None, compare=False)
    description: str = field(default="", compare=False)

    def _repr_html_(self) -> str:
        """What a notebook shows: a drawing."""
        from penstock.graph.drawing import svg_of

        return svg_of(self)


def bodies_of(node: Node) -> tuple[tuple[Graph, Mapping[str, Value]], ...]:
    """The graphs that a node holds, each with what binds its inputs."""
    if isinstance(node, (Map, Loop)):
        return ((node.body, node.inputs),)
    if isinstance(node, Branch):
        return tuple((case.body, case.inputs) for case in node.cases)
    return ((node.component, node.inputs),) if isinstance(node.component, Graph) else ()


def outputs_of(node: Node) -> dict[str, Type]:
    """The outputs that a node offers to others, with their types."""
    if isinstance(node, Map):
        collected = {o.name: Type("list", item=o.type) for o in node.body.outputs}
        return {**collected, "indexes": Type("list", item=Type("int"))}
    if isinstance(node, Branch):
        return {o.name: o.type for case in reversed(node.cases) for o in case.body.outputs}
    if isinstance(node, Loop):
        return {**{o.name: o.type for o in node.body.outputs}, "met": Type("bool"), "rounds": Type("int")}
    return {o.name: o.type for o in node.component.outputs}
