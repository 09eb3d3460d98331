"""Policies as the keys of a task or component: what differs from what is taken over, the inverse of `policies`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from penstock.graph.bindings import Expression, Value
from penstock.graph.expression.tree import Literal, Operation
from penstock.graph.model import DEFAULT_POLICY, Gpu, Policy, Resources, Retry

Amount = Callable[[Value], str]

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
_UNITS_BYTES = tuple((f"{letter}iB", 1024**power) for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")))
_RETRY_KEYS = {
    "attempts_max": "attempts", "backoff_ms": "backoff", "factor": "factor", "backoff_max_ms": "backoff_max",
    "jitter": "jitter", "retry_on": "on", "oom_max": "oom_max", "lost_max": "lost_max",
}  # fmt: skip
_CACHE_KEYS = {
    "cache": "use",
    "version": "version",
    "expires_ms": "expires",
    "files": "files",
    "env": "env",
    "depends": "depends",
}


def written_policy(
    policy: Policy, amount: Amount, *, base: Policy = DEFAULT_POLICY, resources: Resources | None = None
) -> dict[str, Any]:
    """The keys that make `policy` of `base`; null takes back what `base` says. Resources are laid over `resources`, else over
    those of `base`."""
    data: dict[str, Any] = {}
    if policy.resources != base.resources:
        own = policy.resources
        data["resources"] = None if own is None else _resources(own, resources or base.resources or Resources(), amount)
    if policy.retry != base.retry:
        data["retry"] = None if policy.retry is None else _retry(policy.retry)
    if policy.timeout_ms != base.timeout_ms:
        data["timeout"] = None if policy.timeout_ms is None else _timeout(policy.timeout_ms, amount)
    for name in ("priority", "fresh"):
        if getattr(policy, name) != getattr(base, name):
            data[name] = getattr(policy, name)
    cache = {
        key: _cache_value(name, getattr(policy, name))
        for name, key in _CACHE_KEYS.items()
        if getattr(policy, name) != getattr(base, name)
    }
    if cache:
        data["cache"] = cache["use"] if list(cache) == ["use"] and cache["use"] is not None else cache
    if policy.environment != base.environment:
        environment = policy.environment
        data["environment"] = None if environment is None else {
            name: given
            for name in ("python", "packages", "requirements")
            if (given := _plain(getattr(environment, name)))
        }  # fmt: skip
    return data


def duration_text(duration_ms: int) -> int | str:
    for unit, length in _UNITS_MS:
        if duration_ms >= length and duration_ms % length == 0:
            return f"{duration_ms // length}{unit}"
    return f"{duration_ms}ms"


def size_word(amount_bytes: int) -> int | str:
    for unit, length in _UNITS_BYTES:
        if amount_bytes >= length and amount_bytes % length == 0:
            return f"{amount_bytes // length}{unit}"
    return amount_bytes


def _plain(given: Any) -> Any:
    return list(given) if isinstance(given, tuple) else given


def _cache_value(name: str, given: Any) -> Any:
    if name == "expires_ms" and given is not None:
        return duration_text(given)
    return _plain(given)


def _number(given: float | Value | None, amount: Amount) -> Any:
    if given is None or isinstance(given, (int, float)):
        return int(given) if isinstance(given, float) and given.is_integer() and abs(given) < 1e15 else given
    return amount(given)


def _size(given: int | Value | None, amount: Amount) -> Any:
    return size_word(given) if isinstance(given, int) else _number(given, amount)


def _resources(own: Resources, base: Resources, amount: Amount) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if own.cpu != base.cpu:
        data["cpu"] = _number(own.cpu, amount)
    if own.memory_bytes != base.memory_bytes:
        data["memory"] = _size(own.memory_bytes, amount)
    if own.disk_bytes != base.disk_bytes:
        data["disk"] = _size(own.disk_bytes, amount)
    if own.gpu != base.gpu:
        data["gpu"] = None if own.gpu is None else _gpu(own.gpu, amount)
    for name, given in own.custom.items():
        if name not in base.custom or base.custom[name] != given:
            data[name] = _number(given, amount)
    data.update({name: None for name in base.custom if name not in own.custom})
    return data or {"cpu": _number(own.cpu, amount)}


def _gpu(gpu: Gpu, amount: Amount) -> Any:
    count = _number(gpu.count, amount)
    return count if gpu.memory_bytes is None else {"count": count, "memory": _size(gpu.memory_bytes, amount)}


def _retry(retry: Retry) -> Any:
    default, data = Retry(), {}
    for field in fields(Retry):
        given = getattr(retry, field.name)
        if given != getattr(default, field.name):
            data[_RETRY_KEYS[field.name]] = duration_text(given) if field.name.endswith("_ms") else _plain(given)
    if not data:
        return 1
    return data["attempts"] if list(data) == ["attempts"] else data


def _timeout(timeout: int | Value, amount: Amount) -> Any:
    if isinstance(timeout, int):
        return duration_text(timeout)
    if isinstance(timeout, Expression):
        match timeout.tree:
            case Operation("int", (Operation("_*_", (Operation("double", (seconds,)), Literal(1000.0))),)):
                from penstock.graph.expression.tree import Reference

                return amount(seconds.value if isinstance(seconds, Reference) else Expression(seconds))
            case _:
                pass
    return {"milliseconds": amount(timeout)}
