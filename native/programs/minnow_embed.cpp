// The command-line program: texts in, vectors, scores or token ids out.
#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <iterator>
#include <map>

#include "manifest.hpp"
#include "pairs.hpp"
#include "tokenizer.hpp"
#if MINNOW_HAS_MNN
#include "best.hpp"
#include "device_check.hpp"
#include "embedder.hpp"
#include "reranker.hpp"
#endif

namespace {

const char* const kHelp = R"(minnow-embed BUNDLE [OPTIONS] [TEXT ...]
minnow-embed RERANKER --query TEXT [OPTIONS] [TEXT ...]
minnow-embed --check FOLDER [OPTIONS]

Prints the vector of each text as a line of JSON; behind a query, the texts with their scores, the best
first. Without TEXT, each line of standard input is one.

  --json               standard input is a JSON array of texts instead
  --query TEXT         rank the texts with a reranker
  --top N              print the best N only
  --pairs              standard input is a JSON array of pairs [query, document]: print their scores
  --ids                print token ids, not vectors or scores; works without MNN
  --role ROLE          query or document: put the model's prompt before each text
  --raw FILE           write vectors to FILE as float32, little-endian, row after row
  --batch              run all texts in one pass, padded to the longest
  --backend NAME       cpu, metal, opencl, vulkan, nn (CoreML, NNAPI, QNN: as MNN was built)
  --threads N          CPU threads; 4
  --precision MODE     normal, high, or low: half precision where the CPU can
  --power MODE         normal, high or low
  --memory MODE        normal, high or low
  --best RECORD        use the fastest backend and mode that gives the bundle's vectors; the file keeps the choice
  --fixed-shapes       use the encoders that the bundle has for one shape each
  --check FOLDER       run a folder of `minnow device-check`, and write its answer there
)";

struct Usage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Arguments {
    std::string folder, raw, check, query, best;
    minnow::Role role = minnow::Role::kNone;
    bool json = false, ids = false, batch = false, fixed_shapes = false, help = false;
    bool ranks = false, pairs = false;
    size_t top = SIZE_MAX;
    int backend = 0, threads = 4, precision = 0, power = 0, memory = 0;
    std::vector<std::string> texts;
    bool texts_given = false;
    std::vector<minnow::Pair> given_pairs;
};

int choice(const std::string& option, const std::string& given, const std::map<std::string, int>& known) {
    if (auto found = known.find(given); found != known.end()) return found->second;
    std::string names;
    for (auto& row : known) names += (names.empty() ? "" : ", ") + row.first;
    throw Usage(option + " should be one of " + names + ", not \"" + given + "\".");
}

int number(const std::string& option, const std::string& given, int least, int most) {
    bool digits = !given.empty() && given.size() < 7 && given.find_first_not_of("0123456789") == given.npos;
    int found = digits ? std::stoi(given) : -1;
    if (found >= least && found <= most) return found;
    throw Usage(option + " should be a number from " + std::to_string(least) + " to " + std::to_string(most) + ".");
}

