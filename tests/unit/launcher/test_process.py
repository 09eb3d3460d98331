"""What an attempt does to its process, and what it can ask about itself."""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from penstock.wire import (
    Failed,
    Inline,
    Succeeded,
)

Bench = Any


def _value(outcome: Any) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    datum = outcome.outputs["output"]
    assert isinstance(datum, Inline)
    return datum.value


def test_the_process_is_put_back_after_an_attempt(bench: Bench) -> None:
    source = """
        import os, sys, warnings, random, signal, tempfile
        def spoil():
            os.chdir(tempfile.gettempdir())
            os.environ["NEW_NAME"] = "1"
            os.environ["PATH"] = ""
            os.environ.pop("HOME", None)
            warnings.simplefilter("ignore")
            sys.path.insert(0, "/nowhere")
            sys.argv.append("x")
            sys.setrecursionlimit(5000)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        def state():
            return [os.getcwd(), dict(os.environ), len(warnings.filters), sys.path, sys.argv,
                    sys.getrecursionlimit(), str(signal.getsignal(signal.SIGINT))]
    """
    module = bench.module(source)
    before = _value(bench.again(module, name="state").outcome)
    assert before[0] == str(bench.project)
    assert isinstance(bench.again(module, name="spoil").outcome, Succeeded)
    assert _value(bench.again(module, name="state").outcome) == before


def test_what_importing_a_module_changes_stays(bench: Bench) -> None:
    module = bench.module(
        """
        import os
        os.environ["SET_BY_IMPORT"] = "1"
        def f(): return os.environ.get("SET_BY_IMPORT")
        """
    )
    try:
        assert [_value(bench.again(module).outcome) for _ in range(2)] == ["1", "1"]
    finally:
        os.environ.pop("SET_BY_IMPORT", None)


def _seeded_alike(bench: Bench, module: str) -> list[float]:
    """What attempts of the same seed draw; checks that those of another draw something else."""
    first, second, other = (_value(bench.again(module, seed=seed).outcome) for seed in (7, 7, 8))
    assert first == second
    assert all(a != b for a, b in zip(first, other, strict=True))
    drawn: list[float] = first
    return drawn


def test_random_generators_are_seeded(bench: Bench) -> None:
    source = "import random\ndef f():\n    import numpy\n    return [random.random(), float(numpy.random.random())]"
    drawn = _seeded_alike(bench, bench.module(source))
    random.seed(7)
    assert drawn[0] == random.random()


def test_a_library_that_arrives_during_an_attempt_is_seeded(bench: Bench) -> None:
    if importlib.util.find_spec("torch") is None:
        assert "PENSTOCK_TEST_REQUIRE_ALL" not in os.environ, "torch is required"
        pytest.skip("torch is not installed")
    _seeded_alike(bench, bench.module("def f():\n    import torch\n    return [float(torch.rand(1))]"))


def test_a_thread_left_behind_retires_the_process(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    source = """
        import threading
        release = threading.Event()
        def short():
            threading.Thread(target=release.wait, args=(0.01,)).start()
        def endless(daemon):
            threading.Thread(target=release.wait, name="endless-one", daemon=daemon).start()
    """
    module = bench.module(source)
    bench.again(module, name="short")
    assert not bench.launcher.retire
    try:
        bench.again(module, name="endless", inputs={"daemon": Inline(False)})
        assert bench.launcher.retire
        assert "left threads running, which end now: endless-one" in capsys.readouterr().err
    finally:
        sys.modules[module].release.set()
        for thread in threading.enumerate():
            if thread.name == "endless-one":
                thread.join()


@pytest.mark.parametrize(("ending", "status"), [("return 1", 0), ("raise ValueError", 1), ("raise SystemExit(7)", 7)])
def test_a_fork_that_comes_back_ends_and_its_parent_goes_on(bench: Bench, ending: str, status: int) -> None:
    source = f"""
        import os, warnings
        def f():
            with warnings.catch_warnings(action="ignore"):
                child = os.fork()
            if child == 0:
                {ending}
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    assert _value(bench.outcome(source)) == status


# -- context ---------------------------------------------------------------------------------------------------------


def test_the_context_of_an_attempt(bench: Bench) -> None:
    source = """
        import threading
        from penstock.launcher.inner.context import context
        def f():
            here = context()
            seen = []
            thread = threading.Thread(target=lambda: seen.append(context().run_id))
            thread.start(); thread.join()
            (here.scratch / "a").write_text("x")
            assert here.scratch == context().scratch
            here.log_metric("loss", 0.5, step=3)
            here.log_metric("done", True)
            return [here.run_id, here.task_path, here.attempt, here.attempt_id, here.pipeline, here.seed, seen,
                    str(here.scratch), here.logger.name]
    """
    value = _value(bench.outcome(source, seed=9))
    assert value[:7] == ["run1", "train/3/fit", 2, "run1/train/3/fit#2", "flights", 9, ["run1"]]
    assert value[8] == "penstock.task"
    assert not Path(value[7]).exists()
    observed = bench.launcher.observations()
    assert [(o.attempt_id, o.name, o.value, o.step) for o in observed] == [
        ("run1/train/3/fit#2", "loss", 0.5, 3),
        ("run1/train/3/fit#2", "done", 1.0, None),
    ]
    assert bench.launcher.observations() == []


def test_a_metric_that_is_no_number_is_the_callers_error(bench: Bench) -> None:
    source = "from penstock.launcher.inner.context import context\ndef f(): context().log_metric('a', 'high')"
    outcome = bench.outcome(source)
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "builtins:ValueError"


def test_logging_shows_without_set_up_and_leaves_set_up_to_the_user(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    module = bench.module(
        """
        import logging
        def f():
            logging.getLogger("mine").info("hello %s", "there")
            logging.getLogger("mine").debug("hidden")
        def own():
            logging.basicConfig(level=logging.DEBUG, format="own %(message)s")
            logging.debug("mine now")
        """
    )
    bench.again(module)
    printed = capsys.readouterr().err
    assert "INFO mine: hello there" in printed
    assert "hidden" not in printed
    bench.again(module, name="own")
    assert "own mine now" in capsys.readouterr().err
    bench.again(module)
    assert "INFO mine: hello there" in capsys.readouterr().err


def test_a_context_outside_an_attempt() -> None:
    from penstock.launcher.inner.context import context

    here = context()
    here.log_metric("a", 1)
    (here.scratch / "x").write_text("y")
    assert (here.task_path, here.attempt) == ("call", 1)
