"""A located complaint about a pipeline: where, what is wrong, what to do. Diagnostics are collected, never raised one
by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Location:
    """A place in an author's file; `line` and `column` count from 1, 0 says unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """`code` is a stable kebab-case name (documented in `docs/diagnostics.md`); `fix` is a sentence in the imperative;
    `excerpt` shows the line that it is about, where there is more to see than its number."""

    code: str
    message: str
    fix: str = ""
    location: Location | None = None
    severity: Literal["error", "warning"] = "error"
    excerpt: str = ""

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        fix = f"\n    {self.fix}" if self.fix else ""
        excerpt = f"\n{self.excerpt}" if self.excerpt else ""
        return f"{where}{self.severity}: {self.message} [{self.code}]{excerpt}{fix}"

    def to_json(self) -> dict[str, Any]:
        place = self.location
        data: dict[str, Any] = {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "fix": self.fix,
            "location": {"file": place.file, "line": place.line, "column": place.column} if place else None,
        }
        return {**data, "excerpt": self.excerpt} if self.excerpt else data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Diagnostic:
        place = data.get("location")
        location = Location(place["file"], place["line"], place["column"]) if place else None
        excerpt = data.get("excerpt", "")
        return Diagnostic(data["code"], data["message"], data["fix"], location, data["severity"], excerpt)