Arguments parse(int count, char** given) {
    const std::map<std::string, int> modes = {{"normal", 0}, {"high", 1}, {"low", 2}};
    const std::map<std::string, int> roles = {{"none", 0}, {"query", 1}, {"document", 2}};
    const std::map<std::string, int> backends = {{"cpu", 0}, {"metal", 1}, {"opencl", 3}, {"nn", 5}, {"vulkan", 7}};
    Arguments found;
    std::vector<std::string> words;
    bool options_end = false;
    for (int n = 1; n < count; ++n) {
        std::string word = given[n];
        auto value = [&]() -> std::string {
            if (n + 1 == count) throw Usage(word + " needs a value.");
            return given[++n];
        };
        if (options_end || word.compare(0, 2, "--") != 0) words.push_back(word);
        else if (word == "--") options_end = true;
        else if (word == "--help") found.help = true;
        else if (word == "--json") found.json = true;
        else if (word == "--ids") found.ids = true;
        else if (word == "--batch") found.batch = true;
        else if (word == "--fixed-shapes") found.fixed_shapes = true;
        else if (word == "--pairs") found.pairs = true;
        else if (word == "--query") found.ranks = true, found.query = value();
        else if (word == "--top") found.top = number(word, value(), 0, 999999);
        else if (word == "--raw") found.raw = value();
        else if (word == "--check") found.check = value();
        else if (word == "--best") found.best = value();
        else if (word == "--role") found.role = static_cast<minnow::Role>(choice(word, value(), roles));
        else if (word == "--backend") found.backend = choice(word, value(), backends);
        else if (word == "--precision") found.precision = choice(word, value(), modes);
        else if (word == "--power") found.power = choice(word, value(), modes);
        else if (word == "--memory") found.memory = choice(word, value(), modes);
        else if (word == "--threads") found.threads = number(word, value(), 1, 999);
        else throw Usage("There is no option " + word + ".");
    }
    if (found.help || !found.check.empty()) return found;
    if (words.empty()) throw Usage("The first argument must be a bundle's directory.");
    found.folder = words[0];
    found.texts.assign(words.begin() + 1, words.end());
    found.texts_given = !found.texts.empty();
    if (found.texts_given && found.json) throw Usage("--json reads standard input; give no texts.");
    if (found.pairs && (found.texts_given || found.json || found.ranks))
        throw Usage("--pairs reads standard input; give no texts, --json or --query.");
    if ((found.pairs || found.ranks) && (found.batch || !found.raw.empty() || found.role != minnow::Role::kNone))
        throw Usage("--batch, --raw and --role are for vectors, not for scores.");
    return found;
}

std::vector<std::string> read_texts(bool json) {
    std::vector<std::string> texts;
    if (!json) {
        for (std::string line; std::getline(std::cin, line);) texts.push_back(line);
        return texts;
    }
    std::string all(std::istreambuf_iterator<char>(std::cin), {});
    minnow::Json found = minnow::parse_json(all, "standard input");
    for (auto& text : found.as<minnow::Json::Array>("array of texts"))
        texts.push_back(text.as<std::string>("array of texts"));
    return texts;
}

std::vector<minnow::Pair> read_pairs() {
    std::vector<minnow::Pair> pairs;
    std::string all(std::istreambuf_iterator<char>(std::cin), {});
    minnow::Json found = minnow::parse_json(all, "standard input");
    for (auto& pair : found.as<minnow::Json::Array>("array of pairs")) {
        auto& texts = pair.as<minnow::Json::Array>("array of pairs");
        if (texts.size() != 2) throw minnow::Error("standard input holds a pair that is not two texts.");
        pairs.emplace_back(texts[0].as<std::string>("pair"), texts[1].as<std::string>("pair"));
    }
    return pairs;
}

template <class Number> void print_row(FILE* out, const Number* row, size_t size, const char* format) {
    for (size_t n = 0; n < size; ++n) {
        std::fputs(n ? "," : "[", out);
        std::fprintf(out, format, row[n]);
    }
    std::fputs(size ? "]\n" : "[]\n", out);
}

#if MINNOW_HAS_MNN
minnow::Options options_of(const Arguments& given) {
    minnow::Options options;
    options.backend = given.backend;
    options.threads = given.threads;
    options.precision = given.precision;
    options.power = given.power;
    options.memory = given.memory;
    options.fixed_shapes = given.fixed_shapes;
    return options;
}

// Returns the options to open a bundle with; says so where nothing proves it in their mode.
minnow::Options opening_options(const Arguments& given, bool reranks) {
    minnow::Options options = options_of(given);
    if (!given.best.empty()) return minnow::best_options(given.folder, given.best, options, reranks);
    if (!given.fixed_shapes && !minnow::is_proven(given.folder, options))
        std::fprintf(stderr, "warning: %s has no proof of its vectors in this mode; `minnow prove` may give it one.\n",
                     given.folder.c_str());
    return options;
}
#endif

