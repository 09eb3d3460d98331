"""Attempts in this very process: what user code does, and what outcome that is."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.launcher.inner.outcomes import Stopped
from penstock.wire import (
    IMPORT_METRIC,
    Artifact,
    Cancelled,
    Counted,
    Datum,
    Failed,
    Inline,
    InputLost,
    NotYet,
    Observation,
    OutOfMemory,
    OutputInvalid,
    Skipped,
    Struct,
    Succeeded,
)

Bench = Any


def _value(outcome: Any) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    datum = outcome.outputs["output"]
    assert isinstance(datum, Inline)
    return datum.value


# -- inputs and outputs ----------------------------------------------------------------------------------------------


def test_a_function_is_called_with_its_inputs_and_its_answer_sealed(bench: Bench) -> None:
    ended = bench.end("def f(x, y): return x * y", inputs={"x": Inline(3), "y": Inline(4)})
    assert ended.outcome == Succeeded({"output": Inline(12)})
    assert ended.attempt_id == "run1/train/3/fit#2"
    assert 0 < ended.started_at <= ended.ended_at
    assert ended.duration_us > 0
    assert not bench.scratch.exists()


def test_inputs_become_what_the_annotations_say(bench: Bench) -> None:
    source = """
        from enum import Enum
        from pathlib import Path
        class Colour(Enum):
            RED = 1
        def f(rate: float, colour: Colour, maybe: Colour | None, sizes: tuple[int, ...], pair: tuple[Colour, int],
              colours: list[Colour], where: Path):
            assert type(rate) is float and colour is Colour.RED and maybe is None
            assert sizes == (1, 2) and pair == (Colour.RED, 5) and colours == [Colour.RED]
            assert isinstance(where, Path)
            return True
    """
    enum = {"name": "enum", "options": ["RED"]}
    types = {
        "rate": {"name": "float"},
        "colour": enum,
        "maybe": {**enum, "optional": True},
        "sizes": {"name": "list", "item": {"name": "int"}},
        "pair": {"name": "list", "item": {"name": "json"}},
        "colours": {"name": "list", "item": enum},
        "where": {"name": "path"},
    }
    inputs: dict[str, Datum] = {
        "rate": Inline(1),
        "colour": Inline("RED"),
        "maybe": Inline(None),
        "sizes": Counted((Inline(1), Inline(2))),
        "pair": Inline(["RED", 5]),
        "colours": Inline(["RED"]),
        "where": Inline("a.csv"),
    }
    assert _value(bench.outcome(source, inputs=inputs, types=types)) is True


@pytest.mark.parametrize("kind", ["class Both(NamedTuple):", "@dataclass\nclass Both:"])
def test_fields_are_outputs(bench: Bench, kind: str) -> None:
    source = f"""
from typing import NamedTuple
from dataclasses import dataclass
{kind}
    model: str
    score: float
def f():
    return Both("m", 1)
def tuple_instead():
    return "m", 1
