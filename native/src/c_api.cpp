// The C API of embedders and rerankers.
#include "c_api.hpp"

#include "pairs.hpp"
#include "sha256.hpp"

#if MINNOW_HAS_MNN
#include "best.hpp"
#include "device_check.hpp"
#include "embedder.hpp"
#include "llm.hpp"
#include "reranker.hpp"

struct minnow_llm {
    minnow::Llm llm;
};
#endif

using minnow::guarded;
using minnow::pointer_or_null;
using minnow::string_of;

namespace {

minnow::Role role_of(int32_t role) {
    if (role < MINNOW_NO_ROLE || role > MINNOW_DOCUMENT) throw minnow::Error("There is no such role.");
    return static_cast<minnow::Role>(role);
}

#if MINNOW_HAS_MNN

// An open bundle.
class BundleModel : public minnow::TextModel {
public:
    BundleModel(const char* folder, const minnow::Options& options) : embedder_(folder, options), folder_(folder) {}
    int width() const override { return embedder_.width(); }
    std::vector<float> encode(const std::vector<std::string>& texts, minnow::Role role) override { return embedder_.encode(texts, role); }
    size_t excess(const std::string& text) override { return embedder_.excess(text, minnow::Role::kDocument); }
    minnow::Fingerprint fingerprint() override { return minnow::Fingerprint::of_bundle(folder_); }

private:
    minnow::Embedder embedder_;
    std::string folder_;
};

minnow::Options options_of(const minnow_options* given) {
    minnow::Options options;
    if (!given) return options;
    for (int32_t mode : {given->precision, given->power, given->memory})
        if (mode < MINNOW_NORMAL || mode > MINNOW_LOW) throw minnow::Error("There is no such mode.");
    options.backend = given->backend;
    options.threads = given->threads ? given->threads : options.threads;
    options.precision = given->precision;
    options.power = given->power;
    options.memory = given->memory;
    options.fixed_shapes = given->fixed_shapes != 0;
    return options;
}

minnow::Options best_of(const char* folder, const char* record, const minnow_options* given, bool reranks) {
    if (!folder) throw minnow::Error("The folder is NULL.");
    return minnow::best_options(folder, record ? record : "", options_of(given), reranks);
}

#endif

}  // namespace

int32_t minnow_sha256(const char* file, char* digits, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!file || !digits) throw minnow::Error("An argument is NULL.");
        std::string found = minnow::sha256_of_file(file);
        digits[found.copy(digits, found.size())] = '\0';
    });
}

int32_t minnow_width(const minnow_embedder* embedder) { return embedder ? embedder->model->width() : 0; }

int32_t minnow_encode(minnow_embedder* embedder, const minnow_text* texts, size_t count, int32_t role,
                      float* vectors, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!embedder || (count && (!texts || !vectors))) throw minnow::Error("An argument is NULL.");
        std::vector<std::string> all;
        for (size_t n = 0; n < count; ++n) all.push_back(string_of(texts[n]));
        std::vector<float> found = embedder->model->encode(all, role_of(role));
        std::copy(found.begin(), found.end(), vectors);
    });
}

void minnow_close(minnow_embedder* embedder) { delete embedder; }

int32_t minnow_labels(const minnow_reranker* reranker) {
    return reranker ? static_cast<int32_t>(reranker->ranker->labels().size()) : 0;
}

const char* minnow_label(const minnow_reranker* reranker, int32_t number) {
    bool known = number >= 0 && number < minnow_labels(reranker);
    return known ? reranker->ranker->labels()[static_cast<size_t>(number)].c_str() : nullptr;
}

int32_t minnow_predict(minnow_reranker* reranker, const minnow_pair* pairs, size_t count, float* scores,
                       char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!reranker || (count && (!pairs || !scores))) throw minnow::Error("An argument is NULL.");
        std::vector<minnow::Pair> all;
        for (size_t n = 0; n < count; ++n) all.emplace_back(string_of(pairs[n].query), string_of(pairs[n].document));
        std::vector<float> found = reranker->ranker->predict(all);
        std::copy(found.begin(), found.end(), scores);
    });
}

