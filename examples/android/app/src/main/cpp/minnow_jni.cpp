// Implements Native.java with minnow.h.
#include <jni.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "minnow.h"

namespace {

constexpr size_t kMessage = 1000;

minnow_embedder* embedder_of(jlong handle) { return reinterpret_cast<minnow_embedder*>(handle); }
minnow_reranker* reranker_of(jlong handle) { return reinterpret_cast<minnow_reranker*>(handle); }
minnow_index* index_of(jlong handle) { return reinterpret_cast<minnow_index*>(handle); }
minnow_memory* memory_of(jlong handle) { return reinterpret_cast<minnow_memory*>(handle); }

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

minnow_text view_of(const std::string& text) { return {text.data(), text.size()}; }

// Reads an array of texts; returns whether Java has no exception then.
bool read_texts(JNIEnv* env, jobjectArray given, std::vector<std::string>& texts) {
    jsize count = env->GetArrayLength(given);
    for (jsize n = 0; n < count; ++n) {
        auto bytes = static_cast<jbyteArray>(env->GetObjectArrayElement(given, n));
        if (!bytes) return throw_exception(env, "A text is null."), false;
        texts.push_back(text_of(env, bytes));
        env->DeleteLocalRef(bytes);
    }
    return true;
}

jfloatArray floats_of(JNIEnv* env, const std::vector<float>& values) {
    jfloatArray found = env->NewFloatArray(static_cast<jsize>(values.size()));
    if (found) env->SetFloatArrayRegion(found, 0, static_cast<jsize>(values.size()), values.data());
    return found;
}

// Calls a function of minnow.h that opens a file; throws in Java where it fails.
template <class Open> jlong opened(JNIEnv* env, Open open) {
    char message[kMessage] = "";
    auto* found = open(message, sizeof message);
    if (!found) throw_exception(env, message);
    return reinterpret_cast<jlong>(found);
}

// Calls a function of minnow.h that answers with JSON, and returns it as bytes.
template <class Ask> jbyteArray answered(JNIEnv* env, Ask ask) {
    char message[kMessage] = "";
    char* answer = ask(message, sizeof message);
    if (!answer) return throw_exception(env, message), nullptr;
    jbyteArray bytes = bytes_of(env, answer);
    minnow_free(answer);
    return bytes;
}

// Opens either kind of model with a function of minnow.h.
template <class Open> jlong open_model(JNIEnv* env, jbyteArray folder, jintArray given, Open open) {
    jint values[6] = {};
    if (env->GetArrayLength(given) != 6) return throw_exception(env, "There should be six options."), 0;
    env->GetIntArrayRegion(given, 0, 6, values);
    minnow_options options = {values[0], values[1], values[2], values[3], values[4], values[5]};
    const std::string path = text_of(env, folder);
    return opened(env, [&](char* error, size_t size) { return open(path.c_str(), &options, error, size); });
}

template <class Open>
jlong open_best(JNIEnv* env, jbyteArray folder, jbyteArray record, jintArray given, Open open) {
    const std::string path = text_of(env, record);
    return open_model(env, folder, given, [&](const char* bundle, const minnow_options* options, char* error, size_t size) {
        return open(bundle, path.c_str(), options, error, size);
    });
}

}  // namespace

