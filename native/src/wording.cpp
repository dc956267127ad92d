// Whether two texts say the same in nearly the same words: src/minnow/memory/wording.py.
#include <algorithm>

#include "expressions.hpp"
#include "memory.hpp"
#include "pattern.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

using Words = std::vector<std::string>;

bool is_light(const std::string& word) {
    static const std::set<std::string> light = {"a", "an", "the", "and", "my", "of", "s", "is", "am", "are"};
    return light.count(word);
}
bool is_equal_sign(const std::string& word) { return word == "is" || word == "am" || word == "are"; }

// Returns the words of a text without English endings, as FTS5 strips them.
Words stems_of(const std::string& text, const TermReader& reader) {
    Words found;
    for (auto& word : plain_words_of(text))
        if (auto terms = reader.terms(word); !terms.empty()) found.push_back(is_light(word) ? word : terms.back());
    return found;
}

// Returns the words that count; two single words beside an "and" in the order of letters.
Words content_of(Words stems) {
    for (size_t i = 1; i + 1 < stems.size(); ++i)
        if (stems[i] == "and" && stems[i - 1] > stems[i + 1]) std::swap(stems[i - 1], stems[i + 1]);
    stems.erase(std::remove_if(stems.begin(), stems.end(), is_light), stems.end());
    return stems;
}

Words sorted(Words words) {
    std::sort(words.begin(), words.end());
    return words;
}

std::string joined(const Words& words) {
    std::string found;
    for (auto& word : words) found += word;
    return found;
}

Words numbers_in(const Words& words) {
    Words found;
    for (auto& word : words) {
        auto points = decode_utf8(word);
        if (std::any_of(points.begin(), points.end(), [](char32_t c) { return digit_of(c) >= 0; })) found.push_back(word);
    }
    return found;
}

std::optional<std::pair<Words, Words>> sides_of(const Words& stems) {
    auto place = std::find_if(stems.begin(), stems.end(), is_equal_sign);
    if (std::count_if(stems.begin(), stems.end(), is_equal_sign) != 1) return std::nullopt;
    return std::pair(Words(stems.begin(), place), Words(place + 1, stems.end()));
}

bool are_alike(const Words& first, const Words& second) {
    auto genitive = [](const Words& words) {  // "Emma's name", "the name of Emma"
        return std::any_of(words.begin(), words.end(), [](auto& word) { return word == "of" || word == "s"; });
    };
    Words ours = content_of(first), theirs = content_of(second);
    return genitive(first) || genitive(second) ? sorted(ours) == sorted(theirs) : ours == theirs;
}

// Returns whether one text is "A is B", and the other that or "B is A".
bool are_equations(const Words& first, const Words& second) {
    auto ours = sides_of(first), theirs = sides_of(second);
    if (!ours || !theirs) return false;
    auto& [left, right] = *ours;
    auto& [other_left, other_right] = *theirs;
    return (are_alike(left, other_left) && are_alike(right, other_right)) ||
           (are_alike(left, other_right) && are_alike(right, other_left));
}

}  // namespace

std::vector<std::string> plain_words_of(const std::string& text) {
    static const auto forms = [] {
        std::vector<std::pair<Pattern, std::u32string>> made;
        for (auto& form : kShortForms) made.emplace_back(Pattern(form.expression, Pattern::kPython), decode_utf8(form.to));
        return made;
    }();
    std::u32string plain = lower(decode_utf8(text));
    std::replace(plain.begin(), plain.end(), U'’', U'\'');
    for (auto& [pattern, to] : forms) plain = pattern.replace(plain, [&to = to](auto&) { return to; });
    Words found;
    for (auto& word : split(divide(plain))) found.push_back(encode_utf8(word));
    return found;
}

bool say_the_same(const std::string& first, const std::string& second, const TermReader& reader) {
    Words stems = stems_of(first, reader), other = stems_of(second, reader);
    Words ours = content_of(stems), theirs = content_of(other);
    if (joined(ours) == joined(theirs)) return numbers_in(ours) == numbers_in(theirs);  // "Wi-Fi", "wifi"; not "3.5", "35"
    if (sorted(ours) != sorted(theirs)) return false;
    for (size_t turn = 0; turn < theirs.size(); ++turn) {
        if (ours == theirs) return true;
        std::rotate(theirs.begin(), theirs.begin() + 1, theirs.end());
    }
    return are_equations(stems, other);
}

}  // namespace minnow
