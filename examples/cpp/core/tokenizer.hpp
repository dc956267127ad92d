// A WordPiece tokenizer.json (BERT), with the ids of the `tokenizers` library.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "json.hpp"

namespace minnow {

class Tokenizer {
public:
    // Throws Error if the file needs a feature that this tokenizer lacks.
    Tokenizer(const std::string& path, bool lowercase_first, size_t max_tokens);
    // Returns the ids of a UTF-8 text with special tokens, truncated at max_tokens.
    std::vector<int> encode(std::string_view text) const;

private:
    struct Added { std::u32string text; int id; bool lstrip, rstrip; };
    using AddedTokens = std::unordered_map<char32_t, std::vector<Added>>;  // by first character

    void configure(const Json& file);
    void set_template(const Json& post_processor);
    std::u32string normalize(std::u32string_view text) const;
    template <class Between>
    void split(std::u32string_view text, const AddedTokens& added, std::vector<int>& ids, Between) const;
    void words(std::u32string_view text, std::vector<int>& ids) const;
    void word(std::u32string_view word, std::vector<int>& ids) const;

    bool lowercase_first_, clean_, space_ideographs_, strip_, lower_;
    size_t room_, longest_word_;  // room_ is the limit less the tokens after a text
    std::string prefix_;
    std::unordered_map<std::string, int> vocabulary_;
    AddedTokens raw_, normalized_;  // matched before and after normalising
    std::vector<int> before_, after_;
    int unknown_;
};

}  // namespace minnow
