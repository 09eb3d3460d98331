"""Tracebacks as their author wants them: from the first line of their own code on, without a frame of ours."""

from __future__ import annotations

import importlib
import traceback
from types import TracebackType
from typing import Any

from penstock.values.names import class_name
from penstock.wire import Failure

TRACEBACK_LENGTH_MAX = 64 * 1024
MESSAGE_LENGTH_MAX = 8 * 1024
MEMBERS_SHOWN_MAX = 10
_OURS = __file__.removesuffix("launcher/inner/traces.py")
_MACHINERY = ("<frozen importlib", "<frozen runpy", importlib.__file__)


def is_users(file: str) -> bool:
    """Whether a frame of this file is worth showing to an author: neither ours nor the import system's."""
    return not file.startswith(_OURS) and not file.startswith(_MACHINERY)


def failure_of(error: BaseException, trace: TracebackType | None = None) -> Failure:
    """What is told of an exception that left user code. `bases` are the names of its class and of those that it
    inherits from, short and full."""
    cls = type(error)
    bases = dict.fromkeys(name for base in cls.__mro__[:-1] for name in (base.__qualname__, class_name(base)))
    return Failure(class_name(cls), message_of(error), tuple(bases), traceback_text(error, trace))


def message_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an exception whose own text raises
        text = f"<its text could not be made: {type(broken).__name__}>"
    return shortened(text + _members_text(error), MESSAGE_LENGTH_MAX)


def _members_text(error: BaseException) -> str:
    """`: ValueError: no rows; KeyError: 'a'` of an exception group, whose own text has only their number; those of groups in it
    as well. Empty for any other exception."""
    if not isinstance(error, BaseExceptionGroup):
        return ""
    members: list[BaseException] = []
    agenda: list[BaseException] = [error]
    while agenda and len(members) <= MEMBERS_SHOWN_MAX:
        each = agenda.pop()
        if isinstance(each, BaseExceptionGroup):
            agenda.extend(reversed(each.exceptions))
        else:
            members.append(each)
    texts = [f"{type(each).__name__}: {message_of(each)}".strip().split("\n")[0] for each in members]
    return f": {'; '.join(texts[:MEMBERS_SHOWN_MAX])}{'; …' if len(texts) > MEMBERS_SHOWN_MAX else ''}"


def shortened(text: str, length_max: int) -> str:
    """Text of at most about `length_max` characters; what was cut from its middle is counted."""
    if len(text) <= length_max:
        return text
    half = length_max // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters ...]\n{text[-half:]}"


def traceback_text(error: BaseException, trace: TracebackType | None = None) -> str:
    """The traceback as Python prints it, with what led to it, less the frames that are not the user's."""
    try:
        told = traceback.TracebackException(type(error), error, trace or error.__traceback__, compact=True)
        _strip(told, set())
        return shortened("".join(told.format()).rstrip("\n"), TRACEBACK_LENGTH_MAX)
    except Exception as broken:  # noqa: BLE001 - made of objects of the user's, whose methods may raise anything
        return f"{type(error).__qualname__} (its traceback could not be made: {type(broken).__name__}: {broken})"


def _strip(told: traceback.TracebackException, seen: set[int]) -> None:
    if id(told) in seen:
        return
    seen.add(id(told))
    kept = [frame for frame in told.stack or () if is_users(frame.filename)]
    stack: Any = traceback.StackSummary.from_list(kept) if kept else None
    told.stack = stack
    inner = [told.__cause__, told.__context__, *(told.exceptions or ())]
    for other in inner:
        if other is not None:
            _strip(other, seen)
