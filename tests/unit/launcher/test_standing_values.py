"""A process in whose modules an attempt has changed something is not used again (cache rule 15)."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.testing.pythons import Project, pythons

MAIN = """
    import functools, itertools, logging, random, warnings
    from dataclasses import dataclass, field
    from penstock import pipeline, task

    count = unneeded = 0
    log = logging.getLogger(__name__)
    items = [1, [2]]
    table = {"a": {"b": 1}}
    seen = set()
    generator = random.Random(1)
    counter = itertools.count()

    @dataclass
    class Settings:
        depth: int = 3
        more: list = field(default_factory=list)

    settings = Settings()

    class Registry:
        known = []
        limit = 3
        __slots__ = ("inner",)
        def __init__(self): self.inner = {}

    registry = Registry()

    def remembering(function):
        memory = {}
        def wrapper(x):
            memory[x] = True
            return function(x)
        return wrapper

    def counting():
        n = 0
        def inner(x):
            nonlocal n
            n += x
            return n
        return inner

    @remembering
    def remembered(x): return x

    counted = counting()

    def with_default(x, known=[]):
        known.append(x)

    def with_attribute(x):
        with_attribute.calls = x

    @functools.lru_cache
    def cached(x):
        return x

    def helper(x): return x

    def never_called():
        import lazy

    @task(cache="trust")
    def do(what: str):
        log.warning("said")
        exec(what, globals(), {})
        return cached.cache_info().currsize

    @pipeline
    def main(what: str = ""):
        do(what)
"""


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).parent.parent.name)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    made = Project(tmp_path, request.param)
    made.write("main.py", MAIN)
    made.write("lazy.py", "import main\nmain.registry_of_lazy = None\nmain.table['lazy'] = 1\nvalue = []\n")
    return made


def do(what: str) -> dict[str, object]:
    return {"component": "main:do", "inputs": {"what": what}, "output": {"name": "any"}}


CHANGES = (
    "globals().update(count=count + 1)",
    "items.append(1)",
    "items[1].append(1)",
    "table['a']['b'] = 2",
    "seen.add(1)",
    "settings.depth = 4",
    "settings.more.append(1)",
    "registry.inner['x'] = 1",
    "Registry.known.append(1)",
    "Registry.limit = 4",
    "remembered(1)",
    "counted(1)",
    "with_default(1)",
    "with_attribute(1)",
    "generator.random()",
    "next(counter)",
    "globals().update(helper=lambda x: 2 * x)",
    "del globals()['unneeded']",
    "globals().update(new_name=1)",
)
NO_CHANGES = (
    "pass",
    "log.warning('again'); log.isEnabledFor(10)",
    "warnings.simplefilter('ignore'); warnings.warn('x')",
    "helper(3); len(items); table['a']",
    "Settings().more.append(1); Registry().inner['x'] = 1",
    "cached(1); cached(2)",
    "random.random()",
    "import json, csv",
)


def test_every_change_retires_the_process_and_nothing_else_does(project: Project) -> None:
    """All in one process, which the launcher only says should be replaced: each attempt is compared with what the one
    before it left."""
    calls = [do(what) for what in (*CHANGES, *NO_CHANGES)]
    told = {}
    for what, ended in zip((*CHANGES, *NO_CHANGES), project.run(*calls), strict=True):
        assert ended.outcome["kind"] == "succeeded", (what, ended.outcome)
        told[what] = ended.retire
    assert {what: retire for what, retire in told.items() if what in NO_CHANGES and retire} == {}
    assert {what: retire for what, retire in told.items() if what in CHANGES and not retire} == {}


def test_what_functools_caches_is_forgotten(project: Project) -> None:
    first, second = project.run(do("cached(1)"), do("cached(2)"))
    assert (first.value, second.value) == (1, 1)


def test_what_an_import_during_an_attempt_changes_is_no_change(project: Project) -> None:
    first, second, third = project.run(do("import lazy"), do("pass"), do("import lazy; lazy.value.append(1)"))
    assert (first.retire, second.retire) == (False, False)
    assert third.outcome["kind"] == "succeeded"
