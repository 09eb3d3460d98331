"""GPUs by name: which devices a request takes. Amounts of a request say `gpu` (thousandths of a device, all together) and
`gpu_memory` (bytes on each); those of an executor say for every device `gpu:UUID` (thousandths of it) and
`gpu_memory:UUID` (its bytes); those of an attempt that was placed name devices only. A share of a device is a share of its
memory."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.base.sizes import size_text

WHOLE = 1000
DEVICE, DEVICE_MEMORY = "gpu:", "gpu_memory:"


def share_of(need: Mapping[str, int], device_bytes: int) -> int:
    """Thousandths of a device of that size that a request takes on each of its devices; more than there are, where it
    does not fit. A request of whole devices that says how much memory it needs leaves the rest of them to others."""
    count, memory = need["gpu"], need.get("gpu_memory")
    share = 0 if count >= WHOLE and memory else min(count, WHOLE)
    return max(share, -(-memory * WHOLE // max(1, device_bytes))) if memory else share


def placed(need: Mapping[str, int], free: Mapping[str, int]) -> Mapping[str, int] | None:
    """What a request takes when its GPUs have names; None: it does not fit into what is free. Of the devices that have
    room, those are taken that have the least: so whole ones stay whole."""
    for name, amount in need.items():  # plain loops: this is asked several times a task
        if amount > free.get(name, 0) and name != "gpu" and name != "gpu_memory":
            return None
    return on_devices(need, free) if "gpu" in need else need


def on_devices(need: Mapping[str, int], free: Mapping[str, int]) -> Mapping[str, int] | None:
    """The request with its GPUs named; None: not so many devices have room for it."""
    count = devices_of(need)
    fitting = []
    for name, left in free.items():
        if name.startswith(DEVICE):
            share = share_of(need, free.get(DEVICE_MEMORY + name[len(DEVICE) :], 0))
            if 0 < share <= left:
                fitting.append((left, name, share))
    if len(fitting) < count:
        return None
    taken = {name: amount for name, amount in need.items() if name != "gpu" and name != "gpu_memory"}
    taken.update((name, share) for _, name, share in sorted(fitting)[:count])
    return taken


def devices_of(need: Mapping[str, int]) -> int:
    """How many devices a request takes: a share of one is one."""
    return -(-need["gpu"] // WHOLE)


def gpus_after(amounts: Mapping[str, int], device_bytes: int) -> dict[str, int]:
    """What to ask for after a GPU's memory was too little: twice the share of a device, twice the memory on each, at most a
    whole device of the largest, `device_bytes`. Empty: there is no more to ask for."""
    share, memory = amounts.get("gpu", 0), amounts.get("gpu_memory", 0)
    grown = {"gpu": min(2 * share, WHOLE), "gpu_memory": min(2 * memory, device_bytes)}
    return {name: amount for name, amount in grown.items() if amount > amounts.get(name, 0)}


def gpus_lacking(need: Mapping[str, int], capacity: Mapping[str, int]) -> str:
    """What of a request for GPUs no executor could ever meet, as text; empty when it could be met."""
    if "gpu" not in need:
        return ""
    sizes = sorted((capacity[name] for name in capacity if name.startswith(DEVICE_MEMORY)), reverse=True)
    memory = need.get("gpu_memory", 0)
    enough = sum(share_of(need, size) <= WHOLE for size in sizes)
    if enough >= devices_of(need):
        return ""
    asked = f"{need['gpu'] / WHOLE:g} gpu" + (f" with {size_text(memory)} memory each" if memory else "")
    if not sizes:
        return f"{asked}, and there is no GPU"
    largest = f"{enough} with {size_text(sizes[enough - 1])}" if enough else f"1 with {size_text(sizes[0])}"
    return f"{asked}, the largest there is: {largest}"
