"""The same numbers on one device, on eight, and on two processes that share the rows."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("on_devices.py")


def started(process, processes, devices, address="none"):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    variables = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(process), str(processes), address],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def check(found, *, devices):
    assert found["devices"] == devices
    assert max(found["apart"]) < 1e-6, found
    assert min(found["size"]) > 0.05  # else the above says nothing
    assert found["uneven"]
    refused = f"`x` must have a number of rows that {devices} devices divide, got 117: leave out {117 % devices} rows"
    assert found["refused"].startswith(refused)


def test_eight_devices_give_the_numbers_of_one():
    found = printed(started(0, 1, devices=8))
    check(found, devices=8)
    assert found["learned_apart"] < 1e-5 < 1e-3 < found["learned"]
    assert found["compiled"] == 1


def test_two_processes_give_the_numbers_of_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [started(i, 2, devices=2, address=address) for i in range(2)]
    for process in both:
        check(printed(process), devices=4)
