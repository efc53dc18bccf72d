"""Ship the reference of the main job with the package: copy its weights and its recipe.

    python tools/ship_demo_model.py [results/references/fashion8/vim_elastic]
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "results" / "references" / "fashion8" / "vim_elastic"
TARGET = ROOT / "src" / "rmeeto" / "assets" / "demo_model"
FILES = ("model.safetensors", "config.json")  # the settings hold the recipe, as provenance


def main() -> None:
    """Copy both files."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, TARGET / name)


if __name__ == "__main__":
    main()
