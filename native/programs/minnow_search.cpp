// The command-line program: hits in an index, as lines of JSON.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <vector>

#include "json.hpp"
#include "minnow.h"
#include "unicode.hpp"
#include "words.hpp"

namespace {

const char* const kHelp = R"(minnow-search INDEX [OPTIONS] QUESTION
minnow-search --words < TEXTS.json

Prints the hits of a question in a file of `minnow index`, the best first, a line of JSON each.

  --bundle FOLDER      the model that the index was made with
  --vector             standard input is the question's vector, a JSON array
  -k N                 at most N hits (10)
  --options JSON       options of minnow_search; '{"mode": "keyword"}' where there is neither a bundle nor a vector
  --words              print the words that the keyword index has of each text in a JSON array
)";

std::string read_input() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

void print_words() {
    for (auto& text : minnow::texts_in(minnow::parse_json(read_input(), "Standard input"), "texts"))
        std::cout << minnow::quoted(minnow::encode_utf8(minnow::divide(minnow::decode_utf8(text)))) << "\n";
}

int search(const std::string& file, const std::string& bundle, const std::string& question, const std::vector<float>& vector, int k,
           const std::string& options) {
    char error[1000] = "";
    minnow_embedder* embedder = bundle.empty() ? nullptr : minnow_open(bundle.c_str(), nullptr, error, sizeof error);
    minnow_index* index = *error ? nullptr : minnow_open_index(file.c_str(), embedder, error, sizeof error);
    char* hits = *error ? nullptr : minnow_search(index, {question.data(), question.size()}, k, options.c_str(), vector.data(), vector.size(), error, sizeof error);
    if (hits)
        for (auto& hit : minnow::parse_json(hits, "The answer").as<minnow::Json::Array>("hits")) std::cout << minnow::to_json(hit) << "\n";
    else std::cerr << error << "\n";
    minnow_free(hits);
    minnow_close_index(index);
    minnow_close(embedder);
    return hits ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
    std::vector<std::string> words, all(arguments + 1, arguments + count);
    std::string bundle, options;
    bool has_vector = false, wants_words = false;
    int k = 10;
    for (size_t i = 0; i < all.size(); ++i) {
        bool last = i + 1 == all.size();
        if (all[i] == "--help") return std::cout << kHelp, 0;
        if (all[i] == "--words") wants_words = true;
        else if (all[i] == "--vector") has_vector = true;
        else if (all[i] == "--bundle" && !last) bundle = all[++i];
        else if (all[i] == "--options" && !last) options = all[++i];
        else if (all[i] == "-k" && !last) k = std::atoi(all[++i].c_str());
        else words.push_back(all[i]);
    }
    try {
        if (wants_words && words.empty()) return print_words(), 0;
        std::vector<float> vector;
        if (has_vector)
            for (auto& number : minnow::parse_json(read_input(), "Standard input").as<minnow::Json::Array>("vector"))
                vector.push_back(static_cast<float>(number.as<double>("vector")));
        if (options.empty()) options = bundle.empty() && !has_vector ? "{\"mode\": \"keyword\"}" : "{}";
        if (words.size() == 2) return search(words[0], bundle, words[1], vector, k, options);
    } catch (const std::exception& error) {
        return std::cerr << error.what() << "\n", 1;
    }
    return std::cerr << kHelp, 2;
}
