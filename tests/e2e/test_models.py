#!/usr/bin/env python3
"""test_models.py BUILD_DIR - spin explores the models beside the code, and finds each planted bug."""
import os
import re
import shutil
import subprocess
import tempfile

from e2e import Skip, main

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = {"idle": 11, "park": 4, "wait": 5, "steal": 3}


def explore(name, bug):
    """How many errors spin finds, and how many states it has seen."""
    model = os.path.join(SOURCE, "src/task", f"{name}.pml")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["spin", "-a", f"-DBUG={bug}", model], cwd=folder, check=True, capture_output=True)
        # SAFETY: assertions and states that nothing leaves; the checks at timeout are assertions.
        subprocess.run(["cc", "-w", "-DSAFETY", "-o", "pan", "pan.c"], cwd=folder, check=True)
        said = subprocess.run(["./pan", "-E", "-m100000"], cwd=folder, check=False, capture_output=True,
                              text=True, timeout=120).stdout
    found = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\d+) states, stored", said)
    assert found and states, said
    assert "max search depth too small" not in said, said
    return int(found.group(1)), int(states.group(1)), said


def check_model(name):
    if shutil.which("spin") is None:
        raise Skip("no spin")
    errors, states, said = explore(name, 0)
    assert errors == 0, said
    assert states > 100, f"only {states} states: the model is stuck"
    for bug in range(1, MODELS[name] + 1):
        errors, _, said = explore(name, bug)
        assert errors > 0, f"bug {bug} of {name}.pml is not found\n{said}"
    print(f"# {name}.pml: {states} states, {MODELS[name]} bugs found")


def test_no_sleep_misses_work():
    check_model("idle")


def test_each_park_is_ended_once():
    check_model("park")


def test_a_wait_is_claimed_once():
    check_model("wait")


def test_a_cancel_reaches_what_is_stolen():
    check_model("steal")


main(globals())
