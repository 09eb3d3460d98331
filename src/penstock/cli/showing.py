"""How `show` tells of one task run, of what was logged, and of what failed. Everything goes to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.app.failures import Failing, alike_line, grouped, headline, outcome_text, repro_line
from penstock.app.outlets import out
from penstock.app.post_mortem import post_mortem_lines, post_mortem_of
from penstock.cli.words import count, duration, indented, logged, shortened, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

    from penstock.app.logged import Metric, TaskLogged, TaskShown
    from penstock.app.overview import Overview

GROUPS_SHOWN_MAX = 5
KINDS_NAMED_MAX = 20
EXHIBITS_SHOWN_MAX = 50


def print_failures(failing_rows: Iterable[Failing], *, told: Set[str]) -> None:
    """The failures of a run, those alike together, each with the command that repeats it. `told` are the paths of which it is
    said already how they failed."""
    groups = grouped(failing_rows)
    if not groups:
        return
    out("\nfailed")
    for group in groups[:GROUPS_SHOWN_MAX]:
        failing = group.first
        path = failing.row.path
        if len(group.paths) > 1:
            out(f"  {alike_line(group, is_told=told >= set(group.paths))}")
        else:
            out(f"  {path}" if path in told else f"  {path} {headline(failing)}")
        own = [frame for frame in failing.frames if frame.own]
        if own:
            out(f"    {own[-1].file}:{own[-1].line} in {own[-1].function}")
        if failing.attempt is not None:
            out(f"    {repro_line(failing.attempt)}")
    if len(groups) > GROUPS_SHOWN_MAX:
        rest = groups[GROUPS_SHOWN_MAX:]
        names = [group.first.row.path for group in rest]
        out(f"  … and {count(len(rest), 'more kind')} of failure: {', '.join(names[:KINDS_NAMED_MAX])}")
        if len(names) > KINDS_NAMED_MAX:
            out(f"    and {len(names) - KINDS_NAMED_MAX:,} more; --json has them all")


def print_exhibits(overview: Overview) -> None:
    lines = [
        f"  {row.path}: {each.kind} {each.name} ({logged(each.artifact)})"
        for row in (overview.rows if overview.exhibits else ())
        for each in overview.exhibits.get(row.path, ())
    ]
    if lines:
        out("\nfigures and tables")
        out("\n".join(lines[:EXHIBITS_SHOWN_MAX]))
    if len(lines) > EXHIBITS_SHOWN_MAX:
        out(f"  … and {len(lines) - EXHIBITS_SHOWN_MAX:,} more; --json has them all")


def print_task(told: TaskShown) -> None:
    result, kept = told.result, told.logged
    out(f"{result.path} of run {told.run_id}: {result.state}{f' ({result.origin})' if result.origin else ''}")
    took = f", took {duration(result.duration_ms)}" if result.duration_ms is not None else ""
    out(f"{result.component}{took}")
    if result.source:
        out(f"from {kept.maker}")
    for attempt in kept.attempts:
        ended = outcome_text(attempt.outcome, attempt.failure) or str(attempt.state)
        out(f"  attempt {attempt.number}: {shortened(ended)} {duration(attempt.duration_us / 1_000)}".rstrip())
        starved = post_mortem_of(attempt.outcome, attempt.failure)
        if starved is not None:
            out(indented("\n".join(post_mortem_lines(starved)), 4))
    said = kept.progress
    if said is not None:
        of = f" of {said.total:,}" if said.total is not None else ""
        out(f"  it said: {said.done:,}{of} {said.text}".rstrip())
    _print_section("metrics", [_metric_line(metric) for metric in kept.metrics])
    _print_section("figures", _exhibit_lines(kept, "figure"))
    _print_section("tables", _exhibit_lines(kept, "table"))
    outputs: dict[str, Any] = told.to_json()["outputs"]
    _print_section("outputs", [f"{name} = {value(shown)}" for name, shown in outputs.items()])
    if told.story:
        out("\n" + told.story[0])
        out(indented("\n".join(told.story[1:])))
    if told.traceback:
        out("\n" + told.traceback)


def _print_section(title: str, lines: Sequence[str]) -> None:
    if lines:
        out(f"\n{title}")
        out(indented("\n".join(lines), 2))


def _metric_line(metric: Metric) -> str:
    at = f" at {metric.step}" if metric.step is not None else ""
    span = f" ({metric.count:,} of them, {metric.least:g} to {metric.greatest:g})" if metric.count > 1 else ""
    return f"{metric.name} = {metric.last:g}{at}{span}"


def _exhibit_lines(kept: TaskLogged, kind: str) -> list[str]:
    return [f"{each.name} ({logged(each.artifact)})" for each in kept.exhibits if each.kind == kind]
