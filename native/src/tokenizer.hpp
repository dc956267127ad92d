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

using Ids = std::vector<int>;

// A text or a pair as an encoder reads it.
struct Tokens {
    Ids ids, types;       // token types; empty where all are 0
    size_t left_out = 0;  // so many of the first ids are not pooled
};

class Tokenizer {
public:
    // Throws Error if the file needs a feature that this tokenizer lacks.
    Tokenizer(const std::string& path, bool lowercase_first, size_t max_tokens);
    // The same of a file that was read; `path` names it in messages.
    Tokenizer(const Json& file, const std::string& path, bool lowercase_first, size_t max_tokens);
    // Returns the ids of a UTF-8 text with special tokens, truncated at max_tokens.
    Ids encode(std::string_view text) const;
    // Returns the ids of a text alone, without those around it, truncated at `limit`.
    Ids pieces(std::string_view text, size_t limit) const;
    // Returns how many of a text's tokens `encode` cuts off.
    size_t excess(std::string_view text) const;
    // Returns how many tokens pooling leaves out behind a prompt: all but a special one at its end.
    size_t prompt_tokens(std::string_view prompt) const;

private:
    struct Added { std::u32string text; int id; bool lstrip, rstrip, single_word; };
    using AddedTokens = std::unordered_map<char32_t, std::vector<Added>>;  // by first character

    void configure(const Json& file, bool lowercase_first);
    void add_token(const Json& stated);
    void set_template(const Json& post_processor);
    template <class Between>
    void split(std::u32string_view text, const AddedTokens& added, Ids& ids, size_t limit, Between) const;
    void words(std::u32string text, bool first, Ids& ids, size_t limit) const;

    Normalizer normalize_;
    PreTokenizer divide_;
    std::unique_ptr<Model> model_;
    size_t room_;  // the limit less the tokens around a text
    AddedTokens raw_, normalized_;  // matched before and after normalising
    Ids before_, after_, special_;
};

}  // namespace minnow
