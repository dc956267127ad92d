// The regular expressions of tokenizer.json: what the patterns of GPT-2, Llama and Qwen need.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"

namespace minnow {

class Pattern {
public:
    // Throws Error if the expression needs a feature that is missing here.
    explicit Pattern(const std::string& expression);
    // Reads the pattern of a step: {"Regex": ...} or {"String": ...}, as it is.
    static Pattern read(const Json& stated);
    // Returns start and end of all matches, none of them empty.
    std::vector<std::pair<size_t, size_t>> matches(std::u32string_view text) const;

private:
    struct Range { char32_t first, last; };
    struct Set {
        std::vector<Range> ranges;
        unsigned letters = 0, not_letters = 0;  // of LetterClass
        bool white = false, not_white = false, negated = false;
        bool has(char32_t point) const;
    };
    struct Node {
        enum Kind { kSet, kGroup, kAhead, kNotAhead } kind = kSet;
        Set set;
        std::vector<std::vector<Node>> choices;
        size_t least = 1, most = 1;
        bool possessive = false;
    };
    using Choices = std::vector<std::vector<Node>>;
    struct Parser;
    struct Rest { const std::vector<Node>* nodes; size_t at; const Rest* then; };

    static size_t match(std::u32string_view text, size_t at, const Rest* rest);

    Choices choices_;
    std::u32string literal_;
};

}  // namespace minnow
