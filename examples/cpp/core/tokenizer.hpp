// A tokenizer.json, with the ids of the `tokenizers` library.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "json.hpp"
#include "model.hpp"
#include "normalizer.hpp"
#include "pre_tokenizer.hpp"

namespace minnow {

class Tokenizer {
public:
    // Throws Error if the file needs a feature that this tokenizer lacks.
    Tokenizer(const std::string& path, bool lowercase_first, size_t max_tokens);
    // Returns the ids of a UTF-8 text with special tokens, truncated at max_tokens.
    std::vector<int> encode(std::string_view text) const;
    // Returns how many tokens pooling leaves out behind a prompt: all but a special one at its end.
    size_t prompt_tokens(std::string_view prompt) const;

private:
    struct Added { std::u32string text; int id; bool lstrip, rstrip, single_word; };
    using AddedTokens = std::unordered_map<char32_t, std::vector<Added>>;  // by first character

    void configure(const Json& file, bool lowercase_first);
    void add_token(const Json& stated);
    void set_template(const Json& post_processor);
    template <class Between>
    void split(std::u32string_view text, const AddedTokens& added, std::vector<int>& ids, Between) const;
    void words(std::u32string text, bool first, std::vector<int>& ids) const;

    Normalizer normalize_;
    PreTokenizer divide_;
    std::unique_ptr<Model> model_;
    size_t room_;  // the limit less the tokens after a text
    AddedTokens raw_, normalized_;  // matched before and after normalising
    std::vector<int> before_, after_, special_;
};

}  // namespace minnow
