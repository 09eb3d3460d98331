"""Opens the artifact store for workers, which are given this function's dotted name and its arguments as JSON. It
stands apart from `app` to be cheap to import: it is on the way of every worker's start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.values.store import ArtifactStore


def open_artifacts(arguments: Mapping[str, str]) -> ArtifactStore:
    """The artifact store that `arguments` describe: `{"root": FOLDER}`."""
    return DiskArtifactStore(Path(arguments["root"]))
