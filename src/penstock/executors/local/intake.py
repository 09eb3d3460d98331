"""From a request to what a worker reads from its pool's socket, or to a complaint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from penstock.executors.local.crew import Entry
from penstock.launcher.outer.devices import devices_in
from penstock.launcher.outer.slot import ATTEMPT_ID_BYTES_MAX
from penstock.launcher.outer.threads import threads_for
from penstock.launcher.outer.worker import DATAGRAM_BYTES_MAX, REQUEST_FILE
from penstock.wire import AttemptRequest, request_to_json

_TO_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


FRESH = "fresh "
"""What the keys of pools begin with that one attempt has to itself; its id follows. Other pools have the pin for a key, and the
number of threads that their workers' libraries start, if that is not one."""


class Intake:
    """`largest` is what there is of each resource; large requests are put into files of `folder`."""

    def __init__(self, folder: Path, largest: Mapping[str, int]) -> None:
        self.largest = largest
        self._folder = folder
        self._files = 0

    def entry_for(self, request: AttemptRequest) -> Entry:
        """An entry for the tables of the executor; its `complaint` says why the attempt cannot be taken, if it cannot."""
        shape = tuple(sorted(request.amounts.items()))
        fresh = request.fresh or bool(devices_in(request.amounts))
        threads = threads_for(request.amounts)
        key = FRESH + request.attempt_id if fresh else request.component.pin + f" {threads}" * (threads > 1)
        entry = Entry(request.attempt_id, key, shape, b"", fresh, complaint=self._complaint(request))
        entry.outputs = frozenset(request.component.outputs)
        if not entry.complaint:
            data = _TO_JSON(request_to_json(request)).encode()
            try:
                entry.datagram = data if len(data) <= DATAGRAM_BYTES_MAX else self._in_file(data)
            except OSError as error:
                entry.complaint = f"the request could not be written to {self._folder}: {error.strerror}"
        return entry

    def _complaint(self, request: AttemptRequest) -> str:
        for name, amount in request.amounts.items():
            if amount > self.largest.get(name, 0):
                return f"it asks for {amount} of {name}, and there are {self.largest.get(name, 0)}"
        if (
            len(request.attempt_id) > ATTEMPT_ID_BYTES_MAX // 4
            and len(request.attempt_id.encode()) > ATTEMPT_ID_BYTES_MAX
        ):
            return f"its id is longer than {ATTEMPT_ID_BYTES_MAX} bytes"
        return ""

    def _in_file(self, data: bytes) -> bytes:
        self._files += 1
        path = self._folder / f"request-{self._files}.json"
        path.write_bytes(data)
        return REQUEST_FILE + str(path.absolute()).encode()
