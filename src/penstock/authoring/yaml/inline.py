"""Components that stand in the task that uses them: commands, and what a task says of its component's code."""

from __future__ import annotations

from typing import Any

from penstock.authoring.yaml.components import Components, scoped_specs, specs_of
from penstock.authoring.yaml.facts import only, words_of_command
from penstock.authoring.yaml.policies import DECLARED, Policies
from penstock.authoring.yaml.tree import Dictionary, Scalar, Source
from penstock.authoring.yaml.values import Values, split
from penstock.graph.builder import Scoped
from penstock.graph.model import Command
from penstock.graph.names import name_of_value


def declared_in_task(source: Source, part: Dictionary) -> dict[str, Any]:
    """What a task that holds its component says of that component's code, as fields of a policy."""
    given = Policies(source, None).given(Dictionary(only(part, ("cache", "environment")), 0, 0))
    return {name: given[name] for name in DECLARED if name in given}


def command_in_task(
    name: str, part: Dictionary, bound: dict[str, Scoped], values: Values, *, components: Components
) -> Command | None:
    """A command that stands in its task. What its words refer to beside its inputs become inputs, which `bound` then binds."""
    named: dict[str, str] = {}
    for scalar in words_of_command(part):
        try:
            pieces = split(scalar.text)
        except ValueError:
            continue  # told when the words are read
        for piece in pieces:
            text = piece.text.strip()
            if piece.is_reference and not text.startswith("inputs.") and text not in named:
                scoped = values.bound(Scalar(f"${{{text}}}", True, scalar.start, scalar.end))
                named[text] = _free(name_of_value(scoped.value, "value").replace("-", "_"), bound)
                bound[named[text]] = scoped
    specs = scoped_specs(specs_of(part.get("takes")), bound)
    declared = declared_in_task(values.scope.source, part)
    return components.command(name, part, specs, declared, refer=lambda text, _scalar: named.get(text))


def _free(base: str, bound: dict[str, Scoped]) -> str:
    name, number = base, 1
    while name in bound:
        number += 1
        name = f"{base}_{number}"
    return name
