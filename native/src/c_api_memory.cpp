// The C API of memories.
#include "c_api.hpp"
#include "memory.hpp"

using namespace minnow;

struct minnow_memory {
    Memory memory;
};

namespace {

Json items_of(const std::vector<Item>& items) {
    Json::Array found;
    for (auto& item : items) found.push_back(item.facts());
    return {std::move(found)};
}

}  // namespace

minnow_memory* minnow_open_memory(const char* file, minnow_embedder* embedder, const char* options, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!file) throw Error("The file is NULL.");
        auto chosen = MemoryOptions::read(options_of(options));
        return new minnow_memory{Memory(file, model_of(embedder), chosen)};
    });
}

char* minnow_remember(minnow_memory* memory, const char* observations, char* error, size_t size) {
    return answered(error, size, [&]() -> Json {
        std::vector<Observation> seen;
        for (auto& one : options_of(observations, "The observations").as<Json::Array>("observations")) seen.push_back(Observation::read(one));
        return items_of(there(memory).memory.remember(seen));
    });
}

char* minnow_recall(minnow_memory* memory, minnow_text query, int32_t k, const char* options, char* error, size_t size) {
    return minnow_recall_reranked(memory, nullptr, query, k, options, error, size);
}

char* minnow_recall_reranked(minnow_memory* memory, minnow_reranker* reranker, minnow_text query, int32_t k,
                             const char* options, char* error, size_t size) {
    return answered(error, size, [&]() -> Json {
        auto& open = there(memory).memory;
        auto asked = RecallOptions::read(options_of(options));
        Json::Array found;
        for (auto& one : open.recall(string_of(query), static_cast<size_t>(std::max(k, 0)), asked, ranker_of(reranker)))
            found.push_back(one.facts());
        return {std::move(found)};
    });
}

char* minnow_items(minnow_memory* memory, const char* options, char* error, size_t size) {
    return answered(error, size, [&]() -> Json { return items_of(there(memory).memory.items(RecallOptions::read(options_of(options)))); });
}

char* minnow_forget(minnow_memory* memory, const int64_t* ids, size_t count, char* error, size_t size) {
    return answered(error, size, [&]() -> Json {
        if (count && !ids) throw Error("An argument is NULL.");
        return items_of(there(memory).memory.forget({ids, ids + count}));
    });
}

void minnow_close_memory(minnow_memory* memory) { delete memory; }
