"""The verbs that explain: plan, why, diff, lineage. Everything they print goes to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from penstock.app.outlets import err, out
from penstock.cli.main import SUCCEEDED
from penstock.cli.reading import Json, print_json
from penstock.cli.running import Given, Only, Params, Until, Verbose, asked_of, parameters_by_name
from penstock.cli.words import count, duration, indented, is_source, moment, shortened, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.app.comparing import Difference
    from penstock.app.previewing import Preview
    from penstock.app.reasons import Why
    from penstock.app.tracing import Lineage

LINES_SHOWN_MAX = 200
DIFF_LINES_MAX = 60


def plan(
    target: str,
    /,
    *,
    parameters: Annotated[
        list[str] | None,
        Parameter(name=["-p", "--parameter"], negative="", help="A parameter, as NAME=VALUE; repeatable."),
    ] = None,
    params: Params = None,
    until: Until = "",
    only: Only = "",
    given: Given = None,
    verbose: Verbose = False,
    json: Json = False,
) -> int:
    """Say what a run would do: hit, run or maybe for each task and why, how long, how much memory. Nothing is written.

    Parameters
    ----------
    target
        file.py, file.yaml, either with :name, or module:name.
    """
    from penstock import app

    asked = asked_of(until, only, given)
    values = parameters_by_name(parameters or [], params)
    preview = app.plan_target(target, values, asked=asked, say=err)
    if json:
        return print_json(preview.to_json())
    for diagnostic in preview.diagnostics:
        err(diagnostic)
    _print_preview(preview, verbose=verbose)
    return SUCCEEDED


def _print_preview(preview: Preview, *, verbose: bool) -> None:
    from penstock.base.sizes import size_text

    rows = []
    shown = [each for each in preview.verdicts if verbose or each.verdict == "fail" or not is_source(each.component)]
    for verdict in shown[:LINES_SHOWN_MAX]:
        memory = size_text(verdict.memory_bytes) if verdict.memory_bytes is not None else ""
        why = verdict.why if verdict.verdict != "hit" or not verdict.source else f"from {verdict.source}"
        rows.append((verdict.path, verdict.verdict, duration(verdict.predicted_ms), memory, why))
    out(table(("TASK RUN", "VERDICT", "PREDICTED", "MEMORY", "WHY"), rows))
    left, folded = len(shown) - len(rows), len(preview.verdicts) - len(shown)
    if left > 0:
        out(f"… and {count(left, 'more task run')}; --json has them all")
    if folded:
        out(f"… and {count(folded, 'source')}; -v shows them")
    order = ("hit", "run", "maybe", "skip", "fail")
    counts = ", ".join(f"{preview.counts[kind]:,} {kind}" for kind in order if preview.counts.get(kind))
    out(f"\n{preview.pipeline}: {counts or 'no task runs'}; {_total(preview)}")
    for each in preview.over_asked:
        out(each.text)


def _total(preview: Preview) -> str:
    cpu = preview.machine.get("cpu", 0) / 1000
    least, most = preview.predicted_ms, preview.predicted_ms_max
    length = duration(most) if most - least < max(least, 1) / 100 else f"{duration(least)} to {duration(most)}"
    if preview.unknown and not most:
        return f"nothing to predict from: {count(preview.unknown, 'task run')} never measured"
    more = f", and {count(preview.unknown, 'task run')} never measured" if preview.unknown else ""
    return f"predicted {length} on {cpu:g} {'core' if cpu == 1 else 'cores'}{more}"


def why(run: str, task: str, /, *, json: Json = False) -> int:
    """Say why a task run ran, was a hit, failed or was skipped.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    task
        The path of a task run, such as train/3/fit.
    """
    from penstock import app

    told = app.why(run, task)
    if json:
        return print_json(told.to_json())
    for line in why_lines(told):
        out(line)
    return SUCCEEDED


def why_lines(told: Why) -> list[str]:
    """The whole answer, line by line."""
    name = told.path
    lines: list[str] = []
    if told.kind in ("hit", "adopted"):
        verb = "was a hit" if told.kind == "hit" else "was adopted"
        saved = f", and saved {duration(told.saved_ms)}" if told.saved_ms is not None else ""
        made = f", made {moment(told.source_at)}" if told.source_at is not None else ""
        lines.append(f"{name} {verb}: every part of its key is that of {told.source}{made}{saved}")
    elif told.kind == "ran":
        lines += _ran_lines(told)
    elif told.kind == "open":
        lines.append(f"{name} has not ended: it is {told.chain[0].state}")
    else:
        lines.append(f"{name} is {told.kind}")
    for depth, link in enumerate(told.chain if told.kind != "open" else ()):
        words = link.cause.replace("_", " ")
        because = [words] if link.cause not in (link.state, "") and not link.text.startswith(words) else []
        story = ": ".join([*because, *([shortened(link.text)] if link.text else [])])
        lines.append(f"{'  ' * (depth + 1)}{link.path} {link.state}{': ' if story else ''}{story}")
        if link.cause == "out_of_memory":
            lines += [f"{'  ' * (depth + 2)}{line}" for line in link.text.split("\n")[1:]]
    lines += [f"  {note}" for note in told.notes]
    if told.uncached and not told.first:
        lines.append(f"  its result is not in the cache: {told.uncached}")
    if told.nondeterministic:
        lines += _differing_lines(told.component, told.nondeterministic)
    return lines


def _differing_lines(component: str, mark: Mapping[str, Any]) -> list[str]:
    """Two results for one key: which of the two it is, nondeterministic or stale, as far as that is known."""
    from penstock.app.marks import STALE, because

    between = " and ".join(mark.get("between", ()))
    changed = mark.get("changed")
    named = "the sources may have" if changed is None else ", ".join(changed)
    if not because(mark):
        told = [
            f"{component} is nondeterministic: {between} gave different results for one key, with the same code and reads"
        ]
    elif because(mark) == STALE:
        told = [
            f"{between} gave different results for one key: {named} changed in between, which the key does not count",
            "the earlier result was stale: the same code gave the later one again; name what changed in depends=",
        ]
    else:
        told = [
            f"{between} gave different results for one key: {named} changed in between, which the key does not count",
            f"either the earlier result was stale or {component} is nondeterministic; run `penstock check TARGET --twice TASK`",
        ]
    return [*(f"  {line}" for line in told), *(f"    {name}: {what}" for name, what in mark.get("differ", {}).items())]


def _ran_lines(told: Why) -> list[str]:
    from penstock.app.explaining import told as told_change

    if ":" not in told.component:
        return [f"{told.path} holds a graph: it is what its task runs are"]
    if told.first:
        nothing = f"there is no earlier result of {told.component} to compare with"
        if told.uncached:
            return [f"{told.path} ran: its result is not in the cache: {told.uncached}", f"  {nothing}"]
        return [f"{told.path} ran: {nothing}"]
    if not told.source:
        return [f"{told.path} ran"]
    lines = [f"{told.path} ran: compared with {told.source}, made {moment(told.source_at)}"]
    for change in told.changed:
        lines.append(f"  {told_change(change)}")
        if change.diff:
            diff = change.diff.split("\n")
            lines.append(indented("\n".join(diff[:DIFF_LINES_MAX])))
            if len(diff) > DIFF_LINES_MAX:
                lines.append(f"    … {count(len(diff) - DIFF_LINES_MAX, 'more line')}; --json has them all")
    return lines


def diff(before: str, after: str, /, *, json: Json = False) -> int:
    """Compare two runs: graph, parameters, code, environment, outputs, metrics, durations.

    Parameters
    ----------
    before
        A run: an id, a unique prefix, or latest.
    after
        Another one.
    """
    from penstock import app

    difference = app.diff_runs(before, after)
    if json:
        return print_json(difference.to_json())
    for line in _diff_lines(difference):
        out(line)
    return SUCCEEDED


def _diff_lines(difference: Difference) -> list[str]:
    from penstock.app.explaining import told as told_change

    lines = [f"{difference.before} → {difference.after}"]
    for title, section in difference.sections():
        if section:
            lines += ["", title]
            lines += [f"  {line.name}: {shortened(line.before)} → {shortened(line.after)}" for line in section]
        if title == "graph" and difference.graph_diff:
            lines += ["", "graph", indented(difference.graph_diff, 2)]
        if title == "code" and difference.code:
            lines += ["", "code"]
            for change in difference.code:
                lines.append(f"  {told_change(change)}")
                if change.diff:
                    lines.append(indented(change.diff))
        if title == "environment" and difference.environment:
            lines += ["", "environment", *(f"  {told_change(change)}" for change in difference.environment)]
    if len(lines) == 1:
        lines.append("nothing differs but the time")
    return lines


def lineage(what: str, task: str | None = None, /, *, json: Json = False) -> int:
    """Say what an artifact or a task run was made of, and what was made of it, across runs.

    Parameters
    ----------
    what
        The digest of an artifact (blake3:… or tree:…, or the beginning of one that a run has as an output), or a run.
    task
        With a run: the path of one of its task runs.
    """
    from penstock import app

    traced = app.lineage(what, task)
    if json:
        return print_json(traced.to_json())
    for line in _lineage_lines(traced):
        out(line)
    return SUCCEEDED


def _lineage_lines(traced: Lineage) -> list[str]:
    lines = [traced.title]
    for title, steps in (("made of", traced.upstream), ("made into", traced.downstream)):
        lines += ["", title]
        for step in steps[:LINES_SHOWN_MAX]:
            again = f" (and {count(step.more, 'more run')})" if step.more else ""
            lines.append(f"{'  ' * step.depth}{step.text}{again}")
        if not steps:
            lines.append("  nothing that is known")
        if len(steps) > LINES_SHOWN_MAX:
            lines.append(f"… and {count(len(steps) - LINES_SHOWN_MAX, 'more line')}; --json has them all")
    return lines
