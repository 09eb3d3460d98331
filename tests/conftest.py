"""Where everything has to be there (`PENSTOCK_TEST_REQUIRE_ALL`, set by `.ci/run`), a test that is skipped has failed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def pytest_report_header() -> str:
    from penstock.executors.local.gpus import has_driver

    return "GPUs: " + ("tested through NVML" if has_driver() else "none here, so NVML is not tested against a real one")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("PENSTOCK_TEST_REQUIRE_ALL"):
        report.outcome, report.longrepr = "failed", f"skipped, and nothing may be: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and os.environ.get("PENSTOCK_TEST_REQUIRE_ALL"):
        report.outcome, report.longrepr = "failed", f"skipped, and nothing may be: {report.longrepr}"
    return report
