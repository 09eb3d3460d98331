"""Other programs that code starts: which functions start them, and which programs read more than they are given (cache rule
13)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

PROGRAMS = re.compile(
    r"subprocess\.(run|call|check_call|check_output|Popen|getoutput|getstatusoutput)"
    r"|os\.(system|popen|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?)|asyncio\.create_subprocess_(exec|shell)"
    r"|pty\.spawn|_posixsubprocess\.fork_exec|pexpect\.(spawn|run|runu)|invoke\.run|plumbum\.local|sh\.\w+"
    r"|(anyio|trio)\.(run_process|open_process)"
)
PASSED_ON = "the program that is started is not known"
_OWN = re.compile(r"\bpython[\d.]*\b|\.(py|pyz|ipynb|sh)\b|^\./|^-[mc]$")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
# Programs that look for files of the project themselves.
# fmt: off
_LOOKING = frozenset((
    "make", "gmake", "cmake", "ninja", "meson", "scons", "bazel", "just", "invoke", "ant", "mvn", "gradle",
    "git", "hg", "svn", "dvc", "docker", "podman", "terraform",
    "tox", "nox", "pytest", "uv", "uvx", "poetry", "pdm", "hatch", "pixi", "pip", "jupyter", "papermill", "quarto", "dbt",
    "snakemake", "nextflow", "spark-submit", "latexmk", "pdflatex", "xelatex", "lualatex",
    "npm", "npx", "yarn", "pnpm", "node", "deno", "bun", "cargo", "go", "java", "R", "Rscript", "julia", "perl", "ruby", "php",
    "ls", "find", "du", "tree", "rg",
))
# fmt: on


def words_of(parts: Sequence[str]) -> list[str]:
    """The words of a program's arguments, those of a shell's text among them."""
    words: list[str] = []
    for part in parts:
        try:
            words += shlex.split(part, comments=False) or [part]
        except ValueError:  # a quotation mark that is not closed
            words += part.split()
    return words


def without_shell(arguments: Sequence[str]) -> Sequence[str]:
    """What a shell is asked to run by `sh -c`; the arguments themselves of any other program."""
    if len(arguments) > 2 and os.path.basename(arguments[0]) in _SHELLS and arguments[1] == "-c":
        return arguments[2:]
    return arguments


def why_unknown(words: Sequence[str]) -> str | None:
    """Why it cannot be known what a program reads; None where its words say it."""
    if any(_OWN.search(word) for word in words):
        return "a script is started as another program"
    looking = next((name for name in map(os.path.basename, words) if name in _LOOKING), None)
    return None if looking is None else f"{looking} is started, which looks for files of the project itself"


PYTHON = re.compile(r"python[\d.]*")


def python_code_of(words: Sequence[str]) -> tuple[str, str]:
    """What Python is asked to run: (`module` or `script`, its name); (`text`, "") for anything else."""
    for position, word in enumerate(words[1:], 1):
        if word == "-m" and position + 1 < len(words):
            return "module", words[position + 1]
        if not word.startswith("-"):
            return "script", word
        if word in ("-c", "-"):
            break
    return "text", ""
