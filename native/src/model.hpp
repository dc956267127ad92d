// The model of a tokenizer.json, WordPiece, BPE or Unigram: ids of the pieces of a word.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace minnow {

class Model {
public:
    virtual ~Model() = default;
    // Appends the ids of a word, which is not empty.
    virtual void append_ids(std::u32string_view word, std::vector<int>& ids) const = 0;
};

// Throws Error naming a kind or an option that is missing here.
std::unique_ptr<Model> read_model(const Json& stated);

}  // namespace minnow
