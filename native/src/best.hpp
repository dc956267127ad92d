// The fastest backend and mode of a device that gives the vectors of a bundle's canaries.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "network.hpp"

namespace minnow {

// A text of a bundle, or a reranker's pair.
struct Canary {
    std::string name, text, prompt, second;
};

// Texts whose vectors a bundle brings; minnow.canaries of the Python package describes the files.
struct Canaries {
    bool pairs;
    double bar;
    std::vector<Canary> texts;
    std::vector<std::vector<size_t>> batches;
    std::vector<std::vector<float>> expected;  // a row for each text

    // Returns the worst cosine or difference and the name of its text; throws Error where a row of `found`, which
    // are those of all batches, is wrong.
    std::pair<double, std::string> judge(const std::vector<std::vector<float>>& found) const;
};

// Returns the canaries of a bundle's encoder, or nothing for a bundle that is older; throws Error.
std::optional<Canaries> read_canaries(const std::string& folder, const Manifest& manifest);

// One mode that was tried. `outcome` is right, wrong, failed, or trying while it runs.
struct Attempt {
    int backend, precision, memory;
    std::string outcome, message;
    double worst, seconds;  // NaN where there is none
};

// What was tried on a device; its JSON is that of minnow.backend_choice.BackendChoice in Python.
struct BackendChoice {
    std::string bundle, device, mnn;
    int threads = 0, chosen = -1;
    std::string reason;
    std::vector<Attempt> attempts;
};

// Runs a batch of canaries in the mode that it was opened in; returns a row for each.
using RunCanaries = std::function<std::vector<std::vector<float>>(const std::vector<Canary>&)>;
// Opens the bundle in a mode; a function for each of its encoders, in the order of the canaries.
using OpenMode = std::function<std::vector<RunCanaries>(const Options&)>;

// Returns the modes to try on this machine, MNN's default first.
std::vector<Options> possible_modes(bool rounds, bool gpus, const Options& options);

// Tries modes until one is chosen: the fastest that is right. The record is written before and after each attempt,
// so that a mode which ends the process is not tried again. Throws Error where none is right.
BackendChoice choose_backend(BackendChoice known, const std::vector<Canaries>& canaries,
                             const std::vector<Options>& modes, const OpenMode& open, const std::string& record);

// Reads a record; nothing if it is not there, or not of this bundle, device, version of MNN and number of threads.
std::optional<BackendChoice> read_choice(const std::string& path, const BackendChoice& wanted);

// Returns whether the manifest of a bundle proves its vectors in a mode on this kind of processor, or the mode
// computes as its proof did.
bool is_proven(const std::string& folder, const Options& options);

// Returns the options with the best backend, precision and memory for a bundle: tried now, or as `record` says. Only
// modes of the CPU are tried where the record cannot be written, as a crash would come again with each start.
Options best_options(const std::string& folder, const std::string& record, const Options& options, bool reranks);

}  // namespace minnow
