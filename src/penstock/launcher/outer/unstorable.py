"""Outputs of tasks whose annotated type no form holds: told when the target is described, not when the work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from penstock.base.diagnostics import Diagnostic
from penstock.graph.model import Function, Policy
from penstock.graph.types import Type
from penstock.values.storable import unstorable


def unstorable_outputs(uses: Iterable[tuple[Function, Policy]]) -> Iterator[Diagnostic]:
    """An error for each output of a function in the project's own interpreter that cannot be stored."""
    seen: set[tuple[str, str]] = set()
    for function, policy in uses:
        if (function.module, function.name) in seen or policy.environment or function.policy.environment:
            continue
        seen.add((function.module, function.name))
        for output in function.outputs:
            type_ = _innermost(output.type)
            fix = None if type_.is_parameter or type_.form or ":" not in type_.name else unstorable(type_.name)
            if fix is not None:
                what = "returns" if output.name == "output" else f"returns as {output.name!r}"
                message = f"{function.name!r} {what} {output.type}, which no form can store"
                yield Diagnostic("unstorable-output", message, fix, function.location)


def _innermost(type_: Type) -> Type:
    while type_.item is not None:
        type_ = type_.item
    return type_
