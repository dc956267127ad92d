// Regular expressions: what the patterns of tokenizer.json need, and those that read dates and names.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"

namespace minnow {

class Pattern {
public:
    // What \w, \s and groups mean: those of tokenizers, or those of Python's `re`.
    enum Syntax { kTokenizer, kPython, kPythonAnyCase };
    // Start and end of a match, and of its groups; both are kNone where a group is not in it.
    using Match = std::vector<std::pair<size_t, size_t>>;
    static constexpr size_t kNone = static_cast<size_t>(-1);

    // Throws Error if the expression needs a feature that is missing here.
    explicit Pattern(const std::string& expression, Syntax syntax = kTokenizer);
    // Reads the pattern of a step: {"Regex": ...} or {"String": ...}, as it is.
    static Pattern read(const Json& stated);
    // Returns start and end of all matches, none of them empty.
    std::vector<std::pair<size_t, size_t>> matches(std::u32string_view text) const;
    // Returns the first match from a place on, or the one that begins there.
    std::optional<Match> find(std::u32string_view text, size_t from = 0) const;
    std::optional<Match> match_at(std::u32string_view text, size_t at) const;
    // Returns the text with another in the place of each match.
    std::u32string replace(std::u32string_view text, const std::function<std::u32string(const Match&)>& make) const;
    // Returns the number of a named group, or kNone.
    size_t group(std::string_view name) const;
    // Returns an expression that matches a text and nothing else.
    static std::string escape(std::string_view text);

private:
    struct Range { char32_t first, last; };
    struct Set {
        std::vector<Range> ranges;
        unsigned letters = 0, not_letters = 0;  // of LetterClass
        bool white = false, not_white = false, negated = false;
        bool space = false, not_space = false, word = false, not_word = false, digit = false, not_digit = false, any_case = false;  // of Python
        bool has(char32_t point) const;
        bool has_exactly(char32_t point) const;
    };
    struct Node {
        enum Kind { kSet, kGroup, kAhead, kNotAhead, kBehind, kNotBehind, kBoundary, kEnd } kind = kSet;
        Set set;
        std::vector<std::vector<Node>> choices;
        size_t least = 1, most = 1;
        bool possessive = false, lazy = false;
        size_t number = 0;  // of a group whose place is kept
    };
    using Choices = std::vector<std::vector<Node>>;
    struct Parser;
    // What follows; without nodes, the end of the group whose number and start it has.
    struct Rest { const std::vector<Node>* nodes; size_t at; const Rest* then; size_t number = 0; };

    static size_t match(std::u32string_view text, size_t at, const Rest* rest, Match& groups);
    static bool holds(const Node& node, std::u32string_view text, size_t at);

    Choices choices_;
    std::vector<std::string> names_ = {""};  // of groups
    std::u32string literal_;
};

}  // namespace minnow
