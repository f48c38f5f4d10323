"""The cells of ``test_montecarlo_engine.py`` counted on two devices, a number that is fixed when the first is used.

Arguments: a folder for the table, and the room of each layer in JSON. Before that, where the system can bind a process
to a core, as a batch system does that hands out fewer than the machine has: such a process has one device.
"""

import json
import os
import sys
from pathlib import Path

import jax
import pytest

from experiments.montecarlo.arms import one_device_a_core

if hasattr(os, "sched_setaffinity"):
    if (child := os.fork()) == 0:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        one_device_a_core()
        os._exit(0 if len(jax.devices("cpu")) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0, "a process that is bound to one core has one device"

jax.config.update("jax_num_cpu_devices", 2)

import test_montecarlo_engine as cells  # noqa: E402

with pytest.MonkeyPatch.context() as patch:
    cells.has_room(patch, tuple(json.loads(sys.argv[2])))
    account = cells.run(cells.arm(), Path(sys.argv[1]), cells.PORTIONS).account
assert account.summary(cells.PORTIONS)["devices"] == 2
