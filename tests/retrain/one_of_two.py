"""One of two processes that re-train the toy together.

Usage: one_of_two.py RANK STORE FOLDER. Writes its weights to FOLDER/RANK.pt.
"""

import sys
from pathlib import Path

import torch
from torch import distributed as dist
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy, weights

from rmeeto.retrain import retrain

# One batch an epoch: then it does not matter how the images are dealt out.
WHOLE = RECIPE.changed(batch_size=80, max_steps=6, accumulate=2, augment="none", clip_grad=0.5)

if __name__ == "__main__":
    rank, store, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    model, events = Toy(), []
    result = retrain(
        model, WHOLE, TRAIN, VAL, folder / "run", preprocessing=PREPROCESSING,
        on_event=events.append,
    )  # fmt: skip
    torch.save({"weights": weights(model), "events": len(events), "accuracy": result.last_accuracy,
                "norms": [x["grad_norm"] for x in result.history if "grad_norm" in x]},
               folder / f"{rank}.pt")  # fmt: skip
    dist.destroy_process_group()
