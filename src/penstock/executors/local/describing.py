"""Asking a worker for what is behind a target (semantics 25): a worker of its own imports it, so that nothing of the
user's runs in the controller, and a crash there is an answer too."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict

from penstock.executors.local.crew import Hand, Pool
from penstock.executors.local.roster import Nonsense, Roster, Said
from penstock.executors.local.words import Described, Unusable
from penstock.wire import DescribeRequest, Description

_EXIT_WAIT = 200
"""How often news of a worker's end is waited for, 10 ms each, after its socket has closed."""


def describe_in(
    roster: Roster, request: DescribeRequest, *, lock: threading.RLock, hear: Callable[[], None]
) -> tuple[Description, Hand | None]:
    """Ask; wait for the answer however long the import takes. The worker that answered comes with it, its pool not yet
    anybody's; None where it died. `hear` takes in the keeper's news."""
    with lock:
        pool = Pool("")
        try:
            hand = roster.hire(pool, describes=True)
        except OSError as error:
            pool.close()
            return Description(error=f"no worker could be started: {error}"), None
        hand.describing = hand.leaving = True
        pool.send(b"D" + json.dumps(asdict(request)).encode())

    def kill(hand: Hand) -> None:
        with lock:
            roster.kill(hand)

    try:
        answer = _answer(hand, roster, hear, kill)
    except BaseException:
        kill(hand)
        with lock:
            hand.describing = False
            pool.close()
        raise
    if answer is not None:
        return answer, hand
    description = Description(error=_how_it_died(hand, request, roster), worker=str(hand.number))
    with lock:
        pool.close()
        hand.close()
    return description, None


def _answer(hand: Hand, roster: Roster, hear: Callable[[], None], kill: Callable[[Hand], None]) -> Description | None:
    """The worker's description; None when it ended without one."""
    poller = select.poll()
    poller.register(hand.reports.fileno(), select.POLLIN)
    waits = 0
    while True:
        poller.poll(10 if waits else 200)
        has_ended = hand.exit is not None
        for said in roster.hear_hand(hand):
            match said:
                case Said(_, Described(description, preloaded)):
                    hand.preloaded = preloaded
                    return description
                case Said(_, Unusable(error)):
                    hand.error = error
                case Nonsense():
                    hand.error = f"it said what cannot be understood: {hand.garbled}"
                    kill(hand)
                case _:
                    pass  # nothing that is asked for here
        hear()
        if has_ended:
            return None
        if not waits and not _is_open(hand):
            poller.unregister(hand.reports.fileno())
        waits += not _is_open(hand)
        if waits > _EXIT_WAIT:
            return None


def _is_open(hand: Hand) -> bool:
    try:
        return bool(hand.reports.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def _how_it_died(hand: Hand, request: DescribeRequest, roster: Roster) -> str:
    if hand.error:
        return f"the worker that was to import {request.target} is unusable: {hand.error}"
    how = "without saying why"
    if hand.exit is not None:
        how = f"with exit status {hand.exit}" if hand.exit >= 0 else f"by signal {-hand.exit}"
    tail = roster.log_tail(hand)
    printed = f"; it printed last:\n{tail}" if tail else ""
    return f"importing {request.target} ended its process {how}{printed}"
