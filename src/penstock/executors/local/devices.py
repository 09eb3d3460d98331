"""The GPUs that one executor leases: which attempt has which, from its lease until its process has gone, and what it used of
them. The host's ledger keeps what other executors may not take meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from penstock.executors.local.gpus import Device, DeviceUse, GpuSource, chosen
from penstock.executors.local.intake import FRESH
from penstock.executors.local.ledger import Ledger
from penstock.launcher.outer.devices import VISIBLE
from penstock.launcher.outer.processes import descendants_of
from penstock.wire import Usage

SAMPLE_S = 0.25
"""How often devices are looked at while an attempt has some."""

WHOLE = 1000
PREFIX = "gpu:"


def amounts_of(devices: Sequence[Device]) -> dict[str, int]:
    """What an executor says of its devices: thousandths, and bytes."""
    shares = {PREFIX + device.uuid: WHOLE for device in devices}
    return shares | {f"gpu_memory:{device.uuid}": device.memory_bytes for device in devices}


def find_devices(source: GpuSource, *, setting: str) -> tuple[Device, ...]:
    """The devices that an executor of this process may lease (`gpus.chosen`)."""
    return chosen(source.devices(), setting=setting, visible=os.environ.get(VISIBLE))


@dataclass(slots=True)
class Lease:
    """What one attempt has of devices. `ended`: the attempt has, its process may still be there."""

    shares: Mapping[str, int]
    ended: bool = False
    before: dict[str, int] = field(default_factory=dict)
    """Bytes taken on each device before it began."""
    memory_bytes_peak: int = 0
    percents: list[float] = field(default_factory=list)


class Leases:
    def __init__(self, source: GpuSource, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger
        self._leases: dict[str, Lease] = {}
        self.sample_at = float("inf")

    def take(self, attempt_id: str, amounts: Iterable[tuple[str, int]]) -> str:
        """Lease the devices that an attempt names, if it names any; why it cannot have them, if it cannot."""
        shares = {name: amount for name, amount in amounts if name.startswith(PREFIX)}
        if not shares:
            return ""
        lease = Lease(shares)
        live = [each for each in self._leases.values() if not each.ended]
        refusal = self._ledger.lease(_sum([*live, lease]), noted=_sum([*self._leases.values(), lease]))
        if refusal:
            return refusal
        lease.before = {name: self._use(name).memory_bytes for name in shares}
        self._leases[attempt_id] = lease
        self.sample_at = min(self.sample_at, time.monotonic() + SAMPLE_S)
        return ""

    def may_begin(self, attempt_id: str) -> bool:
        """Whether no process of an attempt that has ended holds memory on this one's devices any more."""
        own = self._leases.get(attempt_id)
        return own is None or not any(
            name in other.shares for name in own.shares for other in self._leases.values() if other.ended
        )

    def ended(self, attempt_id: str, *, gone: bool) -> None:
        """An attempt has ended; `gone`: it has no process."""
        lease = self._leases.get(attempt_id)
        if lease is not None:
            lease.ended = True
            if gone:
                self.gone(attempt_id)

    def gone(self, attempt_id: str) -> None:
        """The attempt's process has gone: its devices are anybody's."""
        if self._leases.pop(attempt_id, None) is not None:
            self._ledger.note(_sum(self._leases.values()))
            if not self._leases:
                self.sample_at = float("inf")

    def sample(self, pid_by_pool: Mapping[str, int]) -> None:
        """Look at what the attempts that run use now. `pid_by_pool`: workers, by the key of their pool."""
        self.sample_at = time.monotonic() + SAMPLE_S
        uses: dict[str, DeviceUse] = {}
        for attempt_id, lease in self._leases.items():
            pid = pid_by_pool.get(FRESH + attempt_id)
            if pid is None or lease.ended:
                continue
            tree = {pid, *descendants_of(pid)}
            memory, percents = 0, list[float]()
            for name in lease.shares:
                use = uses.get(name) or uses.setdefault(name, self._use(name))
                alone = sum(name in other.shares for other in self._leases.values()) == 1
                memory += _memory_of(use, tree, before=lease.before[name] if alone else None)
                percents += _percents_of(use, tree, alone=alone)
            lease.memory_bytes_peak = max(lease.memory_bytes_peak, memory)
            if percents:
                lease.percents.append(sum(percents) / len(lease.shares))

    def used(self, attempt_id: str, usage: Usage) -> Usage:
        """An attempt's usage, with what was seen of it on its devices."""
        lease = self._leases.get(attempt_id)
        if lease is None:
            return usage
        mean = sum(lease.percents) / len(lease.percents) if lease.percents else 0.0
        return replace(usage, gpu_memory_bytes_peak=lease.memory_bytes_peak, gpu_percent_mean=round(mean, 1))

    def close(self) -> None:
        self._source.close()

    def _use(self, name: str) -> DeviceUse:
        with suppress(KeyError):
            return self._source.use(name.removeprefix(PREFIX))
        return DeviceUse()


def _sum(leases: Iterable[Lease]) -> dict[str, int]:
    total: dict[str, int] = {}
    for lease in leases:
        for name, share in lease.shares.items():
            total[name] = total.get(name, 0) + share
    return total


def _memory_of(use: DeviceUse, tree: set[int], *, before: int | None) -> int:
    """Bytes that a process tree has on a device. Where processes cannot be told apart (`before` is known where the device is
    this attempt's alone): what has come since."""
    own = sum(amount for pid, amount in use.memory_bytes_by_pid.items() if pid in tree)
    return own or (max(0, use.memory_bytes - before) if before is not None else 0)


def _percents_of(use: DeviceUse, tree: set[int], *, alone: bool) -> Iterator[float]:
    own = [percent for pid, percent in use.percent_by_pid.items() if pid in tree]
    if own:
        yield min(100.0, sum(own))
    elif alone and use.percent is not None:
        yield use.percent