extern "C" {

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_open(JNIEnv* env, jclass, jbyteArray folder, jintArray given) {
    return open_model(env, folder, given, minnow_open);
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openBest(JNIEnv* env, jclass, jbyteArray folder, jbyteArray record,
                                                        jintArray given) {
    return open_best(env, folder, record, given, minnow_open_best);
}

JNIEXPORT jint JNICALL Java_dev_minnow_Native_width(JNIEnv*, jclass, jlong handle) {
    return minnow_width(embedder_of(handle));
}

JNIEXPORT jfloatArray JNICALL Java_dev_minnow_Native_encode(JNIEnv* env, jclass, jlong handle,
                                                            jobjectArray given, jint role) {
    std::vector<std::string> texts;
    if (!read_texts(env, given, texts)) return nullptr;
    std::vector<minnow_text> views;
    for (auto& text : texts) views.push_back(view_of(text));
    std::vector<float> vectors(texts.size() * static_cast<size_t>(minnow_width(embedder_of(handle))));
    char message[kMessage] = "";
    if (minnow_encode(embedder_of(handle), views.data(), views.size(), role, vectors.data(), message, sizeof message))
        return throw_exception(env, message), nullptr;
    return floats_of(env, vectors);
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_close(JNIEnv*, jclass, jlong handle) {
    minnow_close(embedder_of(handle));
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openReranker(JNIEnv* env, jclass, jbyteArray folder, jintArray given) {
    return open_model(env, folder, given, minnow_open_reranker);
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openBestReranker(JNIEnv* env, jclass, jbyteArray folder,
                                                                jbyteArray record, jintArray given) {
    return open_best(env, folder, record, given, minnow_open_best_reranker);
}

JNIEXPORT jobjectArray JNICALL Java_dev_minnow_Native_labels(JNIEnv* env, jclass, jlong handle) {
    jint count = minnow_labels(reranker_of(handle));
    jclass kind = env->FindClass("[B");
    jobjectArray found = kind ? env->NewObjectArray(count, kind, nullptr) : nullptr;
    for (jint n = 0; found && n < count; ++n) {
        jbyteArray label = bytes_of(env, minnow_label(reranker_of(handle), n));
        if (!label) return nullptr;
        env->SetObjectArrayElement(found, n, label);
        env->DeleteLocalRef(label);
    }
    return found;
}

JNIEXPORT jfloatArray JNICALL Java_dev_minnow_Native_predict(JNIEnv* env, jclass, jlong handle,
                                                             jobjectArray queries, jobjectArray documents) {
    std::vector<std::string> first, second;
    if (!read_texts(env, queries, first) || !read_texts(env, documents, second)) return nullptr;
    if (first.size() != second.size()) return throw_exception(env, "Each query should have a document."), nullptr;
    std::vector<minnow_pair> pairs;
    for (size_t n = 0; n < first.size(); ++n) pairs.push_back({view_of(first[n]), view_of(second[n])});
    std::vector<float> scores(pairs.size() * static_cast<size_t>(minnow_labels(reranker_of(handle))));
    char message[kMessage] = "";
    if (minnow_predict(reranker_of(handle), pairs.data(), pairs.size(), scores.data(), message, sizeof message))
        return throw_exception(env, message), nullptr;
    return floats_of(env, scores);
}

JNIEXPORT jintArray JNICALL Java_dev_minnow_Native_rank(JNIEnv* env, jclass, jlong handle, jbyteArray query,
                                                        jobjectArray documents, jfloatArray scores) {
    std::vector<std::string> texts;
    if (!read_texts(env, documents, texts)) return nullptr;
    std::vector<minnow_text> views;
    for (auto& text : texts) views.push_back(view_of(text));
    const std::string asked = text_of(env, query);
    size_t top = std::min(texts.size(), static_cast<size_t>(env->GetArrayLength(scores)));
    std::vector<minnow_ranked> rows(top + 1);  // never an empty vector, whose data may be NULL
    char message[kMessage] = "";
    if (minnow_rank(reranker_of(handle), view_of(asked), views.data(), views.size(), top, rows.data(), message,
                    sizeof message))
        return throw_exception(env, message), nullptr;
    jintArray found = env->NewIntArray(static_cast<jsize>(top));
    for (jsize n = 0; found && n < static_cast<jsize>(top); ++n) {
        jint index = static_cast<jint>(rows[n].index);
        env->SetIntArrayRegion(found, n, 1, &index);
        env->SetFloatArrayRegion(scores, n, 1, &rows[n].score);
    }
    return found;
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_closeReranker(JNIEnv*, jclass, jlong handle) {
    minnow_close_reranker(reranker_of(handle));
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openIndex(JNIEnv* env, jclass, jbyteArray file, jlong embedder) {
    const std::string path = text_of(env, file);
    return opened(env, [&](char* error, size_t size) { return minnow_open_index(path.c_str(), embedder_of(embedder), error, size); });
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_count(JNIEnv* env, jclass, jlong handle) {
    char message[kMessage] = "";
    int64_t count = minnow_count(index_of(handle), message, sizeof message);
    if (count < 0) throw_exception(env, message);
    return count;
}

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_search(JNIEnv* env, jclass, jlong handle, jbyteArray query, jint k,
                                                           jbyteArray options) {
    const std::string asked = text_of(env, query), chosen = text_of(env, options);
    return answered(env, [&](char* error, size_t size) {
        return minnow_search(index_of(handle), view_of(asked), k, chosen.c_str(), nullptr, 0, error, size);
    });
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_closeIndex(JNIEnv*, jclass, jlong handle) { minnow_close_index(index_of(handle)); }

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openMemory(JNIEnv* env, jclass, jbyteArray file, jlong embedder, jbyteArray options) {
    const std::string path = text_of(env, file), chosen = text_of(env, options);
    return opened(env, [&](char* error, size_t size) {
        return minnow_open_memory(path.c_str(), embedder_of(embedder), chosen.c_str(), error, size);
    });
}

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_remember(JNIEnv* env, jclass, jlong handle, jbyteArray observations) {
    const std::string seen = text_of(env, observations);
    return answered(env, [&](char* error, size_t size) { return minnow_remember(memory_of(handle), seen.c_str(), error, size); });
}

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_recall(JNIEnv* env, jclass, jlong handle, jbyteArray query, jint k,
                                                           jbyteArray options) {
    const std::string asked = text_of(env, query), chosen = text_of(env, options);
    return answered(env, [&](char* error, size_t size) {
        return minnow_recall(memory_of(handle), view_of(asked), k, chosen.c_str(), error, size);
    });
}

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_items(JNIEnv* env, jclass, jlong handle, jbyteArray options) {
    const std::string chosen = text_of(env, options);
    return answered(env, [&](char* error, size_t size) { return minnow_items(memory_of(handle), chosen.c_str(), error, size); });
}

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_forget(JNIEnv* env, jclass, jlong handle, jlongArray given) {
    std::vector<int64_t> ids;
    jsize count = env->GetArrayLength(given);
    for (jsize n = 0; n < count; ++n) {
        jlong id;
        env->GetLongArrayRegion(given, n, 1, &id);
        ids.push_back(id);
    }
    return answered(env, [&](char* error, size_t size) { return minnow_forget(memory_of(handle), ids.data(), ids.size(), error, size); });
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_closeMemory(JNIEnv*, jclass, jlong handle) { minnow_close_memory(memory_of(handle)); }

}  // extern "C"
