"""Whether a lease's holder can be proved dead on this host."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

from penstock.controller import holder_of_this_process, is_provably_alive, is_provably_dead
from penstock.effects import Holder

SAY = """
import sys
from penstock.controller import holder_of_this_process
h = holder_of_this_process()
print(h.host, h.boot_id, h.pid, h.process_started, sep="\\n", flush=True)
sys.stdin.read()
"""


def test_a_process_that_runs_is_not_dead_and_one_that_ended_is() -> None:
    process = subprocess.Popen([sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    host, boot, pid, started = (process.stdout.readline().strip() for _ in range(4))
    holder = Holder(host, boot, int(pid), int(started))
    assert not is_provably_dead(holder)
    assert is_provably_alive(holder)
    for other in ({"boot_id": "another"}, {"host": "elsewhere"}, {"process_started": holder.process_started + 1}):
        assert not is_provably_alive(replace(holder, **other))
    process.send_signal(signal.SIGSTOP)
    assert is_provably_alive(holder)
    process.send_signal(signal.SIGCONT)
    process.communicate("")
    assert is_provably_dead(holder)
    assert not is_provably_alive(holder)


def test_of_this_process_itself_it_is_not_said_that_it_is_at_work() -> None:
    """A controller of it that ended in trouble may have left its lease."""
    assert not is_provably_alive(holder_of_this_process())


def test_another_process_of_the_same_number_is_another_one() -> None:
    own = holder_of_this_process()
    assert not is_provably_dead(own)
    assert is_provably_dead(replace(own, process_started=own.process_started + 1))


def test_nothing_survives_a_boot() -> None:
    assert is_provably_dead(replace(holder_of_this_process(), boot_id="another"))


def test_of_another_host_nothing_can_be_proved() -> None:
    own = holder_of_this_process()
    assert not is_provably_dead(replace(own, host="elsewhere", boot_id="another"))
    assert not is_provably_dead(replace(own, host=own.host.replace("pid:[", "pid:[9"), boot_id="another"))
