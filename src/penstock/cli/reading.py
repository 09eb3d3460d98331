"""The verbs that read: runs, show, logs, get, graph, version. Everything they print goes to standard output."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from penstock.app.outlets import OUT, err, out, safe, terminal_text
from penstock.base.errors import InvalidInput
from penstock.cli.main import SUCCEEDED
from penstock.cli.words import count, duration, is_source, moment, plain, shortened, table, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.app.results import RunResult

Json = Annotated[bool, Parameter(negative="", help="Print JSON on standard output.", show_default=False)]
TASK_RUNS_SHOWN_MAX = 200


def print_json(data: Any) -> int:
    out(json_text.dumps(data, indent=2, ensure_ascii=False))
    return SUCCEEDED


def print_result(result: RunResult) -> int:
    """A run as JSON, piece by piece: it may have hundreds of thousands of task runs."""
    for piece in result.json_pieces():
        OUT.write(safe(piece))
        if OUT.trouble is not None:  # nobody reads on
            break
    out()
    return SUCCEEDED


def runs(
    *,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="How many to list.")] = 20,
    state: Annotated[str, Parameter(help="Only those in this state.", show_default=False)] = "",
    pipeline: Annotated[str, Parameter(help="Only those of this pipeline.", show_default=False)] = "",
    labels: Annotated[
        list[str] | None,
        Parameter(name="--label", negative="", help="Only those with this label, as NAME=VALUE; repeatable."),
    ] = None,
    json: Json = False,
) -> int:
    """List the runs of this project, newest first. A run that nobody is at work on is interrupted."""
    from penstock import app
    from penstock.cli.running import labels_by_name

    listed = app.list_runs(limit=limit, state=state, pipeline=pipeline, labels=labels_by_name(labels))
    if json:
        return print_json([result.brief_json() for result in listed])
    if not listed and (state or pipeline or labels):
        out("no run is like that")
        return SUCCEEDED
    if not listed:
        out("no run has been made here yet; `penstock run TARGET` makes one")
        return SUCCEEDED
    out(table(("RUN", "PIPELINE", "STATE", "CREATED", "TOOK"), [_run_line(result) for result in listed]))
    return SUCCEEDED


def _run_line(result: RunResult) -> tuple[str, ...]:
    shown = result.brief_json()
    return result.run_id, result.pipeline, result.state, moment(shown["created_at"]), duration(shown["duration_ms"])


def show(
    run: str = "latest",
    task: str | None = None,
    /,
    *,
    verbose: Annotated[
        bool,
        Parameter(name=["-v", "--verbose"], negative="", help="Also what reads declared sources.", show_default=False),
    ] = False,
    json: Json = False,
) -> int:
    """Show one run: its task runs, its outputs, what it was made of. Or one task run: its attempts, what it logged.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    task
        The path of a task run, such as train/3/fit.
    """
    from penstock import app
    from penstock.app.shared_files import elsewhere_lines, shared_lines
    from penstock.app.unkept import unkept_lines
    from penstock.cli.showing import print_exhibits, print_failures, print_task

    if task is not None:
        one = app.show_task(run, task)
        if json:
            return print_json(one.to_json())
        print_task(one)
        return SUCCEEDED
    result = app.show_run(run)
    if json:
        return print_result(result)
    shown = {**result.brief_json(), **result.made_json()}
    is_told = result.state == "succeeded" or bool(result.overview.failing)
    why = f": {shown['cause_text'] or shown['cause']}" if shown["cause"] and not is_told else ""
    out(f"run {result.run_id} of {result.pipeline}: {result.state}{why}")
    took = f", took {duration(shown['duration_ms'])}" if shown["duration_ms"] is not None else ""
    out(f"created {moment(shown['created_at'])}{took}")
    if shown["retry_of"]:
        out(f"again after {shown['retry_of']}")
    if result.state == "interrupted":
        out(f"nobody is at work on it: `penstock retry {result.run_id}` resumes it")
    _print_named("parameters", shown["parameters"])
    told = _print_task_runs(result, verbose=verbose)
    print_failures(result.overview.failing, told=told)
    print_exhibits(result.overview)
    warned = [
        *shared_lines(result.shared_files),
        *elsewhere_lines(result.files_elsewhere),
        *unkept_lines(result.unkept),
    ]
    for line in warned and ["", *warned]:
        out(line)
    if result.summary is not None:
        from penstock.app.drawing import summary_lines

        for line in (lines := summary_lines(result.summary)) and ["", *lines]:
            out(line)
    _print_named("outputs", shown["outputs"])
    _print_provenance(shown["provenance"])
    return SUCCEEDED


def _print_named(title: str, values: dict[str, Any]) -> None:
    if values:
        out(f"\n{title}")
        for name, shown in values.items():
            out(f"  {name} = {value(shown)}")


def _print_task_runs(result: RunResult, *, verbose: bool) -> set[str]:
    """A line for each; the paths of those that have one."""
    lines = []
    overview = result.overview
    shown = [row for row in overview.rows if verbose or row.state != "succeeded" or not is_source(row.component)]
    for task in map(overview.glance, shown[:TASK_RUNS_SHOWN_MAX]):
        by = f" ({task.cause.by})" if task.cause.by else ""
        why = "" if task.state == "succeeded" else f"{task.cause.text or task.cause.code.replace('_', ' ')}{by}"
        if task.state == "failed" and task.cause.by:  # whose line says why
            why = f"by {task.cause.by}"
        if task.source:
            saved = f", saved {duration(task.saved_ms)}" if task.saved_ms is not None else ""
            why = f"from {task.source}{saved}"
        state = task.state if task.origin in (None, "computed") else f"{task.state} ({task.origin})"
        attempts = str(task.attempts) if task.attempts else ""
        lines.append((task.path, state, attempts, duration(task.duration_ms), shortened(why) if why else ""))
    if lines:
        out()
        out(table(("TASK RUN", "STATE", "ATTEMPTS", "TOOK", "CAUSE"), lines))
    left, folded = len(shown) - len(lines), len(overview.rows) - len(shown)
    if left > 0:
        out(f"… and {count(left, 'more task run')}; --json has them all")
    if folded:
        out(f"… and {count(folded, 'source')}; -v shows them")
    return {line[0] for line in lines}


def _print_provenance(provenance: dict[str, Any]) -> None:
    if not provenance:
        return
    out("\nmade of")
    for name, known in provenance.items():
        if name == "capacity" and isinstance(known, dict):
            out(f"  capacity: {', '.join(_amount(kind, amount) for kind, amount in known.items())}")
        elif name == "asked" and isinstance(known, dict):
            given = [f"{output} from {origin}" for output, origin in known.get("given", {}).items()]
            tasks = [f"{how} {known[how]}" for how in ("until", "only") if how in known]
            out(f"  {name}: {', '.join([*tasks, *given])}")
        elif name == "distributions" and isinstance(known, dict):
            out(f"  {name}: {count(len(known), 'distribution')} (--json lists them)")
        elif isinstance(known, dict):
            out(f"  {name}: {', '.join(f'{key} {text}' for key, text in known.items())}")
        elif known not in (None, ""):
            out(f"  {name}: {known}")


def _amount(kind: str, amount: int) -> str:
    from penstock.base.sizes import size_text

    if kind.startswith(("memory", "gpu_memory")):
        return f"{kind} {size_text(amount)}"
    return f"{kind} {amount / 1000:g}"


def logs(
    run: str = "latest",
    task: str | None = None,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["-f", "--follow"], negative="", help="Go on until the run has ended.", show_default=False)
    ] = False,
    json: Json = False,
) -> int:
    """Print what the tasks of a run printed.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    task
        The path of a task run, such as train/3/fit, or train for all below it; with #2, its second attempt.
    """
    from penstock import app

    several = task is None or "#" not in task
    named = ""
    for log in app.run_logs(run, task, follow=follow):
        name = f"{log.attempt.path}#{log.attempt.number}"
        if log.of_hit:
            name = f"{log.of_hit} (a hit; printed by {log.attempt.run_id}/{name})"
        if json:
            text = b"".join(log.pieces()).decode(errors="replace")
            out(json_text.dumps({"attempt": name, "outcome": log.attempt.outcome, "text": text}, ensure_ascii=False))
        else:
            if several and name != named:
                out(f"== {name}")
                named = name
            _print_log(log.pieces())
        OUT.flush()
        if OUT.trouble is not None:  # nobody reads on: there is nothing to follow it for
            break
    return SUCCEEDED


def _print_log(pieces: Iterator[bytes]) -> None:
    """Onto a terminal as text that is safe for it, in its colours; anywhere else byte for byte. The last line is ended."""
    if OUT.isatty():
        for text in terminal_text(pieces):
            OUT.write(text)
        return
    last = b""
    for last in pieces:
        OUT.write_bytes(last)
    if last and not last.endswith(b"\n"):
        OUT.write_bytes(b"\n")


def get(
    run: str,
    output: str,
    /,
    *,
    to: Annotated[Path | None, Parameter(name=["-o", "--to"], help="Write it to this path instead.")] = None,
    figure: Annotated[str | None, Parameter(help="A figure that the task has logged, instead of an output.")] = None,
    table: Annotated[str | None, Parameter(help="A table that the task has logged, instead of an output.")] = None,
    json: Json = False,
) -> int:
    """Print an output: a parameter as JSON, an artifact's summary and path; with -o, write it, in the format of the suffix
    (.csv, .parquet, .json, .joblib) or without one as it is stored. A figure has the formats that it was logged in (.png, .svg,
    .html, .json), without a suffix a folder of all.

    Parameters
    ----------
    run
        An id, a unique prefix, or latest.
    output
        The NAME of an output of the pipeline, or TASK or TASK.OUTPUT, such as train/3/fit.model.
    """
    from penstock import app

    if figure is not None or table is not None:
        if figure is not None and table is not None:
            raise InvalidInput("--figure and --table exclude each other", fix="Give one of them.")
        kind = "figure" if figure is not None else "table"
        shown = app.get_exhibit(run, output, kind, figure or table or "", to=to)
        if json:
            return print_json(shown.to_json())
        if to is not None:
            err(f"{shown.kind} {shown.name} of {shown.task} is written to {to}")
        else:
            out(value(shown.shown))
            out(shown.path)
        return SUCCEEDED
    got = app.get_output(run, output, to=to)
    if json:
        return print_json(got.to_json())
    if to is not None:
        err(f"{got.name} is written to {to}: {got.form}")
    elif got.path is not None:
        out(value(got.shown))
        out(got.path)
    else:
        print_json(plain(got.shown))
    return SUCCEEDED


def graph(
    target: str,
    /,
    *,
    format: Literal["text", "json", "mermaid", "svg", "yaml"] = "text",  # noqa: A002 the option's name
) -> int:
    """Draw a pipeline.

    Parameters
    ----------
    target
        file.py, file.yaml, either with :name, or module:name.
    format
        text, json (what the digest is of, and more), mermaid, svg (a picture that needs nothing else) or yaml (a pipeline
        file that says the same).
    """
    from penstock import app

    out(app.graph_of_target(target, form=format, say=err).rstrip("\n"))
    return SUCCEEDED


def schema() -> int:
    """Print the JSON Schema of pipeline files in YAML: editors complete and check with it."""
    from penstock import app

    return print_json(app.pipeline_schema())


def version(*, json: Json = False) -> int:
    """Print the versions of Penstock and of Python."""
    from penstock import app

    known = app.versions()
    if json:
        return print_json(known)
    out(f"penstock {known['penstock']} (Python {known['python']}, {known['platform']})")
    for name in known["degradations"]:
        out(f"  {name}")
    return SUCCEEDED
