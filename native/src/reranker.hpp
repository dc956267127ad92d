// Pairs of texts in, scores out, on MNN.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "network.hpp"
#include "pairs.hpp"

namespace minnow {

// A document in its place.
struct Ranked {
    size_t index;  // among the documents, from 0
    float score;
};

// Safe to call from several threads, which take turns.
class Reranker {
public:
    // Throws Error, as do all functions here.
    explicit Reranker(const std::string& folder, const Options& options = {});
    // Returns a row of labels() scores per pair, with the model's prompt prepended; texts are UTF-8.
    std::vector<float> predict(const std::vector<Pair>& pairs);
    // Returns the best documents first, `top_k` at most, in the order of their logits.
    std::vector<Ranked> rank(const std::string& query, const std::vector<std::string>& documents,
                             size_t top_k = SIZE_MAX);
    // Runs one forward pass, padded to the longest pair, without a prompt; returns logits.
    std::vector<float> logits_batch(const std::vector<Pair>& pairs);
    std::vector<Tokens> tokens(const std::vector<Pair>& pairs, const std::string& prompt = "") const;
    const std::vector<std::string>& labels() const { return manifest_.reranking->labels; }
    const Manifest& manifest() const { return manifest_; }

private:
    std::vector<float> logits(const std::vector<Pair>& pairs);
    std::vector<float> run(const std::vector<Tokens>& batch);
    float score(float logit) const;

    Manifest manifest_;
    std::unique_ptr<Network> network_;
    std::unique_ptr<PairTokenizer> tokenizer_;
    std::mutex mutex_;
};

}  // namespace minnow
