"""The local executor with GPUs that are not there (`testing.gpus`): real processes, real leases in the host's ledger."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.executors.local import LocalExecutor
from penstock.testing import gpus
from penstock.testing.conformance.executor import ends_of, name, reports_until
from penstock.testing.local_subject import LocalSubject
from penstock.wire import AttemptEnded, AttemptRequest, FunctionRequest, Inline, Refused, Succeeded

A, B = "gpu:GPU-fake-0000", "gpu:GPU-fake-0001"
GIB = 1 << 30
FAKE = "penstock.testing.gpus:open_fake"


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSubject:
    devices = tmp_path / "devices"
    devices.mkdir()
    monkeypatch.setenv(gpus.VARIABLE, f"2x8GiB:{devices}")
    return LocalSubject(tmp_path, gpu_source=FAKE)


def request(subject: LocalSubject, function: str, number: int, **amounts: int) -> AttemptRequest:
    devices = {"gpu:GPU-fake-000" + key[-1]: amount for key, amount in amounts.items()}
    plain = subject.request("ok", name(number))
    component = FunctionRequest(gpus.__name__, function, plain.component.inputs, {"output": {"name": "str"}}, pin="")  # type: ignore[union-attr]
    return replace(plain, component=component, amounts={**plain.amounts, **devices})


def working(subject: LocalSubject, number: int, *, memory_bytes: int, ms: int, **amounts: int) -> AttemptRequest:
    plain = request(subject, "works", number, **amounts)
    types = {"note": {"name": "str"}, "memory_bytes": {"name": "int"}, "ms": {"name": "int"}}
    inputs = {**plain.inputs, "memory_bytes": Inline(memory_bytes), "ms": Inline(ms)}
    return replace(plain, component=replace(plain.component, inputs=types), inputs=inputs)  # type: ignore[arg-type]


def said(end: AttemptEnded) -> str:
    assert isinstance(end.outcome, Succeeded), end
    value = end.outcome.outputs["output"]
    assert isinstance(value, Inline)
    return str(value.value)


def test_devices_are_reported_with_their_memory(subject: LocalSubject) -> None:
    with closing(subject.open()) as executor:
        amounts = executor.capacity().amounts
        assert {name: amount for name, amount in amounts.items() if name.startswith("gpu")} == {
            A: 1000,
            B: 1000,
            "gpu_memory:GPU-fake-0000": 8 * GIB,
            "gpu_memory:GPU-fake-0001": 8 * GIB,
        }
        assert executor.largest[A] == 1000


def test_an_attempt_sees_its_devices_and_no_others(subject: LocalSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([request(subject, "sees", 1, gpu1=1000), request(subject, "sees", 2)])
        ends = ends_of(executor, [name(1), name(2)])
        assert said(ends[name(1)]) == "GPU-fake-0001"
        assert said(ends[name(2)]) == "", "who has not asked for a GPU sees none"
        executor.start([request(subject, "sees", 3, gpu0=500, gpu1=500)])
        assert said(ends_of(executor, [name(3)])[name(3)]) == "GPU-fake-0000,GPU-fake-0001"


@pytest.mark.parametrize("options", [{"gpus": "off", "gpu_source": FAKE}, {}])
def test_where_no_gpus_are_managed_nothing_is_hidden(
    options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(gpus.VARIABLE, f"2x8GiB:{tmp_path}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    subject = LocalSubject(tmp_path, **(options or {"gpu_source": "penstock.executors.local.gpus:NoGpus"}))
    with closing(subject.open()) as executor:
        assert not any(name.startswith("gpu") for name in executor.capacity().amounts)
        executor.start([request(subject, "sees", 1)])
        assert said(ends_of(executor, [name(1)])[name(1)]) == "all"


def test_only_visible_devices_are_leased(subject: LocalSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with closing(subject.open()) as executor:
        assert [device.uuid for device in executor.gpus] == ["GPU-fake-0001"]


def test_memory_and_utilisation_are_recorded(subject: LocalSubject) -> None:
    with closing(subject.open()) as executor:
        both = [
            working(subject, 1, memory_bytes=3 * GIB, ms=1_000, gpu0=500),
            working(subject, 2, memory_bytes=1 * GIB, ms=1_000, gpu0=500),
        ]
        executor.start(both)
        ends = ends_of(executor, [name(1), name(2)])
        usage = ends[name(1)].usage
        assert (usage.gpu_memory_bytes_peak, usage.gpu_percent_mean) == (3 * GIB, 40.0)
        assert ends[name(2)].usage.gpu_memory_bytes_peak == GIB, "each is told from the other on one device"


def test_what_an_attempt_uses_is_known_while_it_runs(subject: LocalSubject) -> None:
    with closing(subject.open()) as executor:
        executor.start([working(subject, 1, memory_bytes=3 * GIB, ms=60_000, gpu0=1000)])
        reports_until(
            executor, lambda seen: (now := executor.usage().get(name(1))) and now.gpu_memory_bytes_peak == 3 * GIB
        )
        assert executor.usage()[name(1)].memory_bytes_peak > 0


def test_a_device_of_another_controller_is_refused_and_no_longer_offered(subject: LocalSubject) -> None:
    with closing(subject.open()) as one, closing(subject.open()) as two:
        one.start([working(subject, 1, memory_bytes=GIB, ms=1_500, gpu0=600)])
        two.start([request(subject, "sees", 2, gpu0=500), request(subject, "sees", 3, gpu0=400)])
        ends = ends_of(two, [name(2), name(3)])
        outcome = ends[name(2)].outcome
        assert isinstance(outcome, Refused)
        assert A in outcome.why
        assert said(ends[name(3)]) == "GPU-fake-0000", "what is left of it is there for others"
        assert two.capacity().amounts[A] == 400
        assert ends_of(one, [name(1)])[name(1)].usage.gpu_memory_bytes_peak == GIB
        reports_until(two, lambda seen: one.capacity().amounts[A] == 1000)
        reports_until(one, lambda seen: two.capacity().amounts[A] == 1000)
        two.start([request(subject, "sees", 4, gpu0=1000)])
        assert said(ends_of(two, [name(4)])[name(4)]) == "GPU-fake-0000"


def test_the_next_attempt_waits_until_the_last_one_has_let_go(subject: LocalSubject) -> None:
    """A process that has ended its attempt holds its memory for a moment longer."""
    with closing(subject.open()) as executor:
        for number in range(6):
            executor.start([working(subject, number, memory_bytes=6 * GIB, ms=10, gpu0=1000)])
            said(ends_of(executor, [name(number)])[name(number)])


def test_an_attempt_that_is_killed_gives_its_devices_back(subject: LocalSubject) -> None:
    with closing(subject.open()) as one, closing(subject.open()) as two:
        one.start([working(subject, 1, memory_bytes=GIB, ms=60_000, gpu0=1000)])
        reports_until(one, lambda seen: bool(seen) and two.capacity().amounts[A] == 0)
        one.stop(name(1), grace_ms=0)
        ends_of(one, [name(1)])
        reports_until(one, lambda seen: two.capacity().amounts[A] == 1000)


def test_a_dead_controller_leaves_no_lease(subject: LocalSubject) -> None:
    expendable = subject.open_expendable()
    expendable.start([working(subject, 1, memory_bytes=GIB, ms=60_000, gpu0=1000)])
    with closing(subject.open()) as other:
        reports_until(expendable, lambda seen: bool(seen))
        reports_until(other, lambda seen: other.capacity().amounts[A] == 0)
        subject.crash(expendable)
        reports_until(other, lambda seen: other.capacity().amounts[A] == 1000)
        assert isinstance(other, LocalExecutor)
