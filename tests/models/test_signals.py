"""Signals, children, folders of the dead, and what a terminal is shown. No model."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from platonic_adapters import export, processes
from platonic_adapters.terminal import printable

CHILD = """
import sys, time
from platonic_adapters import processes
processes.bound_to_parent()
try:
    with processes.signals():
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt as error:
    print(*processes.ending(error), flush=True)
    sys.exit(processes.ending(error)[1])
"""
PARENT = f"""
import os, sys
from platonic_adapters import processes
with processes.signals():
    sys.exit(processes.wait(processes.start([sys.executable, "-c", {CHILD!r}], dict(os.environ))))
"""


# Python drops what is raised in a finaliser.
DROPS = """
import sys, time
from platonic_adapters import processes

class Slow:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(0.5)

try:
    with processes.signals():
        slow = Slow()
        del slow
        time.sleep(60)
except KeyboardInterrupt as error:
    print(*processes.ending(error), flush=True)
    sys.exit(processes.ending(error)[1])
"""


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, "interrupted 130\n"), (signal.SIGTERM, "terminated 143\n")]
)
def test_a_signal_that_python_drops_is_repeated(number, said):
    process = subprocess.Popen([sys.executable, "-c", DROPS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=30) == (said, "")


@pytest.fixture
def pair():
    """A parent and the child that it waits for."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "ready\n"
    (child,) = psutil.Process(parent.pid).children()
    yield parent, child
    parent.stdout.close()


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, ("interrupted 130\n", 130)), (signal.SIGTERM, ("terminated 143\n", 143))]
)
def test_a_signal_to_the_parent_alone_ends_both(pair, number, said):
    parent, child = pair
    parent.send_signal(number)
    assert (parent.communicate()[0], parent.returncode) == said
    assert not child.is_running()


def test_a_signal_to_both_interrupts_once(pair):
    parent, child = pair
    child.send_signal(signal.SIGINT)
    parent.send_signal(signal.SIGINT)
    assert (parent.communicate()[0], parent.returncode) == ("interrupted 130\n", 130)


def test_a_parent_that_is_killed_takes_its_child_along(pair):
    parent, child = pair
    parent.kill()
    parent.wait()
    assert psutil.wait_procs([child], timeout=30)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot bind programs of others")
def test_a_program_of_others_dies_with_its_parent():
    sleep = ["sleep", "60"]
    script = f"from platonic_adapters import processes; processes.with_parent({sleep})"
    parent = subprocess.Popen([sys.executable, "-c", script])
    while (
        not (children := [c for c in psutil.Process(parent.pid).children() if c.cmdline() == sleep])
        and parent.poll() is None
    ):
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert processes.with_parent([sys.executable, "-c", "print(1)"]).stdout == "1\n"


def test_folders_of_dead_runs_are_collected(tmp_path):
    script = (
        f"import os\nfrom platonic_adapters import processes\n"
        f"with processes.temporary('.env-', {str(tmp_path)!r}):\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / ".env-elsewhere-1-x").mkdir()  # of another machine
    with processes.temporary(".env-", tmp_path) as first, processes.temporary(".env-", tmp_path) as second:
        assert not left.exists()
        assert first.exists()
        assert second.exists()
    assert [path.name for path in tmp_path.iterdir()] == [".env-elsewhere-1-x"]


def test_what_could_steer_a_terminal_is_written_out(capsys):
    assert printable("\x1b[2Jmp-1\r\n\x9b1m\u202egp.exe\udc80") == "\\x1b[2Jmp-1\\r\\n\\x9b1m\\u202egp.exe\\udc80"
    assert printable("Fe₂O₃ 5\u202fÅ, 金") == "Fe₂O₃ 5\u202fÅ, 金"
    export.say_skipped([{"id": "\x1b]0;title\x07mp-1", "reason": "a\tword"}])
    assert capsys.readouterr().err == "platonic: \\x1b]0;title\\x07mp-1 skipped: a\\tword.\n"


def test_this_process_is_left_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(processes.Terminated), processes.signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
