"""Why results are not kept, in words."""

from __future__ import annotations

import pytest

from penstock.app.unkept import Unkept, reasons_of, unkept_lines

UNKNOWN = "not among the code that the task is known to use"


@pytest.mark.parametrize(
    ("outside", "said"),
    [
        ((), []),
        (
            ("pkg", "pkg.util", "pkg"),
            [f'pkg, pkg.util were imported while it ran, {UNKNOWN}: name it in depends=["pkg", "pkg.util"]'],
        ),
        (("pkg", "pkg:f"), [f'pkg:f was called, {UNKNOWN}: name it in depends=["pkg"]']),
        (
            ("a (imported by another process of the task)", "b:f (called in another process of the task)"),
            [
                (
                    "b:f was called in another process of the task, a was imported by another process of the task, "
                    f'{UNKNOWN}: name it in depends=["b", "a"]'
                )
            ],
        ),
        (("x.db (changed while it was read)",) * 2, ["x.db (changed while it was read)"]),
    ],
)
def test_each_name_is_said_once_with_where_it_ran(outside: tuple[str, ...], said: list[str]) -> None:
    assert reasons_of(outside) == said


def test_at_most_five_components_are_named() -> None:
    lines = unkept_lines([Unkept(f"m:f{number}", 1, "why") for number in range(7)])
    assert lines[0] == "warning: the result of m:f0 is not kept in the cache: why"
    assert lines[5] == "warning: … and those of 2 more components"
    assert len(lines) == 8