void print_ids(FILE* out, const Arguments& given) {
    minnow::Manifest manifest = minnow::read_manifest(given.folder);
    minnow::check_kind(manifest, given.folder, false);
    std::string prompt = manifest.prompt(given.role);
    std::vector<std::vector<int>> rows;
    if (!manifest.mnn_llm) {
        minnow::Tokenizer tokenizer(given.folder + "/tokenizer.json", manifest.lowercase, manifest.max_tokens);
        for (auto& text : given.texts) rows.push_back(tokenizer.encode(prompt + text));
    } else {
#if MINNOW_HAS_MNN
        for (auto& row : minnow::Embedder(given.folder, options_of(given)).tokens(given.texts, prompt)) rows.push_back(row.ids);
#else
        throw minnow::Error("The tokenizer of the mnn-llm layout is MNN's: build with MNN_ROOT.");
#endif
    }
    for (auto& row : rows) print_row(out, row.data(), row.size(), "%d");
}

// Prints the ids of pairs; where they have token types, a row of these follows each.
void print_pair_ids(FILE* out, const Arguments& given) {
    minnow::Manifest manifest = minnow::read_manifest(given.folder);
    minnow::check_kind(manifest, given.folder, true);
    minnow::PairTokenizer tokenizer(given.folder + "/tokenizer.json", manifest);
    for (auto& row : tokenizer.encode(given.given_pairs, manifest.prompt(minnow::Role::kNone))) {
        print_row(out, row.ids.data(), row.ids.size(), "%d");
        if (!row.types.empty()) print_row(out, row.types.data(), row.types.size(), "%d");
    }
}

void print_scores(FILE* out, const Arguments& given) {
#if MINNOW_HAS_MNN
    minnow::Reranker reranker(given.folder, opening_options(given, true));
    if (given.ranks) {
        for (auto& row : reranker.rank(given.query, given.texts, given.top))
            std::fprintf(out, "{\"corpus_id\":%zu,\"score\":%.9g}\n", row.index, row.score);
        return;
    }
    auto scores = reranker.predict(given.given_pairs);
    size_t labels = reranker.labels().size();
    for (size_t n = 0; n < given.given_pairs.size(); ++n) print_row(out, &scores[n * labels], labels, "%.9g");
#else
    (void)out, (void)given;
    throw minnow::Error("This program is built without MNN and supports only --ids: build with MNN_ROOT.");
#endif
}

void print_vectors(FILE* out, const Arguments& given) {
#if MINNOW_HAS_MNN
    minnow::Embedder embedder(given.folder, opening_options(given, false));
    auto vectors = given.batch ? embedder.encode_batch(given.texts, embedder.manifest().prompt(given.role))
                               : embedder.encode(given.texts, given.role);
    if (!given.raw.empty()) return minnow::write_floats(given.raw, vectors);
    for (size_t n = 0; n < given.texts.size(); ++n)
        print_row(out, &vectors[n * embedder.width()], embedder.width(), "%.9g");
#else
    (void)out, (void)given;
    throw minnow::Error("This program is built without MNN and supports only --ids: build with MNN_ROOT.");
#endif
}

void run(FILE* out, Arguments given) {
    if (given.help) {
        std::fputs(kHelp, out);
    } else if (!given.check.empty()) {
#if MINNOW_HAS_MNN
        std::fprintf(stderr, "%s\n", minnow::run_device_check(given.check, options_of(given), "minnow-embed (C++)").c_str());
#else
        throw minnow::Error("This program is built without MNN: build with MNN_ROOT.");
#endif
    } else {
        if (given.pairs) given.given_pairs = read_pairs();
        else if (!given.texts_given) given.texts = read_texts(given.json);
        if (given.ranks && given.ids)
            for (auto& text : given.texts) given.given_pairs.emplace_back(given.query, text);
        if (given.pairs || given.ranks) (given.ids ? print_pair_ids : print_scores)(out, given);
        else (given.ids ? print_ids : print_vectors)(out, given);
    }
}

}  // namespace

// MNN prints on standard output, so results go to a copy of it and everything else to standard error.
int main(int count, char** given) {
    FILE* out = fdopen(dup(1), "w");
    if (!out || dup2(2, 1) < 0) return 1;
    try {
        run(out, parse(count, given));
        if (std::fclose(out) != 0) throw minnow::Error("Standard output cannot be written.");
        return 0;
    } catch (const Usage& error) {
        std::fprintf(stderr, "%s\nSee minnow-embed --help.\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
