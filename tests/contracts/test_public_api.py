"""The public names are pinned, resolve, and importing the package or the help is cheap."""

import subprocess
import sys

import pytest

import rmeeto

PINNED = {
    "__version__",
    "BackboneConfig",
    "create_model",
    "list_models",
    "load_model",
    "save_model",
    "RMeeTo",
    "PruneRandom",
    "PruneRedundant",
    "PruneScore",
    "Plan",
    "Reduction",
    "Schedule",
    "TokenState",
    "reduce_",
    "restore_",
    "open_source",
    "Preprocessing",
    "Recipe",
    "predict",
    "compare_speed",
    "count_flops",
    "RunRecord",
    "write_report",
    "audit",
    "rebuild",
    "ops",
    "RmeetoError",
}


def test_public_names_are_pinned():
    assert set(rmeeto.__all__) == PINNED


@pytest.mark.parametrize("name", sorted(PINNED))
def test_public_name_resolves_and_is_documented(name):
    value = getattr(rmeeto, name)
    if name == "ops":
        assert value.__doc__
    elif name != "__version__":
        assert callable(value)
        assert value.__doc__, f"{name} has no docstring"


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        rmeeto.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import rmeeto",
        "import rmeeto.cli.__main__",
        "import sys; sys.argv = ['rmeeto', '--help']\nimport rmeeto.cli.__main__ as m\n"
        "try: m.main()\nexcept SystemExit: pass",
        "import sys; sys.argv = ['rmeeto', 'rebuild', '--help']\nimport rmeeto.cli.__main__ as m\n"
        "try: m.main()\nexcept SystemExit: pass",
    ],
)
def test_lean_import(code):
    check = (
        code
        + "\nimport sys\nheavy = {'torch', 'kornia', 'PIL', 'jaxtyping'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
