"""The only place where things are wired together: settings, stores, executor and controller, behind one function per
verb.

The functions return values and raise the errors of `base.errors`; they print nothing. Importing this package is cheap:
each function loads what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.app.outlets import Say, in_silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from penstock.app.beginning import Begun
    from penstock.app.choosing import Asked
    from penstock.app.comparing import Difference
    from penstock.app.describing import Checked
    from penstock.app.examining import Finding
    from penstock.app.logged import GotExhibit, TaskShown
    from penstock.app.logs import AttemptLog
    from penstock.app.parameter_files import Data
    from penstock.app.previewing import Preview
    from penstock.app.progress import Progress
    from penstock.app.reading import Got
    from penstock.app.reasons import Why
    from penstock.app.reclaiming import Reclaimed
    from penstock.app.repeating import Repeated
    from penstock.app.results import RunResult
    from penstock.app.tracing import Lineage
    from penstock.app.twice import Twice
    from penstock.app.watching import Watch


def check_target(target: str, *, say: Say = in_silence) -> Checked:
    """Everything that is wrong with a pipeline. Raises InvalidPipeline with all diagnostics when any is an error,
    InvalidInput or TargetFailed when there is no pipeline to check."""
    from penstock.app import describing

    return describing.check_target(target, say=say)


def run_target(
    target: str,
    parameters: Mapping[str, str | Data],
    *,
    progress: Progress | None = None,
    cache: str = "use",
    asked: Asked | None = None,
    labels: Mapping[str, str] | None = None,
) -> RunResult:
    """Run a target until it ends; parameters are texts. `cache`: "use", or "write" to read nothing of it and still
    write; `asked`: the part of the pipeline to run; `labels` are added to the pipeline's own. Raises InvalidInput for what
    cannot be run, having created nothing."""
    from penstock.app import running
    from penstock.app.choosing import NOTHING_ASKED
    from penstock.app.progress import Silent

    told = progress or Silent()
    return running.run_target(
        target, parameters, progress=told, cache=cache, asked=asked or NOTHING_ASKED, labels=labels
    )


def run_pipeline(pipeline: Any, parameters: Mapping[str, Any], *, tells_stories: bool = True) -> RunResult:
    """Run a pipeline from a script or a notebook until it ends; parameters are Python values. Nothing is raised for a run
    that failed: its `state` says so, and its `failure()` is what could be raised. Raises InvalidInput for what cannot be run.
    Without `tells_stories`, progress on a terminal has one line for a failure."""
    from penstock.app import running

    return running.run_pipeline(pipeline, parameters, tells_stories=tells_stories)


def retry_run(run: str, *, progress: Progress | None = None) -> tuple[RunResult, bool]:
    """Resume an interrupted run, or run a failed or cancelled one again; False and its result for one that has
    succeeded."""
    from penstock.app import again
    from penstock.app.progress import Silent

    return again.retry_run(run, progress=progress or Silent())


def cancel_run(run: str, *, force: bool = False, progress: Progress | None = None) -> tuple[RunResult, bool]:
    """Cancel a run and wait until it has ended; False and its result for one that had ended before."""
    from penstock.app import again
    from penstock.app.progress import Silent

    return again.cancel_run(run, force=force, progress=progress or Silent())


def list_runs(
    *, limit: int = 20, state: str = "", pipeline: str = "", labels: Mapping[str, str] | None = None
) -> Sequence[RunResult]:
    """The newest runs of the project that the current folder lies in: all, or those in a state (`interrupted` is one), of a
    pipeline, with labels. Raises InvalidInput for a state or a pipeline that there is not."""
    from penstock.app import reading

    return reading.list_runs(limit=limit, state=state, pipeline=pipeline, labels=labels or {})


def show_run(run: str) -> RunResult:
    from penstock.app import reading

    return reading.show_run(run)


def show_task(run: str, task: str) -> TaskShown:
    """One task run: its attempts, what it logged, how it failed. Raises InvalidInput when there is none."""
    from penstock.app import logged

    return logged.show_task(run, task)


def get_exhibit(run: str, task: str, kind: str, name: str, *, to: Path | None = None) -> GotExhibit:
    """A figure or a table (`kind`) that a task run has logged; written to `to` if that is given."""
    from penstock.app import logged

    return logged.get_exhibit(run, task, kind, name, to=to)


def run_logs(run: str, task: str | None = None, *, follow: bool = False) -> Iterator[AttemptLog]:
    """What the attempts of a run printed, in order of submission; with `follow`, until the run has ended."""
    from penstock.app import logs

    return logs.run_logs(run, task, follow=follow)


def get_output(run: str, output: str, *, to: Path | None = None) -> Got:
    """One output by its NAME in the pipeline or by TASK[.OUTPUT]; written to `to`, as its suffix says, if that is given."""
    from penstock.app import reading

    return reading.get_output(run, output, to=to)


def graph_of_target(target: str, *, form: str, say: Say = in_silence) -> str:
    """A pipeline drawn or written: `form` is text, json, mermaid, svg or yaml."""
    from penstock.app import describing

    return describing.graph_of_target(target, form=form, say=say)


def pipeline_schema() -> dict[str, Any]:
    """The JSON Schema of pipeline files in YAML."""
    from penstock.authoring.yaml.json_schema import json_schema

    return json_schema()


def plan_target(
    target: str, parameters: Mapping[str, str | Data], *, asked: Asked | None = None, say: Say = in_silence
) -> Preview:
    """What a run of a target would do: hit, run or maybe for each task run, and why. Nothing is written. Raises what
    `run_target` raises for input that cannot be run."""
    from penstock.app import previewing
    from penstock.app.choosing import NOTHING_ASKED

    return previewing.plan_target(target, parameters, asked=asked or NOTHING_ASKED, say=say)


def why(run: str, task: str) -> Why:
    """Why a task run ran, was a hit, failed or was skipped."""
    from penstock.app import reasons

    return reasons.why(run, task)


def diff_runs(before: str, after: str) -> Difference:
    """What differs between two runs."""
    from penstock.app import comparing

    return comparing.diff_runs(before, after)


def lineage(what: str, task: str | None = None) -> Lineage:
    """What an artifact (by digest) or a task run (by run and path) was made of, and what was made of it."""
    from penstock.app import tracing

    return tracing.lineage(what, task)


def collect_garbage(*, dry_run: bool = False) -> Reclaimed:
    """Remove runs beyond those that are kept, and all that nothing needs any more; with `dry_run` only say what."""
    from penstock.app import reclaiming

    return reclaiming.collect_garbage(dry_run=dry_run)


def check_twice(target: str, task: str, parameters: Mapping[str, str | Data], *, say: Say = in_silence) -> Twice:
    """Run one task of a pipeline twice on the same inputs, and compare what it gives."""
    from penstock.app import twice

    return twice.check_twice(target, task, parameters, say=say)


def refuse_used_folder(folder: Path) -> None:
    """Raises InvalidInput for a folder in which `begin_project` would make nothing."""
    from penstock.app import beginning

    beginning.refuse_used(folder)


def project_name(folder: Path) -> str:
    """The name that a project in this folder has unless it is given one."""
    from penstock.app import beginning

    return beginning.name_of(folder)


def begin_project(folder: Path, *, name: str | None, with_example: bool) -> Begun:
    """Make a project that runs at once, in a folder that is empty or not there yet."""
    from penstock.app import beginning

    return beginning.begin_project(folder, name=name, with_example=with_example)


def repro(
    run: str, task: str, *, code: str = "pinned", look: str = "", say: Callable[[str], None], aside: bool = False
) -> Repeated:
    """Run one task run again, alone, on this terminal, on the inputs that it had. `code`: "pinned" (that of the run) or
    "current" (that on disk); `look`: "", "pdb" (a debugger where it fails) or "shell" (Python with its inputs, instead
    of the task). `say` takes a line before it begins; `aside`: what the task prints goes to standard error."""
    from penstock.app import repeating

    return repeating.repro(run, task, code=code, look=look, say=say, aside=aside)


def examine() -> Iterator[Finding]:
    """What Penstock stands on here, thing by thing: whether it will do, and what to do where it will not."""
    from pathlib import Path

    from penstock.app import examining

    return examining.examine(Path.cwd())


def watch_target(target: str) -> Watch:
    """The files behind the runs of a target, to be waited for. Raises InvalidInput when it is not of a known form."""
    from penstock.app.watching import Watch

    return Watch(target)


def versions() -> dict[str, Any]:
    """The versions of Penstock and Python, the platform, and what of Penstock's promises does not hold on it."""
    import platform
    import sys

    import penstock

    degradations: list[str] = []
    if sys.platform == "darwin":
        degradations = [
            "macOS: children of a task that is killed may outlive it (there is no subreaper)",
            "macOS: declared memory is watched less closely (there is no RssAnon)",
        ]
    return {
        "penstock": penstock.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "degradations": degradations,
    }
