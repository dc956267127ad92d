// Token ids in, the output of a bundle's encoder out, on MNN.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "manifest.hpp"
#include "tokenizer.hpp"

namespace minnow {

// The names of MNN's modes by their numbers.
const char* const kModes[] = {"normal", "high", "low"};

// The numbers are MNN's: MNNForwardType, and the modes of BackendConfig (0 normal, 1 high, 2 low).
struct Options {
    int backend = 0, threads = 4, precision = 0, power = 0, memory = 0;
    bool fixed_shapes = false;  // use the fixed-shape encoders that are long enough
};

// A row of numbers for each text or pair of a batch, one row after the other.
using Run = std::function<std::vector<float>(const std::vector<Tokens>&)>;

// Runs batches of similar length, the longest first; returns rows of `width` numbers in the order given.
// `most` says how many rows of a length fit into one batch.
std::vector<float> run_by_length(const std::vector<Tokens>& rows, size_t width,
                                 const std::function<size_t(size_t)>& most, const Run& run);

// Throws Error where the model has no row for an id; `rows` are of one tokenizer.
void check_ids(const std::vector<Tokens>& rows, const Manifest& manifest);

class Session;

// The encoders of a bundle: encoder.mnn, and those of one fixed shape each.
class Network {
public:
    // Throws Error, as do all functions here. The manifest must outlive it.
    Network(const std::string& folder, const Manifest& manifest, const Options& options);
    ~Network();
    // Runs one forward pass, padded to the longest row; returns Manifest::output_width numbers per row.
    std::vector<float> run(const std::vector<Tokens>& batch);
    // Returns how many rows of this many tokens fit into one pass.
    size_t most(size_t tokens) const;

private:
    const FixedShape* fixed(size_t tokens) const;
    Session& session(const std::string& file, const Options& options);

    std::string folder_;
    const Manifest& manifest_;
    Options options_;
    std::map<std::string, std::unique_ptr<Session>> sessions_;
};

}  // namespace minnow
