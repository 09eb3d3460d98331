"""Environments of components' own: an isolated interpreter with packages, built once per content below the state folder, never
touching the user's own. `uv` builds them where there is one, `venv` and `pip` else.

`NAME` is a digest of what was asked for. `environments/NAME/` is the environment, `NAME.json` its lock (the Python and every
distribution that came of it), which stays when the environment goes: it is then built again from the same versions.
`NAME.lock` is locked while somebody builds. An environment without its mark was interrupted, and is begun anew."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.digests import digest_of
from penstock.base.errors import PenstockError
from penstock.base.ownership import why_foreign
from penstock.code.distributions import distributions_in
from penstock.launcher.outer.programs import run_program

ENVIRONMENTS = "environments"
"""The name of their folder in the state folder."""

FAILED_FRESH_S = 60.0
"""A build that failed is not tried again for so long: many tasks may ask for one environment at once."""

LINES_MAX = 15
NAME_LENGTH = 24
_MARK = "penstock.json"
_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


class EnvironmentFailed(PenstockError):
    """An environment could not be built; the message ends with the installer's last lines."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: `python` a version or empty, `packages` requirements, `requirements` a file of the project and
    `text` what it says."""

    python: str
    packages: tuple[str, ...]
    requirements: str = ""
    text: str = ""

    @property
    def name(self) -> str:
        version = self.python or ".".join(map(str, sys.version_info[:2]))
        said = [version, sorted(self.packages), self.text, sys.platform, os.uname().machine]
        return digest_of(said)[:NAME_LENGTH]

    def __str__(self) -> str:
        facts = [f"Python {self.python}"] if self.python else []
        return ", ".join([*facts, *self.packages, *([self.requirements] if self.requirements else [])])


@dataclass(frozen=True, slots=True)
class Built:
    """An environment that can be used. `lock` maps `python` and `dist:NAME` to what they are; `changed`: it is not what an
    earlier lock said."""

    folder: Path
    lock: Mapping[str, str]
    changed: bool = False

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def programs(self) -> str:
        return str(self.folder / "bin")


def wanted_of(environment: Mapping[str, Any], *, project: Path, held: Mapping[str, bytes] | None = None) -> Wanted:
    """What a component asks for. `held` are files as they were when the run began. Raises EnvironmentFailed where the
    requirements are not there."""
    path = environment["requirements"]
    content = b""
    if path:
        known = (held or {}).get(path)
        try:
            content = known if known is not None else (project / path).read_bytes()
        except OSError as error:
            raise EnvironmentFailed(
                f"the requirements {path} cannot be read: {error.strerror}",
                fix="Paths are relative to the project's folder.",
            ) from error
    return Wanted(environment["python"], tuple(environment["packages"]), path, content.decode(errors="replace"))


def lock_of(wanted: Wanted, root: Path) -> Mapping[str, str] | None:
    """What an environment holds, or held when it was last there; None for one that was never built."""
    try:
        lock: Mapping[str, str] = json.loads((root / f"{wanted.name}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return lock


def built(wanted: Wanted, root: Path, *, project: Path) -> Built:
    """The environment, built if it is not there; waits while somebody else builds it. Raises EnvironmentFailed, and what
    interrupts it."""
    folder = root / wanted.name
    known = _known(folder, wanted, root)
    if known is not None:
        return known
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(root / f"{wanted.name}.lock"):
        known = _known(folder, wanted, root)
        if known is not None:
            return known
        failed = root / f"{wanted.name}.failed"
        with suppress(OSError):
            if time.time() - failed.stat().st_mtime < FAILED_FRESH_S:
                raise EnvironmentFailed(failed.read_text())
        sys.stderr.write(f"penstock: building the environment of {wanted}\n")
        sys.stderr.flush()
        try:
            return _build(wanted, folder, root, project)
        except EnvironmentFailed as error:
            failed.write_text(error.message)
            raise


def _known(folder: Path, wanted: Wanted, root: Path) -> Built | None:
    lock = lock_of(wanted, root) if (folder / _MARK).exists() else None
    return None if lock is None else Built(folder, lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


# -- building ------------------------------------------------------------------------------------------------------------


def _build(wanted: Wanted, folder: Path, root: Path, project: Path) -> Built:
    before = lock_of(wanted, root)
    shutil.rmtree(folder, ignore_errors=True)
    uv = find_uv()
    python = find_python(wanted.python)
    if python is None and uv is None:
        raise EnvironmentFailed(
            f"there is no Python {wanted.python} here", fix="Install it, or install uv, which can fetch it."
        )
    if uv is not None:
        _call([uv, "venv", "--no-project", "--python", python or wanted.python, str(folder)], wanted, project)
        install = [uv, "pip", "install", "--python", str(folder / "bin" / "python")]
    else:
        assert python is not None
        # Isolated: what `-m` names is not looked for in the current folder.
        _call([python, "-I", "-m", "venv", str(folder)], wanted, project)
        install = [
            str(folder / "bin" / "python"),
            "-I",
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
        ]
    asked = [*wanted.packages, *_requirements(wanted, folder, project)]
    if asked:
        _call([*install, *_constraints(before, folder), *asked], wanted, project)
    lock = _lock_of_folder(folder)
    _write(root / f"{wanted.name}.json", json.dumps(lock))
    _write(folder / _MARK, json.dumps({"name": wanted.name}))
    (root / f"{wanted.name}.failed").unlink(missing_ok=True)
    return Built(folder, lock, changed=before is not None and before != lock)


def _requirements(wanted: Wanted, folder: Path, project: Path) -> list[str]:
    """The file of requirements: the project's own while it says what it said, so that what it refers to is found."""
    if not wanted.requirements:
        return []
    place = project / wanted.requirements
    with suppress(OSError):
        if place.read_bytes().decode(errors="replace") == wanted.text:
            return ["-r", str(place)]
    own = folder / "requirements.txt"
    own.write_text(wanted.text)
    return ["-r", str(own)]


