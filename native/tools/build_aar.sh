#!/usr/bin/env bash
# Makes minnow.aar for arm64-v8a without Gradle: build_aar.sh MNN COROUTINES_JAR FOLDER
#
# MNN is what MNN_ROOT of native/README.md takes (MNN_INCLUDE as a variable where it is a release of libraries), COROUTINES_JAR
# kotlinx-coroutines-core-jvm. Needs ANDROID_NDK (28 or later), ANDROID_HOME with platform 35, cmake, javac, kotlinc and zip.
# An app that uses it adds kotlinx-coroutines-android to its dependencies. (With Gradle: examples/android, :minnow:assembleRelease.)
set -euo pipefail

[[ $# == 3 ]] || { sed -n 2p "$0" >&2; exit 2; }
mnn=$(realpath "$1") coroutines=$(realpath "$2")
: "${ANDROID_NDK:?}" "${ANDROID_HOME:?}"
mkdir -p "$3" && folder=$(cd "$3" && pwd)
main=$(cd "$(dirname "$0")/../../examples/android/minnow/src/main" && pwd)
android=$ANDROID_HOME/platforms/android-35/android.jar

cmake -S "$main/cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=MinSizeRel -DANDROID_ABI=arm64-v8a -DANDROID_STL=c++_shared \
    -DANDROID_PLATFORM=android-24 -DCMAKE_TOOLCHAIN_FILE="$ANDROID_NDK/build/cmake/android.toolchain.cmake" \
    -DMNN_ROOT="$mnn" -DMNN_INCLUDE="${MNN_INCLUDE:-}"
cmake --build "$folder/build" --target minnow_jni -j4

rm -rf "$folder/aar" && mkdir -p "$folder/aar/jni/arm64-v8a" "$folder/classes"
find "$folder/build" -name libminnow_jni.so -exec cp {} "$folder/aar/jni/arm64-v8a/" \;
for place in "$mnn/lib" "$mnn/arm64-v8a"; do
    find "$place" -maxdepth 1 \( -name 'libMNN*.so' -o -name libllm.so \) -exec cp {} "$folder/aar/jni/arm64-v8a/" \; 2>/dev/null || true
done
strip=$(find "$ANDROID_NDK/toolchains/llvm/prebuilt" -name llvm-strip | head -1)
"$strip" "$folder/aar/jni/arm64-v8a/libminnow_jni.so"

javac --release 11 -d "$folder/classes" "$main"/java/dev/minnow/*.java
kotlinc -jvm-target 11 -cp "$folder/classes:$android:$coroutines" -d "$folder/classes" "$main"/kotlin/dev/minnow/*.kt
(cd "$folder/classes" && zip -qr "$folder/aar/classes.jar" .)
cp "$main/../../consumer-rules.pro" "$folder/aar/proguard.txt"
cat > "$folder/aar/AndroidManifest.xml" <<'END'
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="dev.minnow">
    <uses-sdk android:minSdkVersion="24" />
</manifest>
END
(cd "$folder/aar" && zip -qr "$folder/minnow.aar" .)
ls -l "$folder/minnow.aar"
