"""What stands behind declared inputs: files, folders, addresses, tables."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock.values import sources
from penstock.values.refusals import SourceMissing, SourceUnavailable


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_files_and_folders_are_found_where_they_say(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("1")
    assert sources.resolve_file({"source": "file", "path": "data/x.csv"}) == tmp_path / "data" / "x.csv"
    assert sources.resolve_folder({"source": "folder", "path": "data"}) == tmp_path / "data"
    assert sources.resolve_any({"source": "folder", "path": "data"}) == tmp_path / "data"
    assert sources.resolve_file(None) is None
    with pytest.raises(SourceMissing, match=r"there is no file data/y\.csv"):
        sources.resolve_file({"source": "file", "path": "data/y.csv"})
    with pytest.raises(SourceMissing, match="data is not a file") as caught:
        sources.resolve_file({"source": "file", "path": "data"})
    assert caught.value.fix == "Declare it as Folder('data')."


# -- addresses ---------------------------------------------------------------------------------------------------------


class Site:
    """What a server of the test's own answers: content, headers, and whether it takes HEAD."""

    def __init__(self) -> None:
        self.content = b"1,2,3"
        self.headers: dict[str, str] = {}
        self.status = 200
        self.takes_head = True
        self.asked: list[str] = []
        site = self

        class Answering(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(site.status if site.takes_head else 405, b"")

            def do_GET(self) -> None:
                self._answer(site.status, site.content)

            def _answer(self, status: int, content: bytes) -> None:
                site.asked.append(f"{self.command} {self.path}")
                self.send_response(status)
                self.send_header("Content-Length", str(len(site.content)))
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *given: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Answering)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/data/flights.csv"

    def source(self, url: str = "") -> dict[str, Any]:
        return {"source": "url", "url": url or self.url}


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def seen(site: Site) -> dict[str, Any]:
    found = sources.probe_url(site.source())
    assert found is not None
    return {name: value for name, value in found.items() if name not in ("source", "url")}


def test_an_entity_tag_tells_without_the_content(site: Site) -> None:
    site.headers = {"ETag": '"abc"', "Last-Modified": "Mon, 02 Jan 2023 10:00:00 GMT"}
    assert seen(site) == {"etag": '"abc"'}
    assert site.asked == ["HEAD /data/flights.csv"]


def test_else_the_time_of_change_and_the_length(site: Site) -> None:
    site.headers = {"Last-Modified": "Mon, 02 Jan 2023 10:00:00 GMT"}
    assert seen(site) == {"modified": "Mon, 02 Jan 2023 10:00:00 GMT", "length": "5"}


def test_else_the_content(site: Site) -> None:
    assert seen(site) == {"digest": hashlib.sha256(b"1,2,3").hexdigest()}
    site.content = b"4,5,6"
    assert seen(site) == {"digest": hashlib.sha256(b"4,5,6").hexdigest()}


def test_a_server_that_takes_no_head_is_asked_for_the_whole(site: Site) -> None:
    site.takes_head, site.headers = False, {"ETag": '"abc"'}
    assert seen(site) == {"etag": '"abc"'}


def test_what_was_seen_is_fetched(site: Site) -> None:
    for site.headers in ({"ETag": '"abc"'}, {"Last-Modified": "Mon, 02 Jan 2023 10:00:00 GMT"}, {}):
        path = sources.fetch_url(sources.probe_url(site.source()))
        assert path is not None
        assert (path.name, path.read_bytes()) == ("flights.csv", b"1,2,3")


def test_what_changed_in_between_is_not_taken_for_what_was_seen(site: Site) -> None:
    site.headers = {"ETag": '"abc"'}
    before = sources.probe_url(site.source())
    site.headers = {"ETag": '"def"'}
    with pytest.raises(SourceUnavailable, match="changed while it was fetched"):
        sources.fetch_url(before)
    site.headers = {}
    before = sources.probe_url(site.source())
    site.content = b"4,5,6"
    with pytest.raises(SourceUnavailable, match="changed while it was fetched"):
        sources.fetch_url(before)


def test_a_missing_page_and_a_broken_server_are_told_apart(site: Site) -> None:
    site.status = 404
    with pytest.raises(SourceMissing, match="answers 404"):
        sources.probe_url(site.source())
    site.status = 503
    with pytest.raises(SourceUnavailable, match="answers 503"):
        sources.probe_url(site.source())
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        sources.probe_url(site.source("http://127.0.0.1:1/x"))
    with pytest.raises(SourceMissing, match="is not an address over http"):
        sources.probe_url(site.source("ftp://127.0.0.1/x"))


