// Implements Native.java with minnow.h.
#include <jni.h>

#include <cstring>
#include <string>
#include <vector>

#include "minnow.h"

namespace {

constexpr size_t kMessage = 1000;

minnow_embedder* embedder_of(jlong handle) { return reinterpret_cast<minnow_embedder*>(handle); }

jbyteArray bytes_of(JNIEnv* env, const char* text) {
    jsize size = static_cast<jsize>(std::strlen(text));
    jbyteArray bytes = env->NewByteArray(size);
    if (bytes) env->SetByteArrayRegion(bytes, 0, size, reinterpret_cast<const jbyte*>(text));
    return bytes;
}

void throw_exception(JNIEnv* env, const char* message) {
    jclass kind = env->FindClass("dev/minnow/MinnowException");
    jmethodID make = kind ? env->GetMethodID(kind, "<init>", "([B)V") : nullptr;
    jbyteArray bytes = make ? bytes_of(env, message) : nullptr;
    jobject thrown = bytes ? env->NewObject(kind, make, bytes) : nullptr;
    if (thrown) env->Throw(static_cast<jthrowable>(thrown));  // otherwise Java already has an exception
}

std::string text_of(JNIEnv* env, jbyteArray bytes) {
    std::string text(static_cast<size_t>(env->GetArrayLength(bytes)), '\0');
    env->GetByteArrayRegion(bytes, 0, static_cast<jsize>(text.size()), reinterpret_cast<jbyte*>(&text[0]));
    return text;
}

}  // namespace

extern "C" {

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_open(JNIEnv* env, jclass, jbyteArray folder, jintArray given) {
    jint values[6] = {};
    if (env->GetArrayLength(given) != 6) return throw_exception(env, "There should be six options."), 0;
    env->GetIntArrayRegion(given, 0, 6, values);
    minnow_options options = {values[0], values[1], values[2], values[3], values[4], values[5]};
    char message[kMessage] = "";
    minnow_embedder* found = minnow_open(text_of(env, folder).c_str(), &options, message, sizeof message);
    if (!found) throw_exception(env, message);
    return reinterpret_cast<jlong>(found);
}

JNIEXPORT jint JNICALL Java_dev_minnow_Native_width(JNIEnv*, jclass, jlong handle) {
    return minnow_width(embedder_of(handle));
}

JNIEXPORT jfloatArray JNICALL Java_dev_minnow_Native_encode(JNIEnv* env, jclass, jlong handle,
                                                            jobjectArray given, jint role) {
    size_t count = static_cast<size_t>(env->GetArrayLength(given));
    std::vector<std::string> texts;
    for (size_t n = 0; n < count; ++n) {
        auto bytes = static_cast<jbyteArray>(env->GetObjectArrayElement(given, static_cast<jsize>(n)));
        if (!bytes) return throw_exception(env, "A text is null."), nullptr;
        texts.push_back(text_of(env, bytes));
        env->DeleteLocalRef(bytes);
    }
    std::vector<minnow_text> views;
    for (auto& text : texts) views.push_back({text.data(), text.size()});
    std::vector<float> vectors(count * static_cast<size_t>(minnow_width(embedder_of(handle))));
    char message[kMessage] = "";
    if (minnow_encode(embedder_of(handle), views.data(), count, role, vectors.data(), message, sizeof message))
        return throw_exception(env, message), nullptr;
    jfloatArray found = env->NewFloatArray(static_cast<jsize>(vectors.size()));
    if (found) env->SetFloatArrayRegion(found, 0, static_cast<jsize>(vectors.size()), vectors.data());
    return found;
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_close(JNIEnv*, jclass, jlong handle) {
    minnow_close(embedder_of(handle));
}

}  // extern "C"
