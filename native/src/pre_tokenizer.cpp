#include "pre_tokenizer.hpp"

#include <array>

#include "pattern.hpp"
#include "unicode.hpp"

namespace minnow {
namespace {

struct Piece { size_t start, end; bool match; };
enum class Matches { kIsolated, kRemoved, kWithPrevious, kWithNext, kContiguous };

// Cuts a word at all matches; empty pieces are left out.
void cut(Words& words, const Word& word, const std::vector<std::pair<size_t, size_t>>& matches, Matches rule,
         bool invert = false) {
    std::vector<Piece> pieces, kept;
    size_t done = 0;
    for (auto& [start, end] : matches) {
        if (start > done) pieces.push_back({done, start, invert});
        pieces.push_back({start, end, !invert});
        done = end;
    }
    if (done < word.text.size()) pieces.push_back({done, word.text.size(), invert});
    bool before = false;
    for (size_t n = 0; n < pieces.size(); before = pieces[n++].match) {
        auto& piece = pieces[n];
        bool joins = false;
        if (rule == Matches::kWithPrevious) joins = piece.match && !before;
        if (rule == Matches::kWithNext) joins = before && !piece.match;
        if (rule == Matches::kContiguous) joins = n && before == piece.match;
        if (rule == Matches::kRemoved && piece.match) continue;
        if (joins && !kept.empty()) kept.back().end = piece.end;
        else kept.push_back(piece);
    }
    for (auto& [start, end, match] : kept)
        words.push_back({word.text.substr(start, end - start), word.first && start == 0});
}

PreTokenizer by_pattern(Pattern pattern, Matches rule, bool invert = false) {
    return [=](Words words) {
        Words found;
        for (auto& word : words) cut(found, word, pattern.matches(word.text), rule, invert);
        return found;
    };
}

PreTokenizer split(const Json& stated) {
    static const std::array<std::pair<const char*, Matches>, 5> rules = {{
        {"Isolated", Matches::kIsolated}, {"Removed", Matches::kRemoved}, {"Contiguous", Matches::kContiguous},
        {"MergedWithPrevious", Matches::kWithPrevious}, {"MergedWithNext", Matches::kWithNext}}};
    auto& name = stated.get<std::string>("behavior");
    for (auto& [known, rule] : rules)
        if (name == known) return by_pattern(Pattern::read(stated["pattern"]), rule, stated.get("invert", false));
    throw Error("its pre_tokenizer splits by the rule " + name + ", which is missing here");
}

// Each byte becomes a visible character, as in GPT-2: the bytes that have none get U+0100 and on.
std::u32string visible_bytes(std::u32string_view text) {
    static const auto letters = [] {
        std::array<char32_t, 256> found{};
        char32_t next = 256;
        for (char32_t byte = 0; byte < 256; ++byte) {
            bool visible = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
            found[byte] = visible ? byte : next++;
        }
        return found;
    }();
    std::u32string found;
    for (unsigned char byte : encode_utf8(text)) found += letters[byte];
    return found;
}

PreTokenizer byte_level(const Json& stated) {
    static const Pattern words_of_gpt2(
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
    bool space = stated.get("add_prefix_space", true), divides = stated.get("use_regex", true);
    return [=](Words words) {
        Words found;
        for (auto& word : words) {
            if (space && word.text[0] != U' ') word.text.insert(0, 1, U' ');
            if (divides) cut(found, word, words_of_gpt2.matches(word.text), Matches::kIsolated);
            else found.push_back(std::move(word));
        }
        for (auto& word : found) word.text = visible_bytes(word.text);
        return found;
    };
}

PreTokenizer metaspace(const Json& stated) {
    auto marks = decode_utf8(stated.get<std::string>("replacement"));
    if (marks.size() != 1) throw Error("its Metaspace has a replacement of more than one character");
    bool old = stated.get("add_prefix_space", true), divides = stated.get("split", true);
    auto scheme = stated.get<std::string>("prepend_scheme", old ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never")
        throw Error("its Metaspace has the prepend_scheme " + scheme + ", which is missing here");
    return [=, mark = marks[0]](Words words) {
        Words found;
        for (auto& word : words) {
            for (auto& point : word.text) point = point == U' ' ? mark : point;
            if (word.text[0] != mark && (scheme == "always" || (scheme == "first" && word.first)))
                word.text.insert(0, 1, mark);
            std::vector<std::pair<size_t, size_t>> matches;
            for (size_t at = 0; divides && at < word.text.size(); ++at)
                if (word.text[at] == mark) matches.emplace_back(at, at + 1);
            cut(found, word, matches, Matches::kWithNext);
        }
        return found;
    };
}

// White space ends a word; where punctuation does too, it is a word of its own.
PreTokenizer at_boundaries(bool punctuation) {
    return [=](Words words) {
        Words found;
        for (auto& word : words) {
            std::vector<std::pair<size_t, size_t>> white;
            Words parts;
            auto& text = word.text;
            for (size_t at = 0; at < text.size(); ++at)
                if (class_of(text[at]) & kWhite) white.emplace_back(at, at + 1);
            cut(parts, word, white, Matches::kRemoved);
            for (auto& part : parts) {
                std::vector<std::pair<size_t, size_t>> marks;
                for (size_t at = 0; punctuation && at < part.text.size(); ++at)
                    if (class_of(part.text[at]) & kPunctuation) marks.emplace_back(at, at + 1);
                cut(found, part, marks, Matches::kIsolated);
            }
        }
        return found;
    };
}

PreTokenizer in_sequence(const Json& stated) {
    std::vector<PreTokenizer> steps;
    for (auto& step : stated.get<Json::Array>("pretokenizers")) steps.push_back(read_pre_tokenizer(step));
    return [=](Words words) {
        for (auto& step : steps) words = step(std::move(words));
        return words;
    };
}

}  // namespace

PreTokenizer read_pre_tokenizer(const Json& stated) {
    if (stated.is<std::nullptr_t>()) return [](Words words) { return words; };
    auto& type = stated.get<std::string>("type");
    if (type == "Sequence") return in_sequence(stated);
    if (type == "BertPreTokenizer") return at_boundaries(true);
    if (type == "WhitespaceSplit") return at_boundaries(false);
    if (type == "Whitespace") return by_pattern(Pattern(R"(\w+|[^\w\s]+)"), Matches::kRemoved, true);
    if (type == "ByteLevel") return byte_level(stated);
    if (type == "Split") return split(stated);
    if (type == "Metaspace") return metaspace(stated);
    throw Error("its pre_tokenizer has a step " + type + ", which is missing here");
}

}  // namespace minnow
