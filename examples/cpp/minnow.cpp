#include "minnow.h"

#include <algorithm>
#include <cstring>

#include "core/embedder.hpp"

struct minnow_embedder {
    minnow::Embedder embedder;
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

minnow::Role role_of(int32_t role) {
    if (role < MINNOW_NO_ROLE || role > MINNOW_DOCUMENT) throw minnow::Error("There is no such role.");
    return static_cast<minnow::Role>(role);
}

}  // namespace

minnow_embedder* minnow_open(const char* folder, const minnow_options* given, char* error, size_t size) {
    minnow_embedder* found = nullptr;
    guarded(error, size, [&] {
        if (!folder) throw minnow::Error("The folder is NULL.");
        minnow::Options options;
        if (given) {
            for (int32_t mode : {given->precision, given->power, given->memory})
                if (mode < MINNOW_NORMAL || mode > MINNOW_LOW) throw minnow::Error("There is no such mode.");
            options.backend = given->backend;
            options.threads = given->threads ? given->threads : options.threads;
            options.precision = given->precision;
            options.power = given->power;
            options.memory = given->memory;
            options.fixed_shapes = given->fixed_shapes != 0;
        }
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
        for (size_t n = 0; n < count; ++n) {
            if (!texts[n].bytes && texts[n].size) throw minnow::Error("A text is NULL.");
            all.emplace_back(texts[n].bytes ? texts[n].bytes : "", texts[n].size);
        }
        std::vector<float> found = embedder->embedder.encode(all, role_of(role));
        std::copy(found.begin(), found.end(), vectors);
    });
}

void minnow_close(minnow_embedder* embedder) { delete embedder; }
