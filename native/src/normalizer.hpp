// The normalizer of a tokenizer.json.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "json.hpp"

namespace minnow {

using Normalizer = std::function<std::u32string(std::u32string)>;

// Returns the steps; throws Error naming a step that is missing here. Null has no step.
Normalizer read_normalizer(const Json& stated);
// Returns the step that puts a text in lower case, character by character.
Normalizer lowercase_step();

}  // namespace minnow
