"""Build backend: scikit-build-core, and a pure Python wheel where the native kernels can't be built."""

import os
import sys

from scikit_build_core import build as _build
from scikit_build_core.errors import ScikitBuildError


def _or_pure(hook):
    """Run a hook; should CMake or the compiler be missing or fail, say so and run it without them."""

    def run(*args, **kwargs):
        try:
            return hook(*args, **kwargs)
        except (ScikitBuildError, SystemExit) as error:
            if os.environ.get("RMEETO_PURE") == "1":
                raise
            reason = (
                f"{error}"
                if isinstance(error, ScikitBuildError)
                else "compilation failed, see above"
            )
            sys.stderr.write(
                f"rmeeto: building without native kernels: {reason}. They need CMake and GCC or Clang; "
                "without them everything works, many times slower.\n"
            )
            os.environ["RMEETO_PURE"] = "1"
            return hook(*args, **kwargs)

    return run


build_sdist = _build.build_sdist
get_requires_for_build_sdist = _build.get_requires_for_build_sdist
get_requires_for_build_wheel = _build.get_requires_for_build_wheel
get_requires_for_build_editable = _build.get_requires_for_build_editable
# No prepare_metadata hooks: which wheel it will be is known only after the attempt to compile.
build_wheel = _or_pure(_build.build_wheel)
build_editable = _or_pure(_build.build_editable)
