"""Claims that can't be tested without ImageNet, Kinetics or GPUs, and the command that would."""

from __future__ import annotations

from collections.abc import Iterator

from .questions import Question

_DATA = "path/to/imagenet"
_NO_IMAGENET = (
    "Needs ImageNet-1k, which can't be had here. The recipe is ready: a test loads each of "
    "recipes/imagenet_*.toml and runs steps of one of them on images of ImageNet's classes."
)
# model, weights, recipe, what the paper has
_MAIN = (
    ("vim_tiny", "Vim-Ti loses 0.8 points at 1.28 of 1.45 GFLOPs", "imagenet_vim_tiny_r5", 5,
     "hub:hustvl/Vim-tiny-midclstok/vim_t_midclstok_76p1acc.pth", "75.3 or more (76.1 unreduced)"),
    ("vim_small", "Vim-S loses 0.6 points at 3.58 of 5.08 GFLOPs", "imagenet_vim_small_r11", 11,
     "hub:hustvl/Vim-small-midclstok/vim_s_midclstok_80p5acc.pth", "79.9 or more (80.5 unreduced)"),
    ("vim_base", "Vim-B loses 0.6 points at 13.21 of 18.87 GFLOPs", "imagenet_vim_base_r11", 11,
     "hub:hustvl/Vim-base-midclstok/vim_b_midclstok_81p9acc.pth", "81.3 or more (81.9 unreduced)"),
    ("videomamba_tiny", "VideoMamba-Ti loses 1.0 points", "imagenet_videomamba_tiny_r5", 5,
     "hub:OpenGVLab/VideoMamba/videomamba_t16_in1k_res224.pth", "75.9 or more (76.9 unreduced)"),
    ("videomamba_small", "VideoMamba-S loses 1.1 points", "imagenet_videomamba_small_r11", 11,
     "hub:OpenGVLab/VideoMamba/videomamba_s16_in1k_res224.pth", "80.1 or more (81.2 unreduced)"),
    ("videomamba_base", "VideoMamba-B loses 0.8 points", "imagenet_videomamba_base_r11", 11,
     "hub:OpenGVLab/VideoMamba/videomamba_b16_in1k_res224.pth", "81.9 or more (82.7 unreduced)"),
)  # fmt: skip


def elsewhere_questions() -> Iterator[Question]:
    """Questions without an answer here."""
    for model, claim, recipe, r, weights, threshold in _MAIN:
        yield Question(
            f"imagenet-{model}", f"{claim} (ImageNet-1k)", "tab. 2", f"top-1 of {threshold}",
            command=_rebuild(model, weights, recipe, r), elsewhere=_NO_IMAGENET,
        )  # fmt: skip
    small = _MAIN[1]
    yield Question(
        "imagenet-spike", "Three epochs bring 35.9 points back on Vim-Ti (ImageNet-1k)", "abstract",
        "re-trained − merged of 35.9 points at some r", elsewhere=_NO_IMAGENET
        + " The paper does not say at which r; r=20 is the largest that it shows.",
        command=_rebuild("vim_tiny", _MAIN[0][4], "imagenet_vim_tiny_r5_minutes", 20),
    )  # fmt: skip
    yield Question(
        "gpu-speed", "Vim-S runs 1.10 to 1.17 times as fast at r=11, 1.25 to 1.48 at r=20, on a GPU",
        "fig. speed (fp16, batch 128)", "at least the paper's ratio on the same kind of GPU",
        command=f"rmeeto bench --model vim_small_patch16_224 --weights {small[4]} --data {_DATA} --r 11 "
        "--batches 128", elsewhere="Measured on a CPU only, above.",
    )  # fmt: skip
    yield Question(
        "gpu-minutes", "Three epochs take 16.2/25.2/57.6 minutes on 8 H100 (Vim-Ti/S/B), 4.2 on 32",
        "tab. 3", "more than 494/318/139 images/s on one GPU at r=5/11/11",
        command=_rebuild("vim_small", small[4], "imagenet_vim_small_r11_minutes", 11),
        elsewhere="Needs H100s; on one core of a CPU, see the rows on minutes above.",
    )  # fmt: skip
    yield Question(
        "video", "VideoMamba on Kinetics-400 keeps 76.5/78.5/78.9 at r=88", "CKPT.md; tab. 13",
        "top-1 of those values", elsewhere="Needs Kinetics-400 and a video input, which rmeeto does not have yet.",
    )  # fmt: skip
    yield Question(
        "information", "Mamba keeps general knowledge in every token: mutual information rises along the scan",
        "fig. MINE (Vim-S against DeiT-S)", "information between a token and all others rises for Vim, not for DeiT",
        elsewhere="The estimator of mutual information is not part of rmeeto yet.",
    )  # fmt: skip


def _rebuild(model: str, weights: str, recipe: str, r: int) -> str:
    return (
        f"rmeeto rebuild --model {model}_patch16_224 --weights {weights} --data {_DATA} --r {r} "
        f"--recipe recipes/{recipe}.toml --out runs/{recipe}"
    )
