#!/bin/sh
# Builds src/rmeeto/_native*.so, and puts it where an editable installation of this tree looks for it. Usage: csrc/dev_build.sh [python]
set -eu
cd "$(dirname "$0")/.."
python=${1:-$( [ -x .venv/bin/python ] && echo .venv/bin/python || echo python3 )}
mkdir -p build/dev
exec 9> build/dev/.lock
flock 9
[ -f build/dev/build.ninja ] || cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DPython_EXECUTABLE="$(command -v "$python")" -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)"
cmake --build build/dev -j "${JOBS:-1}"
installed=$("$python" - "$PWD/src" << 'END' || true
import importlib.util, pathlib, sys
package, native = (importlib.util.find_spec(name) for name in ("rmeeto", "rmeeto._native"))
if native and pathlib.Path(package.origin).is_relative_to(sys.argv[1]):
    print(pathlib.Path(native.origin).parent)
END
)
for built in build/dev/_native*.so; do
  name=$(basename "$built")
  for folder in src/rmeeto ${installed:+"$installed"}; do
    cp "$built" "$folder/.$name.new"
    mv "$folder/.$name.new" "$folder/$name"
  done
done