int32_t minnow_rank(minnow_reranker* reranker, minnow_text query, const minnow_text* documents, size_t count,
                    size_t top_k, minnow_ranked* rows, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!reranker || (count && (!documents || !rows))) throw minnow::Error("An argument is NULL.");
        std::vector<std::string> all;
        for (size_t n = 0; n < count; ++n) all.push_back(string_of(documents[n]));
        for (auto& row : reranker->ranker->rank(string_of(query), all, top_k)) *rows++ = {row.index, row.score};
    });
}

void minnow_close_reranker(minnow_reranker* reranker) { delete reranker; }

#if MINNOW_HAS_MNN

minnow_embedder* minnow_open(const char* folder, const minnow_options* given, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        return new minnow_embedder{std::make_unique<BundleModel>(folder, options_of(given))};
    });
}

minnow_embedder* minnow_open_best(const char* folder, const char* record, const minnow_options* given,
                                  char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        auto options = best_of(folder, record, given, false);
        return new minnow_embedder{std::make_unique<BundleModel>(folder, options)};
    });
}

int32_t minnow_is_proven(const char* folder, const minnow_options* given, char* error, size_t size) {
    bool proven = false;
    int32_t failed = guarded(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        proven = minnow::is_proven(folder, options_of(given));
    });
    return failed ? -1 : proven;
}

minnow_llm* minnow_open_llm(const char* folder, int32_t threads, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        if (threads < 0) throw minnow::Error("The number of threads should be at least 1.");
        return new minnow_llm{{folder, threads ? threads : 4}};
    });
}

int32_t minnow_answer(minnow_llm* llm, minnow_text question, const char* passages, int32_t max_tokens, minnow_take take,
                      void* context, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!llm || !passages || !take) throw minnow::Error("An argument is NULL.");
        if (max_tokens < 1) throw minnow::Error("max_tokens should be at least 1, not " + std::to_string(max_tokens) + ".");
        auto prompt = minnow::answer_prompt(string_of(question), minnow::parse_json(passages, "The passages"));
        llm->llm.generate(prompt, max_tokens, [&](auto& piece) { return !take(context, {piece.data(), piece.size()}); });
    });
}

void minnow_close_llm(minnow_llm* llm) { delete llm; }

int32_t minnow_device_check(const char* folder, const minnow_options* given, const char* runner, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!folder || !runner) throw minnow::Error("An argument is NULL.");
        minnow::run_device_check(folder, options_of(given), runner);
    });
}

minnow_reranker* minnow_open_best_reranker(const char* folder, const char* record, const minnow_options* given,
                                           char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        auto options = best_of(folder, record, given, true);
        return new minnow_reranker{std::make_unique<minnow::Reranker>(folder, options)};
    });
}

minnow_reranker* minnow_open_reranker(const char* folder, const minnow_options* given, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        return new minnow_reranker{std::make_unique<minnow::Reranker>(folder, options_of(given))};
    });
}

#else

namespace {

template <class Opened> Opened* without_mnn(char* error, size_t size) {
    minnow::copy_error("This library was built without MNN, which runs models.", error, size);
    return nullptr;
}

}  // namespace

minnow_embedder* minnow_open(const char*, const minnow_options*, char* error, size_t size) {
    return without_mnn<minnow_embedder>(error, size);
}

minnow_embedder* minnow_open_best(const char*, const char*, const minnow_options*, char* error, size_t size) {
    return without_mnn<minnow_embedder>(error, size);
}

minnow_reranker* minnow_open_reranker(const char*, const minnow_options*, char* error, size_t size) {
    return without_mnn<minnow_reranker>(error, size);
}

minnow_reranker* minnow_open_best_reranker(const char*, const char*, const minnow_options*, char* error, size_t size) {
    return without_mnn<minnow_reranker>(error, size);
}

int32_t minnow_is_proven(const char*, const minnow_options*, char* error, size_t size) {
    return without_mnn<minnow_embedder>(error, size), -1;
}

minnow_llm* minnow_open_llm(const char*, int32_t, char* error, size_t size) { return without_mnn<minnow_llm>(error, size); }

int32_t minnow_answer(minnow_llm*, minnow_text, const char*, int32_t, minnow_take, void*, char* error, size_t size) {
    return without_mnn<minnow_llm>(error, size), 1;
}

void minnow_close_llm(minnow_llm*) {}

int32_t minnow_device_check(const char*, const minnow_options*, const char*, char* error, size_t size) {
    return without_mnn<minnow_embedder>(error, size), 1;
}

#endif
