"""What it costs to know what every component's code counts as: a project of 300 modules and 30,000 lines.

    python bench/code.py [--folder DIR] [--modules 300] [--lines 100] [--tasks 30] [--rounds 5] [--json]

Each figure is the time of `component_codes` and of writing its blob, in a process that has just imported the project,
in milliseconds of processor time: `first` with nothing kept, `unchanged`, and with one source `changed`, beside sha256
over all sources and what Python needs to import them. Medians; nothing is asserted."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FUNCTION = """
def function_{number}(values, scale={number}):
    \"\"\"Scale some values.\"\"\"
    total = 0.0
    for position, value in enumerate(values):
        if value > LIMITS[position % 3]:
            total += math.sqrt(abs(value)) * scale  # the larger ones
        else:
            total -= helper_{helper}(value)
    if scale < 0:
        return module_{first}.function_{number}(values) or module_{last}.function_{number}(values)
    return Scaled(total, {number})
"""

MODULE = """
from __future__ import annotations
import math
from dataclasses import dataclass
{imports}

LIMITS = [{number}, 2, 3]
OPTIONS = {{"depth": {number}, "names": ("a", "b")}}


@dataclass(frozen=True)
class Scaled:
    total: float
    number: int = 0

    def doubled(self):
        return Scaled(self.total * 2, self.number)


def helper_{number}(value):
    return value + OPTIONS["depth"]
"""

MEASURE = """
import sys, time, json
from pathlib import Path
project, scratch = sys.argv[1], Path(sys.argv[2])
from penstock.authoring.dsl.tasks import Task
from penstock.base.digests import canonical_json
from penstock.code.digests import component_codes
from penstock.base.firstparty import is_first_party
from penstock.code.firstparty import source_paths
from penstock.code.import_reads import ImportReads
from penstock.code.model import codes_to_json
from penstock.code.pins import Recording
from penstock.stores.artifacts.disk import DiskArtifactStore
import hashlib
recording = Recording(project=project, paths=source_paths(project), folder=scratch / "compiled")
recording.begin()
reads = ImportReads(project, is_first_party)
reads.begin()
begun = time.process_time()
import target
imported = time.process_time() - begun
reads.end()
begun = time.process_time()
sources = recording.complete()
completed = time.process_time() - begun
tasks = [value.component for value in vars(target).values() if isinstance(value, Task)]
store = DiskArtifactStore(scratch / "artifacts")
begun = time.process_time()
codes = component_codes(tasks, sources=sources, project=project, scratch=scratch, reads=reads)
worked = time.process_time() - begun
store.put_bytes(canonical_json(codes_to_json(codes)))
written = time.process_time() - begun
begun = time.process_time()
for source in sources.values():
    hashlib.sha256(source.data).hexdigest()
hashed = time.process_time() - begun
units = max(len(code.closure) for code in codes.values())
print(json.dumps([written, worked, hashed, imported, len(sources), units, completed]))
"""


def write_project(folder: Path, *, modules: int, lines: int, tasks: int) -> int:
    total = 0
    for number in range(modules):
        below = [other for other in (2 * number + 1, 2 * number + 2) if other < modules] or [number]
        imports = "\n".join(
            f"import module_{other}\nfrom module_{other} import helper_{other}" for other in below if other != number
        )
        text = MODULE.format(number=number, imports=imports)
        count = 0
        while text.count("\n") < lines:
            helper = below[count % len(below)]
            text += FUNCTION.format(number=count, helper=helper, first=below[0], last=below[-1])
            count += 1
        (folder / f"module_{number}.py").write_text(text)
        total += text.count("\n")
    lines_of_target = ["from penstock import task", "import module_0"]
    for number in range(tasks):
        module = f"module_{number * modules // tasks}"
        lines_of_target += [f"import {module}", "@task", f"def task_{number}(x: int) -> float:"]
        lines_of_target += [f"    return {module}.function_{number % 5}([x]).total"]
    (folder / "target.py").write_text("\n".join(lines_of_target) + "\n")
    return total


def measure(project: Path, scratch: Path) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(project), str(scratch)], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: list[float] = json.loads(done.stdout)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder")
    for name, default in (("modules", 300), ("lines", 100), ("tasks", 30), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        project, scratch = Path(place).resolve() / "project", Path(place).resolve() / "scratch"
        project.mkdir()
        total = write_project(project, modules=given.modules, lines=given.lines, tasks=given.tasks)
        first = measure(project, scratch)
        unchanged = [measure(project, scratch) for _ in range(given.rounds)]
        changed = []
        for round_ in range(given.rounds):
            file = project / f"module_{given.modules // 2 + round_}.py"
            file.write_text(file.read_text().replace("* scale", f"* {round_ + 2} * scale"))
            changed.append(measure(project, scratch))
    figures = {
        f"ms, first, {given.modules} modules, {total:,} lines, {given.tasks} tasks": first[0] * 1e3,
        "ms, unchanged, blob written": statistics.median(each[0] for each in unchanged) * 1e3,
        "ms, unchanged, codes alone": statistics.median(each[1] for each in unchanged) * 1e3,
        "ms, one source changed, blob written": statistics.median(each[0] for each in changed) * 1e3,
        "ms, unchanged, finding what may be imported": statistics.median(each[6] for each in unchanged) * 1e3,
        "ms, sha256 over all sources": statistics.median(each[2] for each in unchanged) * 1e3,
        "ms, importing the project": statistics.median(each[3] for each in unchanged) * 1e3,
        "units in the largest component": first[5],
    }
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{value:14,.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