def _constraints(before: Mapping[str, str] | None, folder: Path) -> list[str]:
    """The versions that there were, where it has been there before."""
    pins = [
        f"{part.partition(':')[2]}=={text.partition(' ')[0]}"
        for part, text in (before or {}).items()
        if part.startswith("dist:")
    ]
    if not pins:
        return []
    place = folder / "constraints.txt"
    place.write_text("\n".join([*pins, ""]))
    return ["-c", str(place)]


def _call(argv: Sequence[str], wanted: Wanted, project: Path) -> str:
    """Run an installer, its text going where the task's goes; what it printed. Raises EnvironmentFailed."""
    variables = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    # It builds what it is told to, whatever environment it is called from.
    variables = {name: text for name, text in variables.items() if name not in ("VIRTUAL_ENV", "UV_SYSTEM_PYTHON")}
    if _has_foreign_configuration(project):
        variables["UV_NO_CONFIG"] = "1"
    try:
        ran = run_program(argv, program=argv[0], folder=project, variables=variables)
    except OSError as error:
        raise EnvironmentFailed(
            f"the environment of {wanted} could not be built: {argv[0]}: {error.strerror}"
        ) from error
    if ran.code != 0:
        lines = (ran.stderr or ran.stdout).decode(errors="backslashreplace").rstrip().splitlines()[-LINES_MAX:]
        told = "\n".join(["", *lines])
        raise EnvironmentFailed(f"the environment of {wanted} could not be built (exit code {ran.code}){told}")
    return ran.stdout.decode(errors="backslashreplace")


def _has_foreign_configuration(project: Path) -> bool:
    """Whether uv, which looks through all folders above for a file of settings, may find one that another user wrote: it
    could name an index whose packages run code when they are built."""
    files = (folder / name for folder in (project, *project.parents) for name in ("uv.toml", "pyproject.toml"))
    return any(os.path.isfile(file) and (why_foreign(file) or why_foreign(file.parent)) for file in files)


def _lock_of_folder(folder: Path) -> dict[str, str]:
    """`python` and `dist:NAME` of what was installed, as the key parts of a component have them (cache rule 8)."""
    (library,) = (folder / "lib").glob("python*/site-packages")
    facts = dict(
        line.split(" = ", 1) for line in (folder / "pyvenv.cfg").read_text().splitlines() if line.count(" = ") == 1
    )
    version = facts.get("version_info") or facts.get("version", "")
    lock = {"python": ".".join(version.split(".")[:2])}
    lock.update({f"dist:{name}": text for name, text in distributions_in(str(library)).items()})
    return dict(sorted(lock.items()))


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    os.replace(unfinished, path)


# -- what builds ---------------------------------------------------------------------------------------------------------


def find_uv() -> str | None:
    """The program `uv`: on PATH, or beside this interpreter."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)


def find_python(version: str) -> str | None:
    """An interpreter of a version, or of this one's where none is asked for; None where there is none on this machine."""
    if not version or _fits(version, ".".join(map(str, sys.version_info[:3]))):
        return sys.executable
    short = ".".join(version.split(".")[:2])
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for name in (f"python{short}", "python3", "python"):
        for folder in folders:
            place = os.path.join(folder, name)
            if os.access(place, os.X_OK) and _fits(version, _version_of(place)):
                return place
    return None


def _fits(wanted: str, version: str) -> bool:
    return version == wanted or version.startswith(f"{wanted}.")


def _version_of(place: str) -> str:
    import subprocess

    try:
        done = subprocess.run([place, "-S", "-c", _VERSION], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


# -- giving space back ---------------------------------------------------------------------------------------------------


def reclaim(root: Path, names: Collection[str], *, dry_run: bool) -> int:
    """Remove the environments that are not among `names`, unless one is being built; their locks stay. How many bytes."""
    freed = 0
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir() or folder.name in names:
            continue
        held = os.open(root / f"{folder.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            freed += sum(one.lstat().st_size for one in folder.rglob("*") if not one.is_dir())
            if not dry_run:
                (folder / _MARK).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(held)
    return freed
