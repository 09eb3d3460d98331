"""Runs attempts in worker processes on this machine."""

from penstock.executors.local.executor import LocalExecutor, LocalSettings

__all__ = ["LocalExecutor", "LocalSettings"]
