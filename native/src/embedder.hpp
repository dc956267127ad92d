// Text in, vectors out, on MNN.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "network.hpp"

namespace minnow {

// Runs one kind of directory: `embedder.cpp` a bundle, `mnn_llm.cpp` MNN's own engine.
class Encoder {
public:
    virtual ~Encoder() = default;
    // Returns the ids of a text with special tokens, truncated at the limit.
    virtual Ids tokens(const std::string& text) = 0;
    // Returns how many tokens of a text are cut off.
    virtual size_t excess(const std::string&) { return 0; }
    // Returns how many tokens of a prompt pooling leaves out, where the manifest says so.
    virtual size_t prompt_tokens(const std::string&) { return 0; }
    // Runs one forward pass, padded to the longest text; returns a row of Manifest::output_width per text.
    virtual std::vector<float> run(const std::vector<Tokens>& batch) = 0;
    // Returns how many texts of this many tokens fit into one pass.
    virtual size_t most(size_t tokens) const = 0;
};

std::unique_ptr<Encoder> open_bundle(const std::string&, const Manifest&, const Options&);
std::unique_ptr<Encoder> open_mnn_llm(const std::string&, const Manifest&, const Options&);

// Safe to call from several threads, which take turns.
class Embedder {
public:
    // Throws Error, as do all functions here.
    explicit Embedder(const std::string& folder, const Options& options = {});
    // Returns a row of width() numbers per text, with the role's prompt prepended; texts are UTF-8.
    // Where queries have an encoder of their own, the role chooses it; all else here is of documents.
    std::vector<float> encode(const std::vector<std::string>& texts, Role role = Role::kNone);
    // Runs one forward pass, padded to the longest text, with the caller's prompt.
    std::vector<float> encode_batch(const std::vector<std::string>& texts, const std::string& prompt = "");
    // The same with a prompt for each text.
    std::vector<float> encode_batch(const std::vector<std::string>& texts, const std::vector<std::string>& prompts);
    // Returns the ids of each text, and how many of them are a prompt that is not pooled.
    std::vector<Tokens> tokens(const std::vector<std::string>& texts, const std::string& prompt = "");
    // Returns how many tokens of a text, behind the role's prompt, are more than the model takes.
    size_t excess(const std::string& text, Role role) { return encoder_->excess(manifest_.prompt(role) + text); }
    const Manifest& manifest() const { return manifest_; }
    int width() const { return manifest_.width; }
    // Returns the embedder of queries, where they have an encoder of their own; else null.
    Embedder* queries() { return queries_.get(); }

private:
    Embedder(const std::string& folder, const Manifest& manifest, const Options& options);
    std::vector<float> run(const std::vector<Tokens>& batch);

    Manifest manifest_;
    std::unique_ptr<Encoder> encoder_;
    std::unique_ptr<Embedder> queries_;
    std::mutex mutex_;
};

}  // namespace minnow
