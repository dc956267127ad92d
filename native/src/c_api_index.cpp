// The C API of embedders that are an app's own code, and of indexes.
#include "c_api.hpp"
#include "search.hpp"

using namespace minnow;

struct minnow_index {
    Index index;
};

namespace {

// Calls an app's function for vectors.
class OwnModel : public TextModel {
public:
    OwnModel(const minnow_encoder& encoder, Fingerprint fingerprint) : encoder_(encoder), fingerprint_(std::move(fingerprint)) {}
    int width() const override { return fingerprint_.width; }
    Fingerprint fingerprint() override { return fingerprint_; }
    std::vector<float> encode(const std::vector<std::string>& texts, Role role) override {
        std::vector<minnow_text> given;
        for (auto& text : texts) given.push_back({text.data(), text.size()});
        std::vector<float> vectors(texts.size() * static_cast<size_t>(width()));
        if (encoder_.encode(encoder_.context, given.data(), given.size(), static_cast<int32_t>(role), vectors.data()))
            throw Error("The app's encoder failed.");
        return vectors;
    }

private:
    minnow_encoder encoder_;
    Fingerprint fingerprint_;
};

}  // namespace

minnow_embedder* minnow_wrap(const minnow_encoder* encoder, const char* model, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!encoder || !encoder->encode || !model) throw Error("An argument is NULL.");
        Fingerprint fingerprint(parse_json(model, "The model"));
        return new minnow_embedder{std::make_unique<OwnModel>(*encoder, std::move(fingerprint))};
    });
}

minnow_index* minnow_open_index(const char* file, minnow_embedder* embedder, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!file) throw Error("The file is NULL.");
        return new minnow_index{Index(file, embedder ? embedder->model.get() : nullptr)};
    });
}

int64_t minnow_count(minnow_index* index, char* error, size_t size) {
    int64_t count = -1;
    guarded(error, size, [&] { count = static_cast<int64_t>(there(index).index.size()); });
    return count;
}

char* minnow_search(minnow_index* index, minnow_text query, int32_t k, const char* options, const float* vector,
                    size_t width, char* error, size_t size) {
    return answered(error, size, [&]() -> Json {
        auto& open = there(index).index;
        auto asked = SearchOptions::read(options_of(options));
        if (vector) asked.vector.assign(vector, vector + width);
        Json::Array found;
        for (auto& hit : open.search(string_of(query), static_cast<size_t>(std::max(k, 0)), asked)) found.push_back(hit.facts(found.size() + 1));
        return {std::move(found)};
    });
}

void minnow_close_index(minnow_index* index) { delete index; }

void minnow_free(char* answer) { std::free(answer); }
