// The pre-tokenizer of a tokenizer.json: it divides a text into words.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "json.hpp"

namespace minnow {

struct Word {
    std::u32string text;
    bool first;  // it begins where the whole text begins
};
using Words = std::vector<Word>;
using PreTokenizer = std::function<Words(Words)>;

// Returns the steps; throws Error naming a step that is missing here. Null divides nothing.
PreTokenizer read_pre_tokenizer(const Json& stated);

}  // namespace minnow
