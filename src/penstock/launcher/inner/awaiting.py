"""Functions that are `async`: what they answer is run to its end, in an event loop of the attempt's own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Mapping
from inspect import iscoroutine
from typing import Any

from penstock.launcher.inner.outcomes import Stopped


def awaited(returned: Any) -> Any:
    """What a call gave; of a coroutine, what it comes to. Raises what the coroutine raises, and Stopped when the attempt is
    asked to stop meanwhile, wherever in the loop that request arrives."""
    if not iscoroutine(returned):
        return returned
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_whole(returned))
    return _elsewhere(returned)


async def _whole(coroutine: Coroutine[Any, Any, Any]) -> Any:
    stops: list[Stopped] = []
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(coroutine)

    def handle(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Stopped):  # it arrived in a callback, where loops keep exceptions to themselves
            stops.append(error)
            task.cancel()
        else:
            loop.default_exception_handler(dict(context))

    loop.set_exception_handler(handle)
    try:
        return await task
    finally:
        if stops:
            raise stops[0]


def _elsewhere(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own: this one has a loop already, as a notebook's has."""
    answers: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(asyncio.run(_whole(coroutine)))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="penstock-async")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]
