#include "embedder.hpp"

#include <cmath>
#include <numeric>

namespace minnow {
namespace {

class BundleEncoder : public Encoder {
public:
    BundleEncoder(const std::string& folder, const Manifest& manifest, const Options& options)
        : unpooled_(manifest.unpooled_ids), network_(folder, manifest, options),
          tokenizer_(folder + "/tokenizer.json", manifest.lowercase, manifest.max_tokens) {}

    Ids tokens(const std::string& text) override {
        Ids ids = tokenizer_.encode(text);
        if (ids.empty() && !unpooled_.empty()) ids = {unpooled_[0]};  // whose vector is zeros
        return ids;
    }
    size_t excess(const std::string& text) override { return tokenizer_.excess(text); }
    size_t prompt_tokens(const std::string& prompt) override { return tokenizer_.prompt_tokens(prompt); }
    std::vector<float> run(const std::vector<Tokens>& batch) override { return network_.run(batch); }
    size_t most(size_t tokens) const override { return network_.most(tokens); }

private:
    Ids unpooled_;
    Network network_;
    Tokenizer tokenizer_;
};

}  // namespace

std::unique_ptr<Encoder> open_bundle(const std::string& folder, const Manifest& manifest,
                                     const Options& options) {
    return std::make_unique<BundleEncoder>(folder, manifest, options);
}

Embedder::Embedder(const std::string& folder, const Options& options)
    : Embedder(folder, read_manifest(folder), options) {}

Embedder::Embedder(const std::string& folder, const Manifest& manifest, const Options& options)
    : manifest_(manifest) {
    check_kind(manifest_, folder, false);
    if (options.threads < 1) throw Error("The number of threads should be at least 1.");
    encoder_ = (manifest_.mnn_llm ? open_mnn_llm : open_bundle)(folder, manifest_, options);
    if (manifest_.queries) queries_.reset(new Embedder(folder + "/query", *manifest_.queries, options));
}

std::vector<Tokens> Embedder::tokens(const std::vector<std::string>& texts, const std::string& prompt) {
    std::vector<Tokens> rows;
    size_t left_out = manifest_.include_prompt || prompt.empty() ? 0 : encoder_->prompt_tokens(prompt);
    for (size_t n = 0; n < texts.size(); ++n) {
        rows.push_back({encoder_->tokens(prompt + texts[n]), {}, left_out});
        if (rows[n].ids.size() <= left_out)  // at least one token is pooled
            throw Error("Text " + std::to_string(n) + " is empty, and this model adds no token.");
    }
    check_ids(rows, manifest_);
    return rows;
}

std::vector<float> Embedder::encode(const std::vector<std::string>& texts, Role role) {
    if (queries_) {
        bool plain = role == Role::kNone;
        if (plain && manifest_.default_role.empty())
            throw Error("This model embeds queries and documents; give a role.");
        if (role == Role::kQuery || (plain && manifest_.default_role == "query"))
            return queries_->encode(texts, role);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    return run_by_length(
        tokens(texts, manifest_.prompt(role)), width(), [&](size_t longest) { return encoder_->most(longest); },
        [&](const std::vector<Tokens>& batch) { return run(batch); });
}

std::vector<float> Embedder::encode_batch(const std::vector<std::string>& texts, const std::string& prompt) {
    return encode_batch(texts, std::vector<std::string>(texts.size(), prompt));
}

std::vector<float> Embedder::encode_batch(const std::vector<std::string>& texts,
                                          const std::vector<std::string>& prompts) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Tokens> rows;
    for (size_t n = 0; n < texts.size(); ++n) rows.push_back(tokens({texts[n]}, prompts.at(n))[0]);
    return texts.empty() ? std::vector<float>{} : run(rows);
}

std::vector<float> Embedder::run(const std::vector<Tokens>& batch) {
    std::vector<float> found = encoder_->run(batch);
    for (size_t r = 0; r < batch.size(); ++r) {
        float* row = &found[r * manifest_.output_width];
        double square = std::inner_product(row, row + manifest_.output_width, row, 0.0);
        if (!std::isfinite(square)) throw Error("MNN gave NaN or infinity.");
        double length = 1;
        if (manifest_.normalize && manifest_.gives_states())  // else the encoder normalised it
            length = std::max(std::sqrt(square), 1e-12);
        for (int i = 0; i < width(); ++i)  // a vector is truncated after it is normalised
            found[r * width() + i] = static_cast<float>(row[i] / length);
    }
    found.resize(batch.size() * width());
    return found;
}

}  // namespace minnow