def test_a_secret_in_an_address_is_read_from_the_environment_and_told_to_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = site.source(f"{site.url}?key=${{ACCESS_KEY}}")
    with pytest.raises(SourceMissing, match="the environment has no ACCESS_KEY"):
        sources.probe_url(source)
    monkeypatch.setenv("ACCESS_KEY", "hunter2")
    found = sources.probe_url(source)
    assert site.asked[-1] == "GET /data/flights.csv?key=hunter2"
    assert "hunter2" not in repr(found)
    site.status = 500
    with pytest.raises(SourceUnavailable) as caught:
        sources.probe_url(source)
    assert "hunter2" not in str(caught.value)


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    write(tmp_path, "create table flights (id integer, origin text, delay real)")
    write(tmp_path, "insert into flights values (1, 'EWR', 2.5), (2, 'JFK', null)")
    return {"source": "table", "url": "sqlite:///x.db", "query": "select * from flights order by id", "version": None}


def write(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "x.db")) as connection, connection:
        connection.execute(statement)


def probe(table: dict[str, Any]) -> dict[str, Any]:
    found = sources.probe_table(table)
    assert found is not None
    return found


def test_rows_are_compared_where_there_is_no_version(table: dict[str, Any], tmp_path: Path) -> None:
    before = probe(table)
    assert probe(table) == before
    write(tmp_path, "update flights set delay = 3 where id = 2")
    assert probe(table) != before


def test_a_version_query_is_asked_instead(table: dict[str, Any], tmp_path: Path) -> None:
    table["version"] = "select max(id) from flights"
    before = probe(table)
    write(tmp_path, "update flights set delay = 3 where id = 2")
    assert probe(table) == before
    write(tmp_path, "insert into flights values (3, 'LGA', 0)")
    assert probe(table) != before


def test_rows_come_as_the_consumer_wants_them(table: dict[str, Any]) -> None:
    found = probe(table)
    rows = [{"id": 1, "origin": "EWR", "delay": 2.5}, {"id": 2, "origin": "JFK", "delay": None}]
    assert sources.read_table_rows(found) == rows
    frame = sources.read_table_pandas(found)
    assert list(frame.columns) == ["id", "origin", "delay"]
    assert frame["id"].tolist() == [1, 2]
    assert sources.read_table_polars(found).to_dicts() == rows
    assert sources.read_table_arrow(found).to_pylist() == rows


def test_no_rows_are_a_table_too(table: dict[str, Any]) -> None:
    found = probe({**table, "query": "select * from flights where id > 9"})
    assert sources.read_table_rows(found) == []
    assert list(sources.read_table_pandas(found).columns) == ["id", "origin", "delay"]
    assert sources.read_table_polars(found).columns == ["id", "origin", "delay"]
    assert sources.read_table_arrow(found).column_names == ["id", "origin", "delay"]


@pytest.mark.parametrize("version", [None, "select count(*) from flights"])
def test_a_table_that_changed_in_between_is_not_taken_for_what_was_seen(
    table: dict[str, Any], tmp_path: Path, version: str | None
) -> None:
    found = probe({**table, "version": version})
    write(tmp_path, "insert into flights values (3, 'LGA', 0)")
    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        sources.read_table_pandas(found)


def test_a_database_that_is_not_there_is_missing_and_not_made(table: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"there is no database y\.db"):
        sources.probe_table({**table, "url": "sqlite:///y.db"})
    assert not (tmp_path / "y.db").exists()
    with pytest.raises(SourceUnavailable, match="no such table: trains"):
        sources.probe_table({**table, "query": "select * from trains"})


def test_a_query_changes_nothing(table: dict[str, Any]) -> None:
    before = probe(table)
    with pytest.raises(SourceUnavailable):
        sources.probe_table({**table, "query": "delete from flights"})
    assert probe(table) == before


def test_a_password_of_a_database_is_told_to_nobody(table: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2@/")
    assert sources._expanded("postgresql://app:${DB_PASSWORD}@host/x")[0] == "postgresql://app:hunter2%40%2F@host/x"
    with pytest.raises(SourceUnavailable) as caught:
        sources.probe_table({**table, "url": "postgresql+nothing://app:${DB_PASSWORD}@host/x"})
    assert "hunter2" not in str(caught.value)
