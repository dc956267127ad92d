// What the parts of the C API share.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "minnow.h"
#include "text_model.hpp"

struct minnow_embedder {
    std::unique_ptr<minnow::TextModel> model;
};

struct minnow_reranker {
    std::unique_ptr<minnow::TextRanker> ranker;
};

namespace minnow {

inline void copy_error(const char* what, char* error, size_t size) {
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
    } catch (const std::bad_alloc&) {
        copy_error("There is too little memory.", error, size);
    } catch (const std::exception& fault) {
        copy_error(fault.what(), error, size);
    } catch (...) {
        copy_error("Something failed in MNN.", error, size);
    }
    return 1;
}

inline std::string string_of(const minnow_text& text) {
    if (!text.bytes && text.size) throw Error("A text is NULL.");
    return {text.bytes ? text.bytes : "", text.size};
}

inline Json options_of(const char* options, const char* name = "The options") {
    return options && *options ? parse_json(options, name) : Json{Json::Object{}};
}

inline char* copy_of(const Json& found) {
    std::string text = to_json(found);
    auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
    if (!copy) throw Error("There is no memory for the answer.");
    std::memcpy(copy, text.c_str(), text.size() + 1);
    return copy;
}

// Returns the model of an embedder, null without one.
inline TextModel* model_of(minnow_embedder* embedder) { return embedder ? embedder->model.get() : nullptr; }

// Returns the ranker of a reranker, null without one.
inline TextRanker* ranker_of(minnow_reranker* reranker) { return reranker ? reranker->ranker.get() : nullptr; }

// Runs a function that returns a pointer; returns that, or NULL with an error message.
template <class Work> auto pointer_or_null(char* error, size_t size, Work work) -> decltype(work()) {
    decltype(work()) found = nullptr;
    guarded(error, size, [&] { found = work(); });
    return found;
}

// Runs a function that gives JSON; returns a copy of it, or NULL with an error message.
template <class Work> char* answered(char* error, size_t size, Work work) {
    return pointer_or_null(error, size, [&] { return copy_of(work()); });
}

template <class Handle> Handle& there(Handle* handle) {
    if (!handle) throw Error("An argument is NULL.");
    return *handle;
}

}  // namespace minnow
