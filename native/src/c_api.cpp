#include "minnow.h"

#include <algorithm>
#include <cstring>

#include "best.hpp"
#include "embedder.hpp"
#include "reranker.hpp"

struct minnow_embedder {
    minnow::Embedder embedder;
};

struct minnow_reranker {
    minnow::Reranker reranker;
};

namespace {

void copy_error(const char* what, char* error, size_t size) {
    if (!error || !size) return;
    size_t length = std::min(std::strlen(what), size - 1);
    while (length && what[length] && (what[length] & 0xc0) == 0x80) --length;  // whole characters
    std::memcpy(error, what, length);
    error[length] = '\0';
}

// Runs a function; returns 0, or 1 with its error message.
template <class Work> int32_t guarded(char* error, size_t size, Work work) {
    try {
        work();
        return 0;
    } catch (const std::exception& fault) {
        copy_error(fault.what(), error, size);
    } catch (...) {
        copy_error("Something failed in MNN.", error, size);
    }
    return 1;
}

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

std::string string_of(const minnow_text& text) {
    if (!text.bytes && text.size) throw minnow::Error("A text is NULL.");
    return {text.bytes ? text.bytes : "", text.size};
}

minnow::Role role_of(int32_t role) {
    if (role < MINNOW_NO_ROLE || role > MINNOW_DOCUMENT) throw minnow::Error("There is no such role.");
    return static_cast<minnow::Role>(role);
}

}  // namespace

minnow_embedder* minnow_open(const char* folder, const minnow_options* given, char* error, size_t size) {
    minnow_embedder* found = nullptr;
    guarded(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        found = new minnow_embedder{minnow::Embedder(folder, options_of(given))};
    });
    return found;
}

minnow_embedder* minnow_open_best(const char* folder, const char* record, const minnow_options* given,
                                  char* error, size_t size) {
    minnow_embedder* found = nullptr;
    guarded(error, size, [&] {
        auto options = best_of(folder, record, given, false);
        found = new minnow_embedder{minnow::Embedder(folder, options)};
    });
    return found;
}

int32_t minnow_width(const minnow_embedder* embedder) { return embedder ? embedder->embedder.width() : 0; }

int32_t minnow_encode(minnow_embedder* embedder, const minnow_text* texts, size_t count, int32_t role,
                      float* vectors, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!embedder || (count && (!texts || !vectors))) throw minnow::Error("An argument is NULL.");
        std::vector<std::string> all;
        for (size_t n = 0; n < count; ++n) all.push_back(string_of(texts[n]));
        std::vector<float> found = embedder->embedder.encode(all, role_of(role));
        std::copy(found.begin(), found.end(), vectors);
    });
}

void minnow_close(minnow_embedder* embedder) { delete embedder; }

minnow_reranker* minnow_open_reranker(const char* folder, const minnow_options* given, char* error, size_t size) {
    minnow_reranker* found = nullptr;
    guarded(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        found = new minnow_reranker{minnow::Reranker(folder, options_of(given))};
    });
    return found;
}

minnow_reranker* minnow_open_best_reranker(const char* folder, const char* record, const minnow_options* given,
                                           char* error, size_t size) {
    minnow_reranker* found = nullptr;
    guarded(error, size, [&] {
        auto options = best_of(folder, record, given, true);
        found = new minnow_reranker{minnow::Reranker(folder, options)};
    });
    return found;
}

int32_t minnow_labels(const minnow_reranker* reranker) {
    return reranker ? static_cast<int32_t>(reranker->reranker.labels().size()) : 0;
}

const char* minnow_label(const minnow_reranker* reranker, int32_t number) {
    bool known = number >= 0 && number < minnow_labels(reranker);
    return known ? reranker->reranker.labels()[static_cast<size_t>(number)].c_str() : nullptr;
}

int32_t minnow_predict(minnow_reranker* reranker, const minnow_pair* pairs, size_t count, float* scores,
                       char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!reranker || (count && (!pairs || !scores))) throw minnow::Error("An argument is NULL.");
        std::vector<minnow::Pair> all;
        for (size_t n = 0; n < count; ++n) all.emplace_back(string_of(pairs[n].query), string_of(pairs[n].document));
        std::vector<float> found = reranker->reranker.predict(all);
        std::copy(found.begin(), found.end(), scores);
    });
}

int32_t minnow_rank(minnow_reranker* reranker, minnow_text query, const minnow_text* documents, size_t count,
                    size_t top_k, minnow_ranked* rows, char* error, size_t size) {
    return guarded(error, size, [&] {
        if (!reranker || (count && (!documents || !rows))) throw minnow::Error("An argument is NULL.");
        std::vector<std::string> all;
        for (size_t n = 0; n < count; ++n) all.push_back(string_of(documents[n]));
        for (auto& row : reranker->reranker.rank(string_of(query), all, top_k)) *rows++ = {row.index, row.score};
    });
}

void minnow_close_reranker(minnow_reranker* reranker) { delete reranker; }
