"""Nothing in the repository knows the machine that it was written on, nor where packages come from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r"/root/|/work/|/tmp/v/|/opt/|file:///|--index-url|--find-links|py[p]i\.org|python[h]osted\.org")


def test_no_machine_paths_and_no_package_hosts() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, "this test needs the repository, not only its files"
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match.group()}" for match in PLACES.finditer(text)]
    assert found == []
