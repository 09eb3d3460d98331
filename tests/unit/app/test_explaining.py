"""What differs between two keys, and which entry is the nearest one."""

from __future__ import annotations

from dataclasses import replace

from penstock.app.explaining import Parts, differences, nearest, parts_of_entry, told
from penstock.base.instants import Instant
from penstock.code.model import ComponentCode, Unit
from penstock.engine.rows import CacheEntry


def code(*units: tuple[str, str], digest: str = "c1", version: str | None = None, **parts: str) -> ComponentCode:
    closure = tuple(Unit(name, source, name.partition(":")[0], (), source) for name, source in units)
    named = {name.replace("__", ":"): value for name, value in parts.items()}
    return ComponentCode(digest, str(sorted(named.items())), named, (), version, closure)


def parts(known: ComponentCode, **inputs: str) -> Parts:
    return Parts("m:f", known.digest, known.environment, inputs, code=known)


def entry(run: str, at: int, *, code_digest: str = "c1", environment: str = "e1", **inputs: str) -> CacheEntry:
    return CacheEntry("k", "m:f", run, "f", 1, {}, code_digest, environment, inputs, {}, Instant(at))


def test_every_part_that_differs_is_told() -> None:
    before = code(
        ("m:f", "def f():\n    return 1"), ("m:gone", "x = 1"), dist__pandas="3.0 aa", env__MODE="1", python="3.11"
    )
    after = code(
        ("m:f", "def f():\n    return 2"),
        ("m:new", "y = 1"),
        digest="c2",
        version="2",
        dist__pandas="3.1 bb",
        python="3.12",
    )
    changes = differences(parts(before, table="a", low="1"), parts(after, table="b", low="1", high="2"))
    assert [told(change) for change in changes] == [
        "code: m:f changed",
        "code: m:gone is no longer reached",
        "code: m:new is new",
        "distribution: pandas 3.0 → 3.1",
        "environment variable: MODE was unset",
        "environment: python 3.11 → 3.12",
        "version: none → 2",
        "input: high is new",
        "input: table a → b",
    ]
    assert changes[0].diff.split("\n")[-2:] == ["-    return 1", "+    return 2"]


def test_a_distribution_installed_anew_in_the_same_version_is_told() -> None:
    before, after = code(dist__pandas="3.0 aaaaaaaaaaaaaaaa"), code(dist__pandas="3.0 bbbbbbbbbbbbbbbb")
    (change,) = differences(parts(before), parts(after))
    assert told(change) == "distribution: pandas 3.0 (aaaaaaaaaaaa) → 3.0 (bbbbbbbbbbbb)"


def test_where_only_digests_are_known_they_are_compared() -> None:
    before = parts_of_entry(entry("1", 1, code_digest="old", environment="e0", x="1"), None)
    (change, environment, given) = differences(before, parts(code(("m:f", "pass")), x="2"))
    assert (change.kind, change.before, change.after) == ("code", "old", "c1")
    assert (environment.kind, given.name) == ("environment", "x")
    assert differences(before, before) == ()


def test_nearest_has_most_equal_parts_then_is_of_the_same_task_then_the_newest() -> None:
    now = Parts("m:f", "c1", "e1", {"x": "1", "y": "2"})
    far, near = entry("far", 9, x="0", y="0"), entry("near", 1, x="1", y="0")
    assert nearest([far, near], now, path="f") == near
    old, new = entry("old", 1, x="1", y="0"), entry("new", 2, x="0", y="2")
    assert nearest([old, new], now, path="f") == new
    other = CacheEntry("k", "m:f", "other", "g", 1, {}, "c1", "e1", {"x": "1", "y": "0"}, {}, Instant(9))
    assert nearest([old, other], now, path="f") == old
    assert nearest([old, other], now, path="g") == other
    assert nearest([], now, path="f") is None


def test_what_is_not_read_any_more_and_what_is_read_now_are_not_called_changed() -> None:
    known = code(("m:f", "pass"))
    before = replace(
        parts(known), reads={"v1/a": "1", "v1/": "1", "b": "1", "gone": "", "link:cur": "v1", "size:c": "1"}
    )
    after = replace(
        parts(known), reads={"v2/a": "1", "v2/": "1", "b": "2", "late": "", "link:cur": "v2", "size:d": "1"}
    )
    assert [told(change) for change in differences(before, after)] == [
        "file: b changed",
        "file: gone is not read any more",
        "file: late is read now",
        "link: cur v1 → v2",
        "folder: v1/ is not listed any more",
        "file: v1/a is not read any more",
        "folder: v2/ is listed now",
        "file: v2/a is read now",
    ]
