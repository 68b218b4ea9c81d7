"""Running the scripts of this folder (`in_*.py`) in the environment of a model's family."""

import json
import os
import subprocess
from pathlib import Path

from platonic_adapters import environments, registry

HERE = Path(__file__).parent
CODE = Path(registry.__file__).parents[1]


def start(model, script, *arguments, **variables):
    """The process that runs a script, with its output piped."""
    return start_python(model, HERE / script, *arguments, **variables)


def start_python(model, *arguments, **variables):
    """A process of the environment's python, with its output piped."""
    python = environments.ensure(registry.resolve(model).family)
    return subprocess.Popen(
        [str(python), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(CODE), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def seen(model, script, *arguments, **variables):
    """What the script printed last, read as JSON."""
    process = start(model, script, *arguments, **variables)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def deviations(self_test, *, but=()):
    """The figures of a self-test, but those that a model is allowed, without the names of its structures."""
    return {name: x for name, x in self_test.items() if name not in ("structures", *but)}
