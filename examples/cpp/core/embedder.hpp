// Text in, vectors out, on MNN.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "manifest.hpp"

namespace minnow {

// Numbers are MNN's: MNNForwardType, and the modes of BackendConfig (0 normal, 1 high, 2 low).
struct Options {
    int backend = 0, threads = 4, precision = 0, power = 0, memory = 0;
    bool fixed_shapes = false;  // use the encoders for one shape, where they are long enough
};

using Ids = std::vector<int>;

// Runs one kind of folder; `embedder.cpp` has the plain bundle, `mnn_llm.cpp` MNN's own engine.
class Encoder {
public:
    virtual ~Encoder() = default;
    // Ids of a text, special tokens included, cut off at the limit.
    virtual Ids tokens(const std::string& text) = 0;
    // One forward pass, padded to the longest: a row of Manifest::width for each text.
    virtual std::vector<float> run(const std::vector<Ids>& batch) = 0;
    // How many texts of so many tokens go in one pass.
    virtual size_t most(size_t tokens) const = 0;
};

std::unique_ptr<Encoder> open_bundle(const std::string&, const Manifest&, const Options&);
std::unique_ptr<Encoder> open_mnn_llm(const std::string&, const Manifest&, const Options&);

// Safe to call from several threads; they take turns.
class Embedder {
public:
    // Throws Error, as everything here does: it says what went wrong.
    explicit Embedder(const std::string& folder, const Options& options = {});
    // A row of width() numbers for each text, behind the role's prompt; texts are UTF-8.
    std::vector<float> encode(const std::vector<std::string>& texts, Role role = Role::kNone);
    // One forward pass, padded to the longest, behind a prompt of the caller's.
    std::vector<float> encode_batch(const std::vector<std::string>& texts, const std::string& prompt = "");
    std::vector<Ids> token_ids(const std::vector<std::string>& texts, const std::string& prompt = "");
    const Manifest& manifest() const { return manifest_; }
    int width() const { return manifest_.width; }

private:
    std::vector<float> run(const std::vector<Ids>& batch);

    Manifest manifest_;
    std::unique_ptr<Encoder> encoder_;
    std::mutex mutex_;
};

}  // namespace minnow
