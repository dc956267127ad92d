#!/bin/sh
# Builds minnow-core for ARM64 without MNN, runs tests/core_cases with it in an emulator, and prints its size.
#
#   native/tools/check_arm64.sh [FOLDER]
#
# Needs Debian's g++-aarch64-linux-gnu, qemu-user-static, cmake and apt, which downloads SQLite for ARM64 into the FOLDER
# (build/arm64) without installing it. Fails where an answer differs or the library is larger than 600 kB.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "${1:-build/arm64}"
folder=$(cd "${1:-build/arm64}" && pwd)
tool=aarch64-linux-gnu

if [ ! -e "$folder/sqlite/usr" ]; then
    mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
    cd "$folder/apt"
    for command in update "download libsqlite3-0 libsqlite3-dev"; do
        # shellcheck disable=SC2086
        apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::lists="$folder/apt/lists" \
            -o Dir::Cache="$folder/apt/cache" -o APT::Sandbox::User=root $command >/dev/null
    done
    for package in libsqlite3-*.deb; do dpkg -x "$package" "$folder/sqlite"; done
fi
sqlite=$folder/sqlite/usr

cmake -S "$here/native" -B "$folder/core" -DCMAKE_BUILD_TYPE=MinSizeRel -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=$tool-gcc -DCMAKE_CXX_COMPILER=$tool-g++ -DMNN_ROOT= \
    -DMINNOW_SQLITE=system -DSQLite3_INCLUDE_DIR="$sqlite/include" -DSQLite3_LIBRARY="$sqlite/lib/$tool/libsqlite3.so" \
    -DMINNOW_PROGRAMS=OFF
cmake --build "$folder/core" --target minnow -j2
$tool-g++ -std=c++17 -O1 -I"$here/native/include" -I"$here/native/src" "$here/tests/native/check_cases.cpp" \
    -L"$folder/core" -lminnow_core -lminnow -L"$sqlite/lib/$tool" -lsqlite3 -o "$folder/check_cases"

rm -rf "$folder/cases"
cp -r "$here/tests/core_cases" "$folder/cases"
qemu-aarch64-static -L /usr/$tool -E LD_LIBRARY_PATH="$folder/core:$sqlite/lib/$tool:/usr/$tool/lib" \
    "$folder/check_cases" "$folder/cases"

$tool-strip -o "$folder/libminnow.so" "$folder/core/libminnow.so"
size=$(wc -c <"$folder/libminnow.so")
echo "libminnow.so, without MNN and SQLite, stripped: $size bytes"
test "$size" -le 600000
