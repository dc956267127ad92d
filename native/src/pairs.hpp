// The tokens of a pair of texts, as a reranker reads them: both in one sequence, cut at the limit.
#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "manifest.hpp"
#include "tokenizer.hpp"

namespace minnow {

using Pair = std::pair<std::string, std::string>;  // a query and a document, or any two texts

// The tokens around the two texts of a pair, and the token type of each part.
struct PairTemplate {
    std::array<Tokens, 3> around;      // before the first text, between both, after the second
    std::array<int, 2> types = {0, 1};  // of the texts' own tokens

    size_t size() const { return around[0].ids.size() + around[1].ids.size() + around[2].ids.size(); }
};

class PairTokenizer {
public:
    // Throws Error if the file needs a feature that is missing here, as do all functions here.
    PairTokenizer(const std::string& path, const Manifest& manifest);
    // Returns the tokens of each pair; the prompt precedes the first text, or is the system's message of a chat.
    std::vector<Tokens> encode(const std::vector<Pair>& pairs, const std::string& prompt = "") const;

private:
    PairTokenizer(const Json& file, const std::string& path, const Manifest& manifest);
    Tokens join(const Ids& first, const Ids& second) const;
    std::pair<size_t, size_t> shares(const Ids& first, const Ids& second, const Pair& pair, size_t number) const;

    Reranking reranking_;
    Tokenizer tokenizer_;
    PairTemplate template_;
    size_t limit_, room_;  // the limit, and what it leaves to both texts
    Ids closing_;          // ends every text of a chat template, and one that was cut too
};

}  // namespace minnow
