"""Values and nodes of graphs in the making: each knows in whose graph its names mean something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.base.diagnostics import Location
from penstock.graph.bindings import Output, StateOf, Value
from penstock.graph.model import DEFAULT_POLICY, NOTHING, Policy, Trigger
from penstock.graph.types import ANY, Type
from penstock.graph.value_types import UNKNOWN

if TYPE_CHECKING:
    from penstock.graph.builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Scoped:
    """A Value, its type, and the builder in whose graph its names mean something (None: it has no names)."""

    owner: GraphBuilder | None
    value: Value
    type: Type


UNKNOWN_SCOPED = Scoped(None, UNKNOWN, ANY)


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node of a builder's graph, and the types of the outputs it offers (a branch's grow as its values are used)."""

    owner: GraphBuilder
    name: str
    outputs: Mapping[str, Type]

    def output(self, name: str) -> Scoped:
        return Scoped(self.owner, Output(self.name, name), self.outputs[name])

    def state(self) -> Scoped:
        return self.owner.scoped(StateOf(self.name))


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What every node can be given besides its inputs. Values in `policy` already belong to the node's graph. `name`
    None: made from what the node does."""

    name: str | None = None
    after: Sequence[NodeRef] = ()
    when: Scoped | None = None
    trigger: Trigger = Trigger.ALL_SUCCEEDED
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    location: Location | None = None


NO_OPTIONS = NodeOptions()