"""
    outputs = {"model": {"name": "str"}, "score": {"name": "float"}}
    module = bench.module(source)
    assert bench.again(module, outputs=outputs).outcome == Succeeded({"model": Inline("m"), "score": Inline(1.0)})
    refused = bench.again(module, name="tuple_instead", outputs=outputs).outcome
    assert isinstance(refused, OutputInvalid)
    assert "expected the outputs model, score as a NamedTuple or dataclass, got tuple" in refused.why


@pytest.mark.parametrize(
    ("returned", "declared", "why"),
    [
        ("'3'", {"name": "int"}, "output 'output': expected int, got str"),
        ("None", {"name": "polars:DataFrame"}, "expected polars:DataFrame, got None"),
        (
            "object()",
            {"name": "any"},
            "builtins:object cannot be stored: the type is not known. The value is not kept: results of this task are",
        ),
    ],
)
def test_an_answer_that_is_not_what_was_declared(
    bench: Bench, returned: str, declared: dict[str, Any], why: str
) -> None:
    outcome = bench.outcome(f"def f(): return {returned}", outputs={"output": declared})
    assert isinstance(outcome, OutputInvalid)
    assert why in outcome.why


def test_a_task_without_outputs(bench: Bench) -> None:
    assert bench.outcome("def f(): pass", outputs={}) == Succeeded({})
    refused = bench.outcome("def f(): return 1", outputs={})
    assert isinstance(refused, OutputInvalid)
    assert "declares no outputs and returned int" in refused.why


def test_an_array_goes_from_one_attempt_to_the_next_as_a_read_only_map(bench: Bench) -> None:
    made = bench.outcome("import numpy as np\ndef f(): return np.arange(1000.0)").outputs["output"]
    assert isinstance(made, Artifact)
    source = "def f(x): return [float(x.sum()), x.flags.writeable, type(x).__name__]"
    assert _value(bench.outcome(source, inputs={"x": made})) == [499500.0, False, "ndarray"]


def test_a_file_is_handed_over_as_a_copy_of_the_tasks_own(bench: Bench) -> None:
    made = bench.outcome(
        """
        from penstock.launcher.inner.context import context
        def f():
            path = context().scratch / "out.csv"
            path.write_text("a,b")
            return path
        """,
        outputs={"output": {"name": "path"}},
    ).outputs["output"]
    assert made.metadata == {"name": "out.csv"}
    assert not list(bench.scratch.iterdir())
    source = """
        def f(x):
            x.write_text(x.read_text() + "!")
            return [x.name, x.read_text()]
    """
    for _ in range(2):
        assert _value(bench.outcome(source, inputs={"x": made}, types={"x": {"name": "path"}})) == ["out.csv", "a,b!"]


def test_lost_input_content_is_named(bench: Bench) -> None:
    digest = "blake3:" + "0" * 64
    outcome = bench.outcome("def f(x): pass", inputs={"x": Artifact(digest, "numpy:ndarray", "npy", 8)})
    assert isinstance(outcome, InputLost)
    assert outcome.digest == digest


# -- answers and failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ("Skip('nothing new')", Skipped("nothing new")),
        ("NotYet('5m', 'no file')", NotYet(300_000, "no file")),
        ("NotYet(1.5)", NotYet(1_500)),
    ],
)
def test_what_a_task_may_raise_to_answer(bench: Bench, raised: str, expected: object) -> None:
    source = f"from penstock.launcher.inner.answers import Skip, NotYet\ndef f(): raise {raised}"
    assert bench.outcome(source) == expected


@pytest.mark.parametrize(
    ("raised", "why", "device"),
    [
        ("MemoryError('too much')", "too much", ""),
        ("MemoryError()", "MemoryError", ""),
        ("OSError(12, 'Cannot allocate memory')", "OSError: [Errno 12] Cannot allocate memory", ""),
        ("RuntimeError('CUDA out of memory. Tried')", "RuntimeError: CUDA out of memory. Tried", "gpu"),
        ("OutOfMemoryError('CUDA')", "OutOfMemoryError: CUDA", "gpu"),
        (
            "RuntimeError('[enforce fail] . DefaultCPUAllocator: can\\'t allocate memory')",
            "RuntimeError: [enforce fail] . DefaultCPUAllocator: can't allocate memory",
            "",
        ),
    ],
)
def test_want_of_memory_is_told_apart(bench: Bench, raised: str, why: str, device: str) -> None:
    """Allocators have classes and words of their own for it."""
    source = f"class OutOfMemoryError(RuntimeError): __module__ = 'torch'\ndef f(): raise {raised}"
    outcome = bench.outcome(source)
    assert isinstance(outcome, OutOfMemory)
    assert (outcome.why, outcome.device) == (why, device)
    assert [held.where.rpartition(":")[2] for held in outcome.frames] == ["2 in f"]


@pytest.mark.parametrize("raised", ["OSError(2, 'x')", "RuntimeError('memory')", "ValueError('CUDA out of memory')"])
def test_what_is_no_want_of_memory_has_failed(bench: Bench, raised: str) -> None:
    assert isinstance(bench.outcome(f"def f(): raise {raised}"), Failed)


def test_fail_is_final(bench: Bench) -> None:
    outcome = bench.outcome("from penstock.launcher.inner.answers import Fail\ndef f(): raise Fail('bad data')")
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.failure.message == "bad data"


def test_a_traceback_starts_at_the_users_code_and_keeps_what_led_to_it(bench: Bench) -> None:
    module = bench.module(
        """\
        class Odd(ValueError):
            pass

        def parse(text):
            return int(text)

        def f():
            try:
                parse("x")
            except ValueError as error:
                raise Odd("no number") from error
        """
    )
    outcome = bench.again(module).outcome
    assert isinstance(outcome, Failed)
    failure = outcome.failure
    assert not outcome.final
    assert (failure.type, failure.message) == (f"{module}:Odd", "no number")
    assert {"Odd", f"{module}:Odd", "ValueError", "builtins:ValueError", "Exception"} <= set(failure.bases)
    file = bench.project / f"{module}.py"
    lines = [line.strip() for line in failure.traceback.splitlines()]
    first = lines.index("Traceback (most recent call last):")
    assert lines[first + 1] == f'File "{file}", line 9, in f'
    assert lines[first + 2] == 'parse("x")'
    assert "The above exception was the direct cause" in failure.traceback
    assert lines[-1] == f"{module}.Odd: no number"
    assert "penstock" not in failure.traceback.replace(str(bench.project), "")


def test_a_wrong_call_has_a_message_and_no_frame_of_ours(bench: Bench) -> None:
    outcome = bench.outcome("def f(): pass", inputs={"x": Inline(1)})
    assert isinstance(outcome, Failed)
    assert outcome.failure.traceback == "TypeError: f() got an unexpected keyword argument 'x'"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import sys; sys.exit(3)", "called sys.exit(3)"),
        ("raise KeyboardInterrupt", "raised KeyboardInterrupt"),
        ("raise GeneratorExit", "raised GeneratorExit"),
        ("f()", "maximum recursion depth"),
        ("raise ValueError('x' * 1_000_000)", "characters ..."),
        ("raise Silent", "its text could not be made"),
    ],
)
def test_any_other_end_is_a_failure(bench: Bench, statement: str, message: str) -> None:
    source = f"""
        class Silent(Exception):
            def __str__(self): raise RuntimeError
        def f():
            {statement}
    """
    outcome = bench.outcome(source)
    assert isinstance(outcome, Failed)
    assert message in outcome.failure.message
    assert len(outcome.failure.message) < 10_000
    assert len(outcome.failure.traceback) < 100_000


def test_a_module_that_fails_to_import_and_a_missing_function(bench: Bench) -> None:
    outcome = bench.outcome("x = 1\n1 / 0\ndef f(): pass")
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "builtins:ZeroDivisionError"
    assert "line 2, in <module>" in outcome.failure.traceback.splitlines()[1]
    missing = bench.outcome("def f(): pass", name="g")
    assert isinstance(missing, Failed)
    assert "has no g" in missing.failure.message


@pytest.mark.parametrize(
    "body",
    [
        "raise Stopped('asked to stop')",
        "try: raise Stopped('asked to stop')\n    finally: open('no such file')",
        "try: raise Stopped('asked to stop')\n    except BaseException as error: raise OSError('hides') from error",
    ],
)
def test_a_stopped_attempt_is_cancelled_whatever_its_clean_up_raises(bench: Bench, body: str) -> None:
    source = f"from penstock.launcher.inner.outcomes import Stopped\ndef f():\n    {body}"
    assert bench.outcome(source) == Cancelled("asked to stop")


def test_a_dataclass_passed_on_whole_is_made_again_of_its_fields(bench: Bench) -> None:
    source = """
        from dataclasses import dataclass, field
        from enum import Enum
        from typing import NamedTuple
        class Colour(Enum):
            RED = 1
        class Pair(NamedTuple):
            colour: Colour
            n: int
        @dataclass
        class Made:
            pair: Pair
            next: "Made | None"
            doubled: int = field(init=False)
            def __post_init__(self): raise AssertionError("it was made already")
        def f(made: Made, all: list[Made], by_name: dict[str, Pair]):
            assert made.pair == Pair(Colour.RED, 2) and made.doubled == 4 and made.next.next is None
            assert all[0].pair.n == 2 and by_name["a"].colour is Colour.RED
            return True
    """
    pair = {"colour": "RED", "n": 2}
    made = {"pair": pair, "next": {"pair": pair, "next": None, "doubled": 1}, "doubled": 4}
    record = {"name": "m:Made", "parts": [["doubled", {"name": "int"}]]}
    types = {"made": record, "all": {"name": "list", "item": record}, "by_name": {"name": "dict"}}
    inputs: dict[str, Datum] = {
        "made": Struct({name: Inline(value) for name, value in made.items()}),
        "all": Counted((Inline(made),)),
        "by_name": Struct({"a": Inline(pair)}),
    }
    assert _value(bench.outcome(source, inputs=inputs, types=types)) is True


# -- async ---------------------------------------------------------------------------------------------------------------


def test_an_async_function_is_run_to_its_end(bench: Bench) -> None:
    source = """
        import asyncio
        from penstock import context
        async def one(n):
            await asyncio.sleep(0)
            context().log_metric("n", n)
            return n
        async def f(x):
            return sum(await asyncio.gather(*(one(n) for n in range(x)))) + await asyncio.to_thread(lambda: 1)
    """
    assert _value(bench.outcome(source, inputs={"x": Inline(4)})) == 7
    assert not bench.launcher.retire


@pytest.mark.parametrize(
    "body",
    [
        "stop()",
        "await asyncio.gather(asyncio.sleep(60), stopping())",
        "asyncio.get_running_loop().call_soon(stop); await asyncio.sleep(60)",
        "asyncio.get_running_loop().call_soon(stop)\n    try: await asyncio.sleep(60)\n    finally: open('no such file')",
    ],
)
def test_an_async_function_is_stopped_wherever_the_request_arrives(bench: Bench, body: str) -> None:
    source = f"""
