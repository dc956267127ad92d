// What an index and memories need of models: vectors of texts, and what identifies it; the order of texts.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "manifest.hpp"
#include "vectors.hpp"

namespace minnow {

// What identifies the model of an index: src/minnow/indexfile/fingerprint.py.
struct Fingerprint {
    // Reads the fact "model" of a file.
    explicit Fingerprint(Json stated);
    // Returns that of a bundle, from its minnow.json.
    static Fingerprint of_bundle(const std::string& folder);
    std::string shown() const;
    // Throws Error saying what differs, where vectors of a model may not be compared with those of a named file.
    void check(const Fingerprint& given, const std::string& file) const;

    Json stated;
    int width;
    Similarity similarity;
};

// Makes the vectors of texts for a file, as an open bundle or an app's own code does.
class TextModel {
public:
    virtual ~TextModel() = default;
    virtual int width() const = 0;
    // Returns a row for each text.
    virtual std::vector<float> encode(const std::vector<std::string>& texts, Role role) = 0;
    // Returns how many tokens a document has that are more than the model takes.
    virtual size_t excess(const std::string&) { return 0; }
    // Returns the most tokens of a document, behind the prompt.
    virtual int room() { return fingerprint().stated["max_tokens"].integer("max_tokens"); }
    // Throws Error where the model cannot be told from others.
    virtual Fingerprint fingerprint() = 0;
};

// A document in its place.
struct Ranked {
    size_t index;  // among the documents, from 0
    float score;
};

// Scores pairs of texts, as an open reranker or an app's own code does.
class TextRanker {
public:
    virtual ~TextRanker() = default;
    virtual const std::vector<std::string>& labels() const = 0;
    // Returns a row of labels() scores per pair.
    virtual std::vector<float> predict(const std::vector<std::pair<std::string, std::string>>& pairs) = 0;
    // Returns the best documents first, `top_k` at most.
    virtual std::vector<Ranked> rank(const std::string& query, const std::vector<std::string>& documents, size_t top_k) = 0;
};

}  // namespace minnow
