"""One thread a test process: two busy cores with spinning threads on both are ten times slower."""

import torch

torch.set_num_threads(1)
