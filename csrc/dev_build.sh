#!/bin/sh
# Builds src/rmeeto/_native*.so in place. Usage: csrc/dev_build.sh [python]
set -eu
cd "$(dirname "$0")/.."
python=${1:-$( [ -x .venv/bin/python ] && echo .venv/bin/python || echo python3 )}
mkdir -p build/dev
exec 9> build/dev/.lock
flock 9
[ -f build/dev/build.ninja ] || cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DPython_EXECUTABLE="$(command -v "$python")" -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)"
cmake --build build/dev -j "${JOBS:-1}"
for built in build/dev/_native*.so; do
  name=$(basename "$built")
  cp "$built" "src/rmeeto/.$name.new"
  mv "src/rmeeto/.$name.new" "src/rmeeto/$name"
done
