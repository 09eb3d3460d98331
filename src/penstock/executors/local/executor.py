"""The local executor: runs attempts in worker processes on this machine, as many at once as fit.

It knows which attempts were asked for and where they are; it decides nothing about runs. All it remembers can be lost: what
ended is in the records of the incarnation's folder, what was begun is in the slots."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.effects import CapacityReported
from penstock.executors.local import machine
from penstock.executors.local.admission import Admission, Place
from penstock.executors.local.crew import Entry, Hand, Pool, how_it_ended, open_hand
from penstock.executors.local.incarnation import Incarnation, examine, forget_past
from penstock.executors.local.keeper_link import KeeperLink
from penstock.executors.local.ledger import Ledger, ledger_folder
from penstock.launcher.outer.processes import kill_marked
from penstock.launcher.outer.records import read_records
from penstock.launcher.outer.slot import ATTEMPT_ID_BYTES_MAX
from penstock.launcher.outer.worker import DATAGRAM_BYTES_MAX, WorkerSettings
from penstock.wire import (
    AttemptEnded,
    AttemptRequest,
    AttemptStarted,
    Cancelled,
    DescribeRequest,
    Description,
    Lost,
    Observation,
    Outcome,
    Refused,
    Report,
    Usage,
    description_from_json,
    report_from_json,
    request_to_json,
)
