#!/usr/bin/env bash
# Makes CMinnow.xcframework, for devices and for the simulator, on a Mac: build_xcframework.sh MNN_XCFRAMEWORK FOLDER
#
# MNN_XCFRAMEWORK is a static MNN.xcframework (examples/ios/README.md). SQLite's amalgamation is fetched, or taken from the folder
# that MINNOW_SQLITE names. The Swift package of examples/ios builds the library from its sources instead and needs no such framework.
set -euo pipefail

[[ $# == 2 ]] || { sed -n 2p "$0" >&2; exit 2; }
mnn=$(cd "$1" && pwd)
mkdir -p "$2" && folder=$(cd "$2" && pwd)
native=$(cd "$(dirname "$0")/.." && pwd)
arguments=()
for sdk in iphoneos iphonesimulator; do
    if [[ $sdk == iphoneos ]]; then framework=$(ls -d "$mnn"/ios-arm64/MNN.framework 2>/dev/null || true)
    else framework=$(ls -d "$mnn"/ios-*simulator/MNN.framework 2>/dev/null || true); fi
    [[ -n $framework ]] || { echo "$mnn has no MNN.framework for $sdk: skipped" >&2; continue; }
    root=$folder/mnn-$sdk  # an install prefix of the framework
    mkdir -p "$root/lib" "$root/include"
    ln -sfn "$framework/Headers" "$root/include/MNN"
    cp "$framework/MNN" "$root/lib/libMNN.a"
    cmake -S "$native" -B "$folder/$sdk" -G Xcode -DCMAKE_SYSTEM_NAME=iOS -DCMAKE_OSX_SYSROOT=$sdk -DCMAKE_OSX_ARCHITECTURES=arm64 \
        -DCMAKE_OSX_DEPLOYMENT_TARGET=15.0 -DMNN_ROOT="$root" -DMINNOW_LLM=OFF -DMINNOW_SQLITE="${MINNOW_SQLITE:-fetch}"
    cmake --build "$folder/$sdk" --config Release --target minnow_c_api minnow_sqlite
    find "$folder/$sdk" \( -name 'libminnow_core.a' -o -name 'libminnow_sqlite.a' -o -path '*minnow_c_api*' -name '*.o' \) -print0 \
        | xargs -0 libtool -static -o "$folder/$sdk/libCMinnow.a"
    arguments+=(-library "$folder/$sdk/libCMinnow.a" -headers "$native/../examples/ios/Sources/CMinnow/include")
done
rm -rf "$folder/CMinnow.xcframework"
xcodebuild -create-xcframework "${arguments[@]}" -output "$folder/CMinnow.xcframework"
