// Pairs of texts in, scores out, on MNN.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "network.hpp"
#include "pairs.hpp"
#include "text_model.hpp"

namespace minnow {

// Safe to call from several threads, which take turns.
class Reranker : public TextRanker {
public:
    // Throws Error, as do all functions here.
    explicit Reranker(const std::string& folder, const Options& options = {});
    // Prepends the model's prompt; texts are UTF-8.
    std::vector<float> predict(const std::vector<Pair>& pairs) override;
    // Ranks by logits.
    std::vector<Ranked> rank(const std::string& query, const std::vector<std::string>& documents,
                             size_t top_k = SIZE_MAX) override;
    // Runs one forward pass, padded to the longest pair, without a prompt; returns logits.
    std::vector<float> logits_batch(const std::vector<Pair>& pairs);
    std::vector<Tokens> tokens(const std::vector<Pair>& pairs, const std::string& prompt = "") const;
    const std::vector<std::string>& labels() const override { return manifest_.reranking->labels; }
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
