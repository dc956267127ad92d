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

minnow_text view_of(const std::string& text) { return {text.data(), text.size()}; }
minnow_text view_of(const char* text) { return {text, std::strlen(text)}; }

jbyteArray bytes_of(JNIEnv* env, minnow_text text) {
    jsize size = static_cast<jsize>(text.size);
    jbyteArray bytes = env->NewByteArray(size);
    if (bytes) env->SetByteArrayRegion(bytes, 0, size, reinterpret_cast<const jbyte*>(text.bytes));
    return bytes;
}

jbyteArray bytes_of(JNIEnv* env, const char* text) { return bytes_of(env, view_of(text)); }

void throw_exception(JNIEnv* env, const char* message) {
    if (env->ExceptionCheck()) return;  // of an app's own function, which says more
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

// Calls a function of minnow.h that counts, and fails with -1.
template <class Count> jlong counted(JNIEnv* env, Count count) {
    char message[kMessage] = "";
    int64_t found = count(message, sizeof message);
    if (found < 0) throw_exception(env, message);
    return found;
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

// --- functions of an app ---

JavaVM* machine;  // set before there is a function

jobjectArray texts_of(JNIEnv* env, const minnow_text* texts, size_t count) {
    jclass kind = env->FindClass("[B");
    jobjectArray found = kind ? env->NewObjectArray(static_cast<jsize>(count), kind, nullptr) : nullptr;
    for (size_t n = 0; found && n < count; ++n) {
        jbyteArray bytes = bytes_of(env, texts[n]);
        if (!bytes) return nullptr;
        env->SetObjectArrayElement(found, static_cast<jsize>(n), bytes);
        env->DeleteLocalRef(bytes);
    }
    return found;
}

// A Native.Function, which the library calls on threads of Java, and how many floats it gives for a text.
struct Function {
    jobject object;
    size_t width;
};

JNIEnv* environment() {
    void* env = nullptr;
    return machine->GetEnv(&env, JNI_VERSION_1_6) == JNI_OK ? static_cast<JNIEnv*>(env) : nullptr;
}

// Calls it; returns whether it gave its floats. An exception of it is Java's then, and reaches who called the library.
bool call_function(void* context, const minnow_text* query, const minnow_text* texts, size_t count, int32_t role, float* into) {
    auto& function = *static_cast<Function*>(context);
    JNIEnv* env = environment();
    jobjectArray given = env ? texts_of(env, texts, count) : nullptr;
    jbyteArray asked = given && query ? bytes_of(env, *query) : nullptr;
    if (!given || (query && !asked)) return false;
    jmethodID method = env->GetMethodID(env->GetObjectClass(function.object), "call", "([B[[BI)[F");
    auto rows = method ? static_cast<jfloatArray>(env->CallObjectMethod(function.object, method, asked, given, static_cast<jint>(role))) : nullptr;
    if (env->ExceptionCheck() || !rows || static_cast<size_t>(env->GetArrayLength(rows)) != count * function.width) return false;
    env->GetFloatArrayRegion(rows, 0, static_cast<jsize>(count * function.width), into);
    return true;
}

int32_t encode_own(void* context, const minnow_text* texts, size_t count, int32_t role, float* vectors) {
    return call_function(context, nullptr, texts, count, role, vectors) ? 0 : 1;
}

int32_t score_own(void* context, minnow_text query, const minnow_text* documents, size_t count, float* scores) {
    return call_function(context, &query, documents, count, MINNOW_NO_ROLE, scores) ? 0 : 1;
}

// A Native.Taker; the library calls it on the thread that asked.
struct Taker {
    JNIEnv* env;
    jobject object;
    jmethodID method;
};

int32_t take_piece(void* context, minnow_text piece) {
    auto& [env, object, method] = *static_cast<Taker*>(context);
    jbyteArray bytes = method ? bytes_of(env, piece) : nullptr;
    bool goes_on = bytes && env->CallBooleanMethod(object, method, bytes) && !env->ExceptionCheck();
    if (bytes) env->DeleteLocalRef(bytes);
    return goes_on ? 0 : 1;
}

bool read_options(JNIEnv* env, jintArray given, minnow_options& options) {
    jint values[6] = {};
    if (env->GetArrayLength(given) != 6) return throw_exception(env, "There should be six options."), false;
    env->GetIntArrayRegion(given, 0, 6, values);
    options = {values[0], values[1], values[2], values[3], values[4], values[5]};
    return true;
}

// Opens either kind of model with a function of minnow.h.
template <class Open> jlong open_model(JNIEnv* env, jbyteArray folder, jintArray given, Open open) {
    minnow_options options = {};
    if (!read_options(env, given, options)) return 0;
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

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_keep(JNIEnv* env, jclass, jobject function) {
    if (env->GetJavaVM(&machine)) return throw_exception(env, "There is no Java."), 0;
    return reinterpret_cast<jlong>(new Function{env->NewGlobalRef(function), 1});
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_release(JNIEnv* env, jclass, jlong handle) {
    auto* function = reinterpret_cast<Function*>(handle);
    if (function) env->DeleteGlobalRef(function->object);
    delete function;
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_wrap(JNIEnv* env, jclass, jlong handle, jbyteArray model) {
    auto* function = reinterpret_cast<Function*>(handle);
    const std::string facts = text_of(env, model);
    minnow_encoder given = {function, encode_own};
    jlong made = opened(env, [&](char* error, size_t size) { return minnow_wrap(&given, facts.c_str(), error, size); });
    if (made) function->width = static_cast<size_t>(minnow_width(embedder_of(made)));
    return made;
}

JNIEXPORT jboolean JNICALL Java_dev_minnow_Native_isProven(JNIEnv* env, jclass, jbyteArray folder, jintArray given) {
    minnow_options options = {};
    if (!read_options(env, given, options)) return false;
    const std::string path = text_of(env, folder);
    char message[kMessage] = "";
    int32_t proven = minnow_is_proven(path.c_str(), &options, message, sizeof message);
    if (proven < 0) throw_exception(env, message);
    return proven == 1;
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_deviceCheck(JNIEnv* env, jclass, jbyteArray folder, jintArray given, jbyteArray runner) {
    minnow_options options = {};
    if (!read_options(env, given, options)) return;
    const std::string path = text_of(env, folder), name = text_of(env, runner);
    char message[kMessage] = "";
    if (minnow_device_check(path.c_str(), &options, name.c_str(), message, sizeof message)) throw_exception(env, message);
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

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_wrapReranker(JNIEnv* env, jclass, jlong function) {
    minnow_scorer given = {reinterpret_cast<Function*>(function), score_own};
    return opened(env, [&](char* error, size_t size) { return minnow_wrap_reranker(&given, error, size); });
}

JNIEXPORT jobjectArray JNICALL Java_dev_minnow_Native_labels(JNIEnv* env, jclass, jlong handle) {
    std::vector<minnow_text> labels;
    for (jint n = 0; n < minnow_labels(reranker_of(handle)); ++n) labels.push_back(view_of(minnow_label(reranker_of(handle), n)));
    return texts_of(env, labels.data(), labels.size());
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

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openIndex(JNIEnv* env, jclass, jbyteArray file, jlong embedder, jboolean create) {
    const std::string path = text_of(env, file);
    auto open = create ? minnow_make_index : minnow_open_index;
    return opened(env, [&](char* error, size_t size) { return open(path.c_str(), embedder_of(embedder), error, size); });
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_count(JNIEnv* env, jclass, jlong handle) {
    return counted(env, [&](char* error, size_t size) { return minnow_count(index_of(handle), error, size); });
}

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_search(JNIEnv* env, jclass, jlong handle, jlong reranker, jbyteArray query,
                                                           jint k, jbyteArray options, jfloatArray vector) {
    const std::string asked = text_of(env, query), chosen = text_of(env, options);
    std::vector<float> numbers(vector ? static_cast<size_t>(env->GetArrayLength(vector)) : 0);
    if (vector) env->GetFloatArrayRegion(vector, 0, static_cast<jsize>(numbers.size()), numbers.data());
    return answered(env, [&](char* error, size_t size) {
        return minnow_search_reranked(index_of(handle), reranker_of(reranker), view_of(asked), k, chosen.c_str(),
                                      vector ? numbers.data() : nullptr, numbers.size(), error, size);
    });
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_put(JNIEnv* env, jclass, jlong handle, jbyteArray collection, jbyteArray records) {
    const std::string name = text_of(env, collection), given = text_of(env, records);
    return counted(env, [&](char* error, size_t size) { return minnow_put(index_of(handle), name.c_str(), given.c_str(), error, size); });
}

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_remove(JNIEnv* env, jclass, jlong handle, jbyteArray collection, jbyteArray ids) {
    const std::string name = text_of(env, collection), given = ids ? text_of(env, ids) : "";
    return counted(env, [&](char* error, size_t size) {
        return minnow_remove(index_of(handle), name.c_str(), ids ? given.c_str() : nullptr, error, size);
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

JNIEXPORT jbyteArray JNICALL Java_dev_minnow_Native_recall(JNIEnv* env, jclass, jlong handle, jlong reranker, jbyteArray query,
                                                           jint k, jbyteArray options) {
    const std::string asked = text_of(env, query), chosen = text_of(env, options);
    return answered(env, [&](char* error, size_t size) {
        return minnow_recall_reranked(memory_of(handle), reranker_of(reranker), view_of(asked), k, chosen.c_str(), error, size);
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

JNIEXPORT jlong JNICALL Java_dev_minnow_Native_openLlm(JNIEnv* env, jclass, jbyteArray folder, jint threads) {
    const std::string path = text_of(env, folder);
    return opened(env, [&](char* error, size_t size) { return minnow_open_llm(path.c_str(), threads, error, size); });
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_answer(JNIEnv* env, jclass, jlong handle, jbyteArray question, jbyteArray passages,
                                                     jint max_tokens, jobject taker) {
    const std::string asked = text_of(env, question), given = text_of(env, passages);
    Taker into = {env, taker, env->GetMethodID(env->GetObjectClass(taker), "take", "([B)Z")};
    char message[kMessage] = "";
    if (minnow_answer(reinterpret_cast<minnow_llm*>(handle), view_of(asked), given.c_str(), max_tokens, take_piece, &into, message,
                      sizeof message))
        throw_exception(env, message);
}

JNIEXPORT void JNICALL Java_dev_minnow_Native_closeLlm(JNIEnv*, jclass, jlong handle) {
    minnow_close_llm(reinterpret_cast<minnow_llm*>(handle));
}

}  // extern "C"
