"""What the attempts of the executor suite do: real functions, for executors that run functions. Each first appends a
line to the file `note`, so that a check can count how often it began."""

# ruff: noqa: T201 - printing is what some of them do

from __future__ import annotations

import builtins
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from penstock import Fail, NotYet, Skip, context
from penstock.launcher.outer.records import frame_of


def _begin(note: str) -> None:
    with open(note, "a", encoding="utf-8") as file:
        file.write(f"begun {os.getpid()}\n")


def ok(note: str) -> int:
    _begin(note)
    return 42


def fails(note: str) -> int:
    _begin(note)
    raise ValueError("never")


def final(note: str) -> int:
    _begin(note)
    raise Fail("give up")


def skips(note: str) -> int:
    _begin(note)
    raise Skip("nothing to do")


def later1(note: str) -> int:
    _begin(note)
    raise NotYet(5, "come back")


def slow(note: str) -> int:
    """Never ends by itself."""
    _begin(note)
    while True:
        time.sleep(0.05)


def slow_stubborn(note: str) -> int:
    """Never ends by itself and does not take a hint."""
    has_begun = False
    while True:
        try:
            if not has_begun:
                has_begun = True
                _begin(note)
            time.sleep(60)
        except BaseException:  # noqa: BLE001 - it does not take a hint
            with open(note, "a", encoding="utf-8") as file:
                file.write("asked\n")


def slow_tidy(note: str) -> int:
    """Never ends by itself, and tidies up when it is stopped."""
    try:
        _begin(note)
        time.sleep(3600)
    finally:
        with open(note, "a", encoding="utf-8") as file:
            file.write("tidied\n")
    return 0


def overlaps(note: str) -> int:
    """Notes when it began and ended (monotonic seconds)."""
    began = time.monotonic()
    time.sleep(0.05)
    with open(note, "a", encoding="utf-8") as file:
        file.write(f"{began} {time.monotonic()}\n")
    return 0


def process(note: str) -> int:
    _begin(note)
    return os.getpid()


def naps(note: str) -> int:
    """Ends by itself after a short while."""
    _begin(note)
    time.sleep(0.2)
    return os.getpid()


def exits(note: str) -> int:
    _begin(note)
    print("about to leave", flush=True)
    os._exit(3)


def crashes(note: str) -> int:
    _begin(note)
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def killed(note: str) -> int:
    _begin(note)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def says(note: str, words: str) -> int:
    """Writes a frame of its own making into every socket of its process, and goes on for a while."""
    _begin(note)
    frame = frame_of(words.encode(), recorded_bytes=0) if words else b"nonsense" * 100
    for fd in range(3, 64):
        try:
            with socket.socket(fileno=os.dup(fd)) as stream:
                stream.setblocking(False)
                stream.send(frame)
        except OSError:
            continue
    time.sleep(0.3)
    return 0


def replaces_names(note: str) -> int:
    """Leaves its process with other meanings of what reports are made with."""
    _begin(note)
    replaced: dict[str, Any] = {"len": lambda value: 7}
    vars(builtins).update(replaced)
    vars(os).update(write=None)
    del os.fstat
    vars(json).update(dumps=None)
    vars(time).update(time_ns=lambda: 0)
    return os.getpid()


def kills_its_group(note: str) -> int:
    _begin(note)
    os.killpg(0, signal.SIGKILL)
    return 0


def forks(note: str) -> int:
    """Its fork comes back out of the function as well."""
    _begin(note)
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return 7


def leaves_child(note: str) -> int:
    """Leaves a child; notes its pid."""
    _begin(note)
    child = subprocess.Popen(["sleep", "3600"])
    with open(note, "a", encoding="utf-8") as file:
        file.write(f"left {child.pid}\n")
    return child.pid


def leaves_daemon(note: str) -> int:
    """Leaves a process that has forked twice and has a session of its own; notes its pid."""
    _begin(note)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            time.sleep(3600)
        os._exit(0)
    os.wait()
    pid = int(os.read(reader, 100))
    with open(note, "a", encoding="utf-8") as file:
        file.write(f"left {pid}\n")
    return pid


def leaves_children_and_dies(note: str) -> int:
    leaves_daemon(note)
    leaves_child(note)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def leaves_thread(note: str) -> int:
    _begin(note)
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return os.getpid()


def spoils(note: str) -> int:
    """Its process cannot be used for another attempt: a thread of it goes on."""
    _begin(note)
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return 0


def prints(note: str) -> int:
    """Prints in every way there is, in this order."""
    _begin(note)
    print("one")
    print("two", file=sys.stderr)
    os.write(1, b"three\n")
    subprocess.run(["sh", "-c", "echo four; echo five >&2"], check=True)
    print("six", end="")
    return 0


def prints_much(note: str) -> int:
    """100 MB in lines."""
    _begin(note)
    line = "x" * 99
    for _ in range(1_000_000):
        print(line)
    return 0


def closes_streams(note: str) -> int:
    _begin(note)
    sys.stdout.close()
    os.close(1)
    os.close(2)
    return 0


def echoes(note: str, text: str) -> str:
    _begin(note)
    return text


def measures(note: str) -> int:
    _begin(note)
    for step in range(3):
        context().log_metric("loss", 1.0 / (step + 1), step=step)
    return 0


def tells(note: str) -> int:
    """Says how far it is, and logs as fast as it can, until it is stopped."""
    _begin(note)
    for number in context().track(itertools.count(), text="rows"):
        context().log_metric("number", number)
    return 0


def grows(note: str) -> int:
    """Holds 200 MB for a moment, part of it in a child."""
    _begin(note)
    held = bytearray(b"x" * 100_000_000)
    program = "import time; held = bytearray(b'x' * 100_000_000); time.sleep(1.0)"
    subprocess.run([sys.executable, "-c", program], check=True)
    return len(held)


def hash_seed(note: str) -> int:
    """The seed of this process's hashes; -1: it is random."""
    _begin(note)
    return int(os.environ["PYTHONHASHSEED"]) if sys.flags.hash_randomization == 0 else -1


def double(number: int) -> int:
    return 2 * number


def pools(note: str, method: str) -> int:
    """Doubles numbers in processes that `multiprocessing` starts by the given method."""
    import multiprocessing

    _begin(note)
    with multiprocessing.get_context(method).Pool(2) as pool:
        return sum(pool.map(double, range(10)))


def terminates(note: str) -> int:
    """Ends a forked process of `multiprocessing`; its exit code."""
    import multiprocessing

    _begin(note)
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    process.start()
    process.terminate()
    process.join()
    return process.exitcode or 0


def joblib_processes(note: str) -> int:
    """Doubles numbers in processes that joblib keeps for later."""
    import joblib

    _begin(note)
    return int(sum(joblib.Parallel(n_jobs=2)(joblib.delayed(double)(number) for number in range(10))))


def swallows_memory(note: str) -> int:
    """Takes memory until something stops it."""
    _begin(note)
    held = []
    while True:
        held.append(bytearray(b"x" * 10_000_000))


def leaves_daemon_and_sleeps(note: str) -> int:
    leaves_daemon(note)
    time.sleep(3600)
    return 0


def echoes_without_note(note: str, text: str) -> str:
    return text
