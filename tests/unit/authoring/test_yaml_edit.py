"""Edits of pipeline files touch only the lines that they must."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.authoring.yaml.edit import add_task, remove, remove_task, set_value
from penstock.authoring.yaml.reading import read
from penstock.authoring.yaml.tree import Dictionary, Part, Sequence, Source, value_of
from penstock.base.errors import InvalidInput

FILE = """\
# The churn pipeline. Ask Ada before you change it.
penstock: 1
pipeline:   churn   # the name people know

parameters: {days: {type: int, default: 30}, bucket: str}   # flow style

# -- what is done ------------------------------------------

tasks:
    # first of all
    load:      {function: churn:load, inputs: {days: "${parameters.days}"}}   # four blanks
    fit:
          function: churn:fit        # odd indentation
          inputs:
              rate: 0.10             # as written
              mode: 'fast'
              rows: [1, 2,
                     3]              # over two lines
          # a comment inside of fit
          retry: 3
    report:
        function: churn:report
        inputs:
            text: |
                Dear reader,

                this is text.
        after: [load,fit]
    branch:
        branch:
            - when: fit > 0.5
              tasks:
                ship: {function: churn:ship}
            # otherwise
            - tasks: {}

    # last of all

outputs:
  rate: ${fit}
# the end
"""


def changes(before: str, after: str) -> tuple[list[str], list[str]]:
    """(lines that are gone, lines that are new)."""
    diff = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [line[2:] for line in diff if line.startswith("- ")], [line[2:] for line in diff if line.startswith("+ ")]


@pytest.mark.parametrize(
    ("path", "value", "gone", "new"),
    [
        (("tasks", "fit", "retry"), 5, ["          retry: 3"], ["          retry: 5"]),
        (
            ("tasks", "fit", "inputs", "rate"),
            0.25,
            ["              rate: 0.10             # as written"],
            ["              rate: 0.25             # as written"],
        ),
        (("tasks", "fit", "inputs", "mode"), "slow", ["              mode: 'fast'"], ["              mode: 'slow'"]),
        (
            ("pipeline",),
            "leavers",
            ["pipeline:   churn   # the name people know"],
            ["pipeline:   leavers   # the name people know"],
        ),
        (
            ("parameters", "days", "default"),
            7,
            ["parameters: {days: {type: int, default: 30}, bucket: str}   # flow style"],
            ["parameters: {days: {type: int, default: 7}, bucket: str}   # flow style"],
        ),
        (
            ("parameters", "bucket"),
            "list[int]",
            ["parameters: {days: {type: int, default: 30}, bucket: str}   # flow style"],
            ['parameters: {days: {type: int, default: 30}, bucket: "list[int]"}   # flow style'],
        ),
        (
            ("tasks", "fit", "inputs", "rows"),
            [4],
            ["              rows: [1, 2,", "                     3]              # over two lines"],
            ["              rows: [4]              # over two lines"],
        ),
        (("tasks", "fit", "timeout"), "10m", [], ["          timeout: 10m"]),
        (("tasks", "fit", "resources", "memory"), "4GiB", [], ["          resources: {memory: 4GiB}"]),
        (
            ("tasks", "load", "retry"),
            2,
            ['    load:      {function: churn:load, inputs: {days: "${parameters.days}"}}   # four blanks'],
            ['    load:      {function: churn:load, inputs: {days: "${parameters.days}"}, retry: 2}   # four blanks'],
        ),
        (
            ("tasks", "report", "inputs", "text"),
            "short",
            ["            text: |", "                Dear reader,", "", "                this is text."],
            ["            text: short"],
        ),
        (
            ("tasks", "branch", "branch", 0, "when"),
            "fit > 0.9",
            ["            - when: fit > 0.5"],
            ["            - when: fit > 0.9"],
        ),
        (("outputs", "mode"), "${fit.mode}", [], ["  mode: ${fit.mode}"]),
        (("fail_fast",), True, [], ["fail_fast: true"]),
    ],
)
def test_a_value_is_changed_in_its_line(path: Any, value: Any, gone: list[str], new: list[str]) -> None:
    assert changes(FILE, set_value(FILE, path, value)) == (gone, new)


def test_a_task_is_added_below_the_last_one() -> None:
    text = add_task(FILE, "tell", {"function": "churn:tell", "inputs": {"score": "${fit}"}, "finally": True})
    assert changes(FILE, text) == (
        [],
        ["    tell:", "      function: churn:tell", "      inputs:", "        score: ${fit}", "      finally: true"],
    )
    assert text.index("# last of all") > text.index("tell:")


def test_a_task_is_removed_and_comments_stay() -> None:
    assert changes(FILE, remove_task(FILE, "load")) == (
        ['    load:      {function: churn:load, inputs: {days: "${parameters.days}"}}   # four blanks'],
        [],
    )
    gone, new = changes(FILE, remove_task(FILE, "report"))
    assert new == []
    assert gone[0] == "    report:"
    assert gone[-1] == "        after: [load,fit]"
    assert len(gone) == 8


def test_the_last_task_leaves_an_empty_mapping_which_takes_the_next() -> None:
    text = "penstock: 1\npipeline: p\ntasks:\n  only: {function: m:f}\n# end\n"
    empty = remove_task(text, "only")
    assert empty == "penstock: 1\npipeline: p\ntasks: {}\n# end\n"
    assert add_task(empty, "one", {"function": "m:g"}) == text.replace("only: {function: m:f}", "one: {function: m:g}")
    assert add_task("penstock: 1\npipeline: p", "one", {"function": "m:g"}) == (
        "penstock: 1\npipeline: p\ntasks:\n  one: {function: m:g}"
    )


def test_what_the_file_was_written_with_is_kept() -> None:
    text = FILE.replace("\n", "\r\n")
    edited = add_task(set_value(text, ("tasks", "fit", "retry"), 5), "tell", {"function": "m:f", "finally": True})
    assert edited.count("\r\n") == edited.count("\n") == FILE.count("\n") + 1


def test_what_cannot_be_edited_is_told() -> None:
    shared = "penstock: 1\npipeline: p\ncomponents:\n  a: &a {function: m:f}\n  b: *a\n"
    with pytest.raises(InvalidInput, match="behind an alias"):
        set_value(shared, ("components", "b", "retry"), 3)
    with pytest.raises(InvalidInput, match="there is a task `fit` already"):
        add_task(FILE, "fit", {})
    with pytest.raises(InvalidInput, match="there is no `fitt`") as told:
        remove_task(FILE, "fitt")
    assert told.value.fix == "Did you mean 'fit'?"
    with pytest.raises(InvalidInput, match="there is no pipeline `deploy`"):
        add_task(FILE, "x", {}, pipeline="deploy")
    with pytest.raises(InvalidInput, match=r"there is no `x` in `tasks\.fit\.retry`"):
        set_value(FILE, ("tasks", "fit", "retry", "x"), 3)


def paths_in(part: Part, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Part]] = []
    if isinstance(part, Dictionary):
        inner = [(name, value) for name, (_key, value) in part.entries.items()]
    elif isinstance(part, Sequence):
        inner = list(enumerate(part.items))
    return [found for name, value in inner for found in ((*path, name), *paths_in(value, (*path, name)))]


def tree_of(text: str) -> Part:
    root = read(Source("file", text, []))
    assert root is not None
    return root


DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data(), st.lists(st.sampled_from(["set", "add", "remove"]), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_edits_keep_all_comments_and_all_else(data: Any, kinds: list[str]) -> None:
    text = FILE
    for kind in kinds:
        path = data.draw(st.sampled_from(paths_in(tree_of(text))))
        if kind == "remove" and len(path) > 1:
            text = remove(text, path)  # which compares what the new text says with what it should
        elif kind == "add":
            holders = [p for p in paths_in(tree_of(text)) if isinstance(_at(text, p), dict)]
            if holders:
                text = set_value(text, (*data.draw(st.sampled_from(holders)), f"new_{len(text)}"), data.draw(DATA))
        elif kind == "set" and len(path) > 1:
            text = set_value(text, path, data.draw(DATA))
    for comment in ("# The churn pipeline. Ask Ada before you change it.", "# -- what is done -", "# the end"):
        assert comment in text


def _at(text: str, path: tuple[str | int, ...]) -> Any:
    value = value_of(tree_of(text))
    for name in path:
        value = value[name]
    return value
