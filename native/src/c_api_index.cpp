// The C API of embedders that are an app's own code, and of indexes.
#include <cmath>

#include "c_api.hpp"
#include "pairs.hpp"
#include "records.hpp"
#include "search.hpp"

using namespace minnow;

struct minnow_index {
    Index index;
    std::string file;
    TextModel* model;
};

namespace {

const char* const kRecords = "records";  // the collection without a name

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

// Calls an app's function for scores.
class OwnRanker : public TextRanker {
public:
    explicit OwnRanker(const minnow_scorer& scorer) : scorer_(scorer) {}
    const std::vector<std::string>& labels() const override { return labels_; }
    std::vector<float> predict(const std::vector<Pair>& pairs) override {
        std::vector<float> found;
        for (auto& [query, document] : pairs) found.push_back(scores(query, {document})[0]);
        return found;
    }
    std::vector<Ranked> rank(const std::string& query, const std::vector<std::string>& documents, size_t top_k) override {
        std::vector<Ranked> rows;
        for (float score : scores(query, documents)) rows.push_back({rows.size(), score});
        std::stable_sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.score > b.score; });
        rows.resize(std::min(top_k, rows.size()));
        return rows;
    }

private:
    std::vector<float> scores(const std::string& query, const std::vector<std::string>& documents) {
        std::vector<minnow_text> given;
        for (auto& document : documents) given.push_back({document.data(), document.size()});
        std::vector<float> found(documents.size());
        if (scorer_.score(scorer_.context, {query.data(), query.size()}, given.data(), given.size(), found.data()))
            throw Error("The app's reranker failed.");
        for (float score : found)
            if (!std::isfinite(score)) throw Error("The app's reranker gave NaN or infinity.");
        return found;
    }

    minnow_scorer scorer_;
    std::vector<std::string> labels_ = {"score"};
};

minnow_index* opened(const char* file, minnow_embedder* embedder) {
    TextModel* model = model_of(embedder);
    return new minnow_index{Index(file, model), file, model};
}

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
        return opened(file, embedder);
    });
}

minnow_index* minnow_make_index(const char* file, minnow_embedder* embedder, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!file || !embedder) throw Error("An argument is NULL.");
        IndexFile::create(file, *embedder->model);
        return opened(file, embedder);
    });
}

int64_t minnow_put(minnow_index* index, const char* collection, const char* records, char* error, size_t size) {
    int64_t embedded = -1;
    guarded(error, size, [&] {
        std::vector<Record> all;
        for (auto& one : options_of(records, "The records").as<Json::Array>("records")) all.push_back(Record::read(one));
        embedded = static_cast<int64_t>(put_records(there(index).file, index->model, all, collection ? collection : kRecords));
    });
    return embedded;
}

int64_t minnow_remove(minnow_index* index, const char* collection, const char* ids, char* error, size_t size) {
    int64_t removed = -1;
    guarded(error, size, [&] {
        std::optional<std::vector<std::string>> some;
        if (ids) some = texts_in(parse_json(ids, "The ids"), "ids");
        removed = static_cast<int64_t>(remove_records(there(index).file, some, collection ? collection : kRecords));
    });
    return removed;
}

int64_t minnow_count(minnow_index* index, char* error, size_t size) {
    int64_t count = -1;
    guarded(error, size, [&] { count = static_cast<int64_t>(there(index).index.size()); });
    return count;
}

minnow_reranker* minnow_wrap_reranker(const minnow_scorer* scorer, char* error, size_t size) {
    return pointer_or_null(error, size, [&] {
        if (!scorer || !scorer->score) throw Error("An argument is NULL.");
        return new minnow_reranker{std::make_unique<OwnRanker>(*scorer)};
    });
}

char* minnow_search(minnow_index* index, minnow_text query, int32_t k, const char* options, const float* vector,
                    size_t width, char* error, size_t size) {
    return minnow_search_reranked(index, nullptr, query, k, options, vector, width, error, size);
}

char* minnow_search_reranked(minnow_index* index, minnow_reranker* reranker, minnow_text query, int32_t k, const char* options,
                             const float* vector, size_t width, char* error, size_t size) {
    return answered(error, size, [&]() -> Json {
        auto& open = there(index).index;
        auto asked = SearchOptions::read(options_of(options));
        if (vector) asked.vector.assign(vector, vector + width);
        Json::Array found;
        auto hits = open.search(string_of(query), static_cast<size_t>(std::max(k, 0)), asked, ranker_of(reranker));
        for (auto& hit : hits) found.push_back(hit.facts(found.size() + 1));
        return {std::move(found)};
    });
}

void minnow_close_index(minnow_index* index) { delete index; }

void minnow_free(char* answer) { std::free(answer); }
