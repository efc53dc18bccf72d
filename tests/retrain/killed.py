"""Re-train the toy in child processes that are killed at random moments, then to the end.

Usage: killed.py FOLDER KILLS SEED. Writes how many children were still training when killed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy

from rmeeto.retrain import Started, retrain

# Long enough that all the kills come before the end, also on a fast machine.
STEPS = RECIPE.changed(max_steps=400, validate_every=37, log_every=7, checkpoint_every=2)


def train(folder, on_event=None, delay=0.002):
    """The run that is interrupted again and again; the delay lets a kill hit any part of a step."""
    teacher, recipe = Toy(3), STEPS.changed(distill_weight=0.5, views=2, augment="rmeeto")
    model = Toy(noise=0.1, delay=delay)
    retrain(
        model, recipe, TRAIN, VAL, folder, preprocessing=PREPROCESSING, teacher=teacher,
        on_event=on_event,
    )  # fmt: skip
    return model


def killed_after(folder, delay):
    """Fork a child that trains, kill it after ``delay`` seconds; False if it was done by then."""
    ready, announce = os.pipe()
    child = os.fork()
    if child == 0:
        train(folder, lambda e: os.write(announce, b"!") if isinstance(e, Started) else None)
        os._exit(0)
    os.close(announce)
    os.read(ready, 1)
    os.close(ready)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    hit = sum(killed_after(folder, rng.uniform(0, 0.12)) for _ in range(kills))
    sys.stdout.write(str(hit))
