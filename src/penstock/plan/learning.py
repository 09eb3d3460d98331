"""What earlier runs have taught about the memory of components, as data that a run is submitted with (semantics 29): a hint for
packing where nobody declared anything, and the sizes that worked after an attempt ran out of memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.plan.model import NOTHING_REMEMBERED, Amounts, PlanGraph, Remembered

MEMORY_HINT = "memory_hint"
"""The amount that stands for memory that nobody declared: room is kept for it, and nothing is killed for more."""

HEADROOM = 1.2
"""A hint is the learned 95th percentile of peaks times this."""

Durations = Mapping[str, tuple[int, float]]
"""By component: how many attempts succeeded, and their mean duration in microseconds."""

Memories = Mapping[str, Remembered]


def input_class(input_bytes: int) -> int:
    """Inputs of the same power of two are of one class: 0 for none, 1 for one byte, 31 for 1 to 2 GiB."""
    return input_bytes.bit_length()


def start_bytes(remembered: Remembered, input_bytes: int) -> int:
    """What worked for inputs of this class or a smaller one: larger inputs need no less. 0: nothing ran out of memory."""
    class_ = input_class(input_bytes)
    return max((memory for known, memory in remembered.worked if known <= class_), default=0)


def hint_of(peak_bytes: int) -> int:
    return int(peak_bytes * HEADROOM)


def hinted(amounts: Amounts, remembered: Remembered) -> Amounts:
    """Amounts with the hint, where they declare no memory and there is one."""
    if not remembered.hint_bytes or any(name == "memory" for name, _ in amounts):
        return amounts
    return tuple(sorted((*amounts, (MEMORY_HINT, remembered.hint_bytes))))


def remember(plan: PlanGraph, memories: Memories, largest: int | None) -> None:
    """Give every node what is known of its component. Nothing that worked elsewhere is more than there is here."""
    for entry in plan.nodes:
        known = memories.get(entry.component, NOTHING_REMEMBERED) if entry.request is not None else NOTHING_REMEMBERED
        if largest is not None:
            worked = tuple((class_, min(memory, largest)) for class_, memory in known.worked)
            known = Remembered(known.hint_bytes, worked)
        entry.remembered = known
        if entry.amounts is not None:
            entry.amounts = hinted(entry.amounts, known)


def learned_to_json(durations: Durations, memories: Memories) -> dict[str, Any]:
    """By component `[attempts, mean_us, hint_bytes, [[input class, bytes], ...]]`: what a run keeps of what was known when it was
    submitted, so that it decides the same whenever it is resumed."""
    data = {}
    for component in sorted({*durations, *memories}):
        count, mean = durations.get(component, (0, 0.0))
        known = memories.get(component, NOTHING_REMEMBERED)
        data[component] = [count, mean, known.hint_bytes, [list(pair) for pair in known.worked]]
    return data


def learned_from_json(data: Mapping[str, Any]) -> tuple[Durations, Memories]:
    durations = {component: (count, mean) for component, (count, mean, _, _) in data.items() if count}
    memories = {
        component: Remembered(hint, tuple((class_, memory) for class_, memory in worked))
        for component, (_, _, hint, worked) in data.items()
        if hint or worked
    }
    return durations, memories
