"""The cache of a state store in memory: what `stores.sql.cache` means, without a database. Rows are kept as the tuples
that the database would hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.base.errors import ClaimLost
from penstock.base.instants import Instant
from penstock.effects import ArtifactLink, Commit, Found
from penstock.engine.rows import CacheEntry, TaskRunRow
from penstock.stores.sql import cache_codec, codec
from penstock.stores.sql.codec import Values

IsLive = Callable[[str, Instant], bool]
"""Whether somebody holds the lease of a run, and it lasts beyond an instant."""
Owner = tuple[str, str]
"""Run and path of a task run."""


@dataclass(slots=True)
class MemoryCache:
    entries: dict[str, list[tuple[int, Values]]] = field(default_factory=dict)
    """By key, oldest first, each with its number."""
    written: int = 0
    """How many entries there have ever been."""
    claims: dict[str, Owner] = field(default_factory=dict)
    links: dict[Values, None] = field(default_factory=dict)
    """Values of `ARTIFACT_COLUMNS`, the run named by its id."""
    marks: dict[str, Values] = field(default_factory=dict)

    # -- commit

    def claims_after(self, commit: Commit, *, ended: Iterable[str], is_live: IsLive) -> dict[str, Owner]:
        """The claims that a commit leads to. Raises ClaimLost."""
        if not (self.claims or commit.claims):
            return self.claims
        leased, over = {lease.run_id for lease in commit.leases}, set(ended)
        written = {(entry.key, entry.run_id) for entry in commit.entries}
        released = {(key, run_id) for key in commit.released for run_id in leased}
        claims = {
            key: owner
            for key, owner in self.claims.items()
            if owner[0] not in over and (key, owner[0]) not in written | released
        }
        entered = [claim.key for claim in commit.claims if self._newest(claim.key, commit.at).newest != claim.newest]
        lost = dict.fromkeys(entered)
        for claim in commit.claims:
            holder = claims.get(claim.key, (claim.run_id, ""))[0]
            if holder != claim.run_id and is_live(holder, commit.at):
                lost[claim.key] = None
            else:
                claims[claim.key] = (claim.run_id, claim.path)
        if lost:
            raise ClaimLost(tuple(lost))
        return claims

    def write(self, entries: Sequence[Values], links: Iterable[Values]) -> None:
        for values in entries:
            self.written += 1
            self.entries.setdefault(values[0], []).append((self.written, values))
        self.links.update(dict.fromkeys(links))

    # -- reading

    def look_up(self, keys: Sequence[str], *, now: Instant, is_live: IsLive) -> dict[str, Found]:
        found = {}
        for key in keys:
            known = self._newest(key, now)
            holder = self.claims.get(key, ("", ""))[0]
            claimed_by = holder if holder and is_live(holder, now) else None
            if key in self.entries or claimed_by:
                found[key] = replace(known, claimed_by=claimed_by)
        return found

    def _newest(self, key: str, now: Instant) -> Found:
        entries = self.of_key(key)
        lasting = [entry for entry in entries if entry.expires_at is None or entry.expires_at > now]
        return Found(lasting[0] if lasting else None, has_expired=bool(entries) and not lasting)

    def next_to(self, key: str, count: int) -> list[str]:
        """Keys that the run which wrote the newest entry of this key wrote right after it."""
        if key not in self.entries:
            return []
        number, values = self.entries[key][-1]
        run_id = cache_codec.decode_entry(values).run_id
        later = [
            (other, name)
            for name, written in self.entries.items()
            for other, row in written
            if number < other <= number + count and cache_codec.decode_entry(row).run_id == run_id
        ]
        return [name for _, name in sorted(later)]

    def of_key(self, key: str) -> list[CacheEntry]:
        """Newest first."""
        return [cache_codec.decode_entry(values) for _, values in reversed(self.entries.get(key, ()))]

    def of_component(self, component: str) -> list[CacheEntry]:
        """Newest first by `created_at`."""
        numbered = [
            (entry.created_at, number, entry)
            for entries in self.entries.values()
            for number, values in entries
            for entry in [cache_codec.decode_entry(values)]
            if entry.component == component
        ]
        return [entry for _, _, entry in sorted(numbered, key=lambda one: one[:2], reverse=True)]

    def linked(self, submitted: Mapping[str, int], **wanted: str) -> list[ArtifactLink]:
        """Links whose fields are these, the oldest runs first; `submitted`: their places in the order of submission."""
        links = [cache_codec.decode_link(str(values[0]), values) for values in self.links]
        found = [link for link in links if all(getattr(link, name) == value for name, value in wanted.items())]
        return sorted(found, key=lambda one: (submitted[one.run_id], one.path, one.role, one.name, one.digest))

    # -- reclaiming

    def texts(self) -> Iterator[str]:
        """The outputs of all entries, as JSON."""
        for entries in self.entries.values():
            for _, values in entries:
                yield str(values[cache_codec.ENTRY_COLUMNS.index("outputs")])

    def unwritten_since(self, at: Instant) -> list[str]:
        return sorted(key for key in self.entries if all(entry.created_at < at for entry in self.of_key(key)))

    def delete_entries(self, keys: Sequence[str]) -> int:
        return sum(len(self.entries.pop(key, ())) for key in keys)

    def delete_run(self, run_id: str) -> None:
        self.claims = {key: owner for key, owner in self.claims.items() if owner[0] != run_id}
        self.links = {values: None for values in self.links if values[0] != run_id}


def adoptable(rows: Iterable[TaskRunRow], keys: Sequence[str]) -> dict[str, TaskRunRow]:
    """By key, the first of the succeeded task runs; `rows` are in order of path."""
    wanted = set(keys)
    found: dict[str, TaskRunRow] = {}
    for row in rows:
        if row.key is not None and row.key in wanted and row.state == "succeeded":
            found.setdefault(row.key, row)
    return found


def links_of(commit: Commit) -> list[codec.Values]:
    """What task runs were given, and what those made that the commit leaves succeeded."""
    rows = {
        (row.run_id, row.path): row
        for transition in commit.transitions
        if isinstance(row := transition.row, TaskRunRow)
    }
    made = [values for row in rows.values() for values in cache_codec.encode_made(row.run_id, [row])]
    return [cache_codec.encode_use(use.run_id, use) for use in commit.uses] + made
