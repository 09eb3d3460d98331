"""`File`, `Folder`, `Url`, `Table`: data from outside as inputs. Given to a task in a pipeline, or as a pipeline's parameter,
each stands for what is there when a run comes to it; what reads it runs again when that has changed."""

from __future__ import annotations

import typing
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from penstock.graph.sources import FILE, FOLDER, TABLE, URL

if TYPE_CHECKING:
    from pathlib import Path

    # To type checkers a source is what a task is given for it.
    class File(Path):
        def __init__(self, path: str | PathLike[str]) -> None: ...

    class Folder(Path):
        def __init__(self, path: str | PathLike[str]) -> None: ...

    class Url(Path):
        def __init__(self, url: str) -> None: ...

    class Table(Any):  # type: ignore[misc] # whatever its consumer is annotated with
        def __init__(self, url: str, *, query: str, version: str | None = None) -> None: ...

else:

    class File:
        """A file, by its path: relative to the project, or absolute. A task is given a copy of its own, as a
        `pathlib.Path`; what counts is the content."""

        __slots__ = ("path",)

        def __init__(self, path: str | PathLike[str]) -> None:
            self.path = fspath(path)

        def __penstock_parameter__(self) -> dict[str, Any]:
            return {"source": FILE, "path": self.path}

        def __fspath__(self) -> str:
            return self.path

        def __repr__(self) -> str:
            return f"File({self.path!r})"

    class Folder:
        """A folder with all that is in it, as `File`."""

        __slots__ = ("path",)

        def __init__(self, path: str | PathLike[str]) -> None:
            self.path = fspath(path)

        def __penstock_parameter__(self) -> dict[str, Any]:
            return {"source": FOLDER, "path": self.path}

        def __fspath__(self) -> str:
            return self.path

        def __repr__(self) -> str:
            return f"Folder({self.path!r})"

    class Url:
        """What an address over http or https answers. The server is asked in every run whether it has changed (by entity
        tag or time of change; where it names neither, by content); it is fetched when it has. A task is given a
        `pathlib.Path`. `${NAME}` in the address is read from the environment."""

        __slots__ = ("url",)

        def __init__(self, url: str) -> None:
            self.url = url

        def __penstock_parameter__(self) -> dict[str, Any]:
            return {"source": URL, "url": self.url}

        def __repr__(self) -> str:
            return f"Url({self.url!r})"

    class Table:
        """The rows of a query, over SQLAlchemy: `Table("sqlite:///data.db", query="select * from flights")`. In every run
        its rows are compared with those of before; `version`, a cheaper query such as `"select max(id) from flights"`,
        is asked instead where it is given. A task is given a table as it is annotated (`pandas.DataFrame`,
        `polars.DataFrame`, `pyarrow.Table`), or a list of dicts. `${NAME}` in the address is read from the
        environment: a password is not written here."""

        __slots__ = ("query", "url", "version")

        def __init__(self, url: str, *, query: str, version: str | None = None) -> None:
            self.url = url
            self.query = query
            self.version = version

        def __penstock_parameter__(self) -> dict[str, Any]:
            return {"source": TABLE, "url": self.url, "query": self.query, "version": self.version}

        def __repr__(self) -> str:
            version = f", version={self.version!r}" if self.version is not None else ""
            return f"Table({self.url!r}, query={self.query!r}{version})"


KIND_BY_CLASS: dict[Any, str] = {File: FILE, Folder: FOLDER, Url: URL, Table: TABLE}


def is_source(value: Any) -> bool:
    return type(value) in KIND_BY_CLASS


def kind_of(value: Any) -> str:
    return KIND_BY_CLASS[type(value)]


def as_argument(value: Any) -> Any:
    """What a task that is called as a plain function is given: a path for a file or folder, anything else as it is."""
    if type(value) in (File, Folder):
        from pathlib import Path

        return Path(fspath(typing.cast("PathLike[str]", value)))
    return value
