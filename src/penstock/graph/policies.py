"""Policies as JSON, and what can be wrong with what they declare for the cache. A policy belongs to a graph's identity as a
whole; what of it counts as a change of a component is the affair of `plan` and `code`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.base.secrets import MARK, is_variable
from penstock.graph.bindings import Value
from penstock.graph.model import GPU_NAMES, Environment, Gpu, Policy, Resources, Retry

VERSION_LENGTH_MAX = 200
DECLARED_MAX = 1_000
"""So many files, variables or dependencies a component can declare."""

PYTHON_MIN = (3, 11)
TRUST = "trust"
_NUMBERS = (int, float)
DECLARED = ("files", "env", "depends")
"""What a component declares beside its code; it belongs to components, not to their uses."""

_GLOB = re.compile(r"[*?\[]")
_PYTHON = re.compile(r"\d+\.\d+(\.\d+)?")
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*([\[<>=!~;@ ].*)?$"
)  # an option or an address is none
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

Json = dict[str, Any]
Report = Callable[[str, str, str], None]
"""Records (code, message, fix); the message reads on from the name of the node or component."""


def policy_to_json(policy: Policy, value_to_json: Callable[[Value], Json]) -> Json:
    """The fields that are set."""

    def amount(given: float | Value | None) -> Any:
        return given if given is None or isinstance(given, _NUMBERS) else value_to_json(given)

    data: Json = {}
    if policy.resources is not None:
        data["resources"] = {
            "cpu": amount(policy.resources.cpu),
            "memory_bytes": amount(policy.resources.memory_bytes),
            "custom": {name: amount(given) for name, given in policy.resources.custom.items()},
        }
        gpu = policy.resources.gpu
        if gpu is not None:
            data["resources"]["gpu"] = {"count": amount(gpu.count), "memory_bytes": amount(gpu.memory_bytes)}
        if policy.resources.disk_bytes is not None:
            data["resources"]["disk_bytes"] = amount(policy.resources.disk_bytes)
    if policy.retry is not None:
        retry = policy.retry
        data["retry"] = {name: getattr(retry, name) for name in Retry.__dataclass_fields__}
        data["retry"]["retry_on"] = list(retry.retry_on)
    if policy.timeout_ms is not None:
        data["timeout_ms"] = amount(policy.timeout_ms)
    for name in ("priority", "cache", "fresh", "version", "expires_ms"):
        setting = getattr(policy, name)
        if setting is not None:
            data[name] = setting
    for name in DECLARED:
        if getattr(policy, name):
            data[name] = list(getattr(policy, name))
    if policy.environment is not None:
        data["environment"] = environment_to_json(policy.environment)
    return data


def environment_to_json(environment: Environment) -> Json:
    return {
        "python": environment.python,
        "packages": list(environment.packages),
        "requirements": environment.requirements,
    }


def environment_from_json(data: Mapping[str, Any]) -> Environment:
    return Environment(data["python"], tuple(data["packages"]), data["requirements"])


def policy_from_json(data: Mapping[str, Any], value_from_json: Callable[[Mapping[str, Any]], Value]) -> Policy:
    def amount(given: Any) -> Any:
        return value_from_json(given) if isinstance(given, dict) else given

    resources, retry = data.get("resources"), data.get("retry")
    if resources is not None:
        custom = {name: amount(given) for name, given in resources["custom"].items()}
        gpu = resources.get("gpu")
        gpu = None if gpu is None else Gpu(amount(gpu["count"]), amount(gpu["memory_bytes"]))
        disk = amount(resources.get("disk_bytes"))
        resources = Resources(amount(resources["cpu"]), amount(resources["memory_bytes"]), custom, gpu, disk)
    return Policy(
        resources=resources,
        retry=None if retry is None else Retry(**{**retry, "retry_on": tuple(retry["retry_on"])}),
        timeout_ms=amount(data.get("timeout_ms")),
        priority=data.get("priority"),
        cache=data.get("cache"),
        fresh=data.get("fresh"),
        version=data.get("version"),
        expires_ms=data.get("expires_ms"),
        files=tuple(data.get("files", ())),
        env=tuple(data.get("env", ())),
        depends=tuple(data.get("depends", ())),
        environment=environment_from_json(data["environment"]) if "environment" in data else None,
    )


def check_gpu(resources: Resources, report: Report) -> None:
    """Report what is wrong with GPUs beyond the forms of numbers: whole devices or a share of one, and names that are
    not free."""
    count = resources.gpu.count if resources.gpu is not None else 0
    if isinstance(count, _NUMBERS) and count > 1 and count != int(count):
        report("bad-resources", f"asks for {count:g} GPUs", "Ask for whole GPUs, or for a share of one: gpu=0.5.")
    taken = [name for name in resources.custom if name in GPU_NAMES or ":" in name]
    if taken:
        fix = "Ask for GPUs with gpu=...; give resources of your own other names, without a colon."
        report("bad-resources", f"has a resource of its own named {taken[0]!r}", fix)


def check_cache_policy(policy: Policy, report: Report) -> None:
    """Report what is wrong with the fields that the cache reads."""
    if policy.cache is not None and type(policy.cache) is not bool and policy.cache != TRUST:
        report("bad-cache", f"has cache={policy.cache!r}", 'It is True, False or "trust".')
    version = policy.version
    if version is not None and (not isinstance(version, str) or not 0 < len(version) <= VERSION_LENGTH_MAX):
        fix = f"Give text of 1 to {VERSION_LENGTH_MAX} characters; another one makes everything run again."
        report("bad-version", f"has the version {version!r}", fix)
    expires = policy.expires_ms
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int) or expires <= 0):
        fix = 'Give a length of time above zero, such as expires="1d".'
        report("bad-expires", f"expires after {expires!r} ms", fix)
    for name in DECLARED:
        if len(getattr(policy, name)) > DECLARED_MAX:
            message = f"declares {len(getattr(policy, name)):,} {name}; at most {DECLARED_MAX:,} are allowed"
            report("too-many-declared", message, "Name a folder, or a module, that holds them.")
    for path in policy.files:
        complaint = file_complaint(path)
        if complaint:
            report("bad-file", f"declares the file {path!r}, which {complaint[0]}", complaint[1])
    for variable in policy.env:
        if not isinstance(variable, str) or not is_variable(variable):
            fix = f'Give the name alone, such as env=["MODE"]; "{MARK}NAME" marks one whose value is a secret.'
            report("bad-variable", f"declares {variable!r}, which is no name of an environment variable", fix)
    for dependency in policy.depends:
        if not isinstance(dependency, str) or not is_dependency(dependency):
            fix = 'Give the function, class or module itself, or text: "module" or "module:name".'
            report("bad-dependency", f"depends on {dependency!r}, which names no code", fix)


def check_environment(environment: Environment, report: Report) -> None:
    """Report what is wrong with an environment of a component's own."""
    if environment.python and not _PYTHON.fullmatch(environment.python):
        fix = 'Give a version such as "3.12".'
        report("bad-environment", f"asks for Python {environment.python!r}, which is no version", fix)
    for package in environment.packages:
        if not isinstance(package, str) or not _REQUIREMENT.match(package):
            fix = 'Give it as pip reads it, such as "numpy" or "numpy>=2,<3".'
            report("bad-environment", f"asks for the package {package!r}, which is no requirement", fix)
    if environment.requirements:
        complaint = file_complaint(environment.requirements)
        if complaint:
            message = f"asks for the requirements in {environment.requirements!r}, which {complaint[0]}"
            report("bad-environment", message, complaint[1])
    if not (environment.python or environment.packages or environment.requirements):
        fix = 'Give environment={"python": "3.12", "packages": ["numpy"]}, or leave it out.'
        report("bad-environment", "has an environment that says nothing", fix)


def is_too_old(environment: Environment) -> bool:
    """Whether functions cannot run in it: Penstock's own part of their process needs a newer Python."""
    version = tuple(int(part) for part in environment.python.split(".")[:2] if part.isdigit())
    return bool(version) and version < PYTHON_MIN


def file_complaint(path: Any) -> tuple[str, str] | None:
    """(what is wrong, what to do) with a path of a declared file or folder; None: nothing."""
    if not isinstance(path, str) or not path or "\0" in path:
        return "is no path", "Give text or a pathlib.Path, relative to the project."
    if path.startswith("~"):
        return "starts with ~, which means another folder for every user", "Give a path relative to the project."
    if ".." in path.split("/"):
        return "leads out of the project by '..'", "Give a path relative to the project, or an absolute one."
    if _GLOB.search(path):
        return "is a pattern", "Name the files one by one, or the folder: all that is in a folder counts."
    return None


def is_dependency(text: str) -> bool:
    """Whether text can name code: `module` or `module:name`, dots allowed in both."""
    module, colon, name = text.partition(":")
    return bool(_MODULE.fullmatch(module)) and (not colon or bool(_MODULE.fullmatch(name)))
