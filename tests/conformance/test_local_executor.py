"""The local executor passes the executor suites with real processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.testing.conformance.executor import CHECKS, Subject
from penstock.testing.conformance.executor_processes import CHECKS as PROCESS_CHECKS
from penstock.testing.conformance.executor_processes import ProcessSubject
from penstock.testing.local_subject import LocalSubject


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_local_executor(check: Callable[[Subject], None], tmp_path: Path) -> None:
    check(LocalSubject(tmp_path))


@pytest.mark.parametrize("check", PROCESS_CHECKS, ids=lambda check: check.__name__)
def test_local_executor_as_processes(check: Callable[[ProcessSubject], None], tmp_path: Path) -> None:
    check(LocalSubject(tmp_path))
