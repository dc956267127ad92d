// The part of a text that answers a question: src/minnow/search/passages.py.
#include <algorithm>

#include "search.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

struct Span { size_t begin, end; };

int kind_of(char32_t point) { return is_space(point) ? 0 : is_paired({&point, 1}) ? 2 : 1; }

// Returns where each word of a text begins and ends in it, and the words.
std::pair<std::vector<Span>, std::vector<std::u32string>> spans_of(const std::u32string& text) {
    std::vector<Span> spans;
    std::vector<std::u32string> words;
    for (size_t begin = 0, end; begin < text.size(); begin = end) {
        for (end = begin + 1; end < text.size() && kind_of(text[end]) == kind_of(text[begin]);) ++end;
        if (!kind_of(text[begin])) continue;
        std::u32string run = text.substr(begin, end - begin);
        if (!is_paired(run)) {
            for (auto& word : split(divide(run))) spans.push_back({begin, end}), words.push_back(word);
            continue;
        }
        auto parts = units_of(run);
        size_t place = begin;
        for (size_t i = 0; i < parts.size(); ++i) {
            auto some = split(divide(parts[i] + (i + 1 < parts.size() ? parts[i + 1] : U"")));
            if (!some.empty()) words.push_back(some[0]), spans.push_back({place, place + parts[i].size()});
            place += parts[i].size();
        }
    }
    return {std::move(spans), std::move(words)};
}

// Returns the part with most different terms; of equal ones the first, with some before it.
std::optional<std::string> best_part(const std::u32string& text, const std::vector<Term>& terms, size_t count,
                                     const TermReader& reader) {
    auto [spans, words] = spans_of(text);
    auto found = reader.terms(encode_utf8(join(words)));
    if (found.size() != spans.size()) return std::nullopt;
    auto is_asked = [&](const std::string& term) {
        return std::any_of(terms.begin(), terms.end(), [&](auto& one) {
            return one.beginning ? term.compare(0, one.text.size(), one.text) == 0 : term == one.text;
        });
    };
    std::vector<size_t> places;
    for (size_t i = 0; i < found.size(); ++i)
        if (is_asked(found[i])) places.push_back(i);
    if (places.empty()) return std::nullopt;
    size_t paired = std::count_if(words.begin(), words.end(), [](auto& word) { return is_paired(word); });
    size_t length = count * (2 * paired > words.size() ? 2 : 1), first = 0, last = 0, most = 0;
    for (size_t start : places) {
        std::set<std::string> different;
        for (size_t place : places)
            if (place >= start && place < start + length) different.insert(found[place]);
        if (different.size() > most) most = different.size(), first = start;
    }
    for (size_t place : places)
        if (place < first + length) last = place;
    size_t before = (length - (last - first + 1)) / 2, start = first > before ? first - before : 0;
    start = std::min(start, spans.size() > length ? spans.size() - length : 0);
    size_t end = std::min(spans.size(), start + length), begin = start ? spans[start].begin : 0;
    std::u32string part = start ? U"…" : U"";
    if (end == spans.size()) return encode_utf8(part + text.substr(begin));
    return encode_utf8(part + text.substr(begin, spans[end - 1].end - begin) + U"…");
}

}  // namespace

std::vector<std::optional<std::string>> passages_of(const std::vector<std::string>& texts, const std::string& query,
                                                    size_t words, const TermReader& reader) {
    std::vector<std::optional<std::string>> found(texts.size());
    if (query.empty() || texts.empty()) return found;
    auto asked = read_query(query, reader);
    if (asked.words.empty()) return found;
    auto memory = Database::in_memory();
    make_words_table(memory);
    Statement add(memory, "INSERT INTO texts (rowid, text) VALUES (?, ?)");
    for (size_t i = 0; i < texts.size(); ++i) {
        std::u32string text = decode_utf8(texts[i]);
        if (is_plain(text)) add.with(static_cast<int64_t>(i), texts[i]).run();
        else found[i] = best_part(text, asked.terms, words, reader);
    }
    std::string question;
    for (auto& term : asked.terms) question += (question.empty() ? "" : " OR ") + term.question();
    Statement rows(memory, "SELECT rowid, snippet(texts, 0, '', '', '…', ?) FROM texts WHERE texts MATCH ?");
    for (rows.with(static_cast<int64_t>(words), question); rows.next();) found[rows.integer(0)] = rows.text(1);
    return found;
}

}  // namespace minnow