import asyncio
from penstock.launcher.inner.outcomes import Stopped
def stop(): raise Stopped("asked to stop")
async def stopping(): stop()
async def f():
    {body}
"""
    assert bench.outcome(source) == Cancelled("asked to stop")


def test_what_an_async_function_raises_is_its_answer_with_the_authors_frame(bench: Bench) -> None:
    source = """
        import asyncio
        from penstock import Skip
        async def inner():
            raise KeyError("gone")
        async def f(skip):
            if skip:
                raise Skip("nothing new")
            await asyncio.wait_for(inner(), 5)
    """
    module = bench.module(source)
    assert bench.again(module, inputs={"skip": Inline(True)}).outcome == Skipped("nothing new")
    failed = bench.again(module, inputs={"skip": Inline(False)}).outcome
    assert isinstance(failed, Failed)
    assert failed.failure.type.endswith("KeyError")
    assert "penstock" not in failed.failure.traceback
    assert [frame.function for frame in failed.failure.frames if frame.file.endswith(f"{module}.py")] == ["f", "inner"]


def test_a_stop_while_the_outputs_are_sealed_is_cancelled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(data: bytes) -> str:
        raise Stopped("asked to stop")

    monkeypatch.setattr(bench.artifacts, "put_bytes", stop)
    assert bench.outcome("def f(): return (1, 2)") == Cancelled("asked to stop")


def test_a_full_disk_is_a_failure_that_can_be_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: bytes) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bench.artifacts, "put_bytes", full)
    outcome = bench.outcome("def f(): return (1, 2)")
    assert isinstance(outcome, Failed)
    assert not outcome.final
    assert outcome.failure.type == "StoreUnavailable"
    assert "No space left on device" in outcome.failure.message


def test_importing_the_module_is_not_the_tasks_time(bench: Bench) -> None:
    module = bench.module("import time\ntime.sleep(0.3)\ndef f(): time.sleep(0.05)\n")
    first, second = bench.again(module), bench.again(module)
    assert 50_000 <= first.duration_us < 250_000 and 50_000 <= second.duration_us < 250_000
    (seen,) = bench.launcher.observations()
    assert isinstance(seen, Observation) and seen.name == IMPORT_METRIC and seen.value >= 0.3
