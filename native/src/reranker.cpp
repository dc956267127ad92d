#include "reranker.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace minnow {

Reranker::Reranker(const std::string& folder, const Options& options) : manifest_(read_manifest(folder)) {
    check_kind(manifest_, folder, true);
    network_ = std::make_unique<Network>(folder, manifest_, options);
    tokenizer_ = std::make_unique<PairTokenizer>(folder + "/tokenizer.json", manifest_);
}

std::vector<Tokens> Reranker::tokens(const std::vector<Pair>& pairs, const std::string& prompt) const {
    std::vector<Tokens> rows = tokenizer_->encode(pairs, prompt);
    check_ids(rows, manifest_);
    return rows;
}

std::vector<float> Reranker::predict(const std::vector<Pair>& pairs) {
    std::vector<float> found = logits(pairs);
    for (float& value : found) value = score(value);
    return found;
}

std::vector<Ranked> Reranker::rank(const std::string& query, const std::vector<std::string>& documents,
                                   size_t top_k) {
    if (labels().size() != 1)
        throw Error("This model gives " + std::to_string(labels().size()) +
                    " scores, of which none orders documents. Score pairs instead.");
    std::vector<Pair> pairs;
    for (auto& document : documents) pairs.emplace_back(query, document);
    std::vector<float> found = logits(pairs);
    std::vector<size_t> order(found.size());
    std::iota(order.begin(), order.end(), 0);  // by logits, as scores near 1 are equal
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return found[a] > found[b]; });
    std::vector<Ranked> rows;
    for (size_t n = 0; n < std::min(top_k, order.size()); ++n) rows.push_back({order[n], score(found[order[n]])});
    return rows;
}

std::vector<float> Reranker::logits_batch(const std::vector<Pair>& pairs) {
    std::lock_guard<std::mutex> lock(mutex_);
    return pairs.empty() ? std::vector<float>{} : run(tokens(pairs));
}

std::vector<float> Reranker::logits(const std::vector<Pair>& pairs) {
    std::lock_guard<std::mutex> lock(mutex_);
    return run_by_length(
        tokens(pairs, manifest_.prompt(Role::kNone)), labels().size(),
        [&](size_t longest) { return network_->most(longest); },
        [&](const std::vector<Tokens>& batch) { return run(batch); });
}

std::vector<float> Reranker::run(const std::vector<Tokens>& batch) {
    std::vector<float> found = network_->run(batch);
    for (float value : found)
        if (!std::isfinite(value)) throw Error("MNN gave NaN or infinity.");
    return found;
}

float Reranker::score(float logit) const {
    return manifest_.reranking->sigmoid ? static_cast<float>(1 / (1 + std::exp(-static_cast<double>(logit)))) : logit;
}

}  // namespace minnow
