#include "words.hpp"

#include <algorithm>
#include <iterator>

#include "unicode.hpp"

namespace minnow {
namespace {

struct Range { char32_t first, last; };
struct FoldedRow { char32_t point, to[3]; };
struct MarkRow { char32_t first, last : 21, combining : 11; };
struct ComposedRow { char32_t first, second, composed; };

#include "word_tables.inc"

template <size_t size> bool is_in(const Range (&ranges)[size], char32_t point) {
    auto row = std::lower_bound(ranges, ranges + size, point, [](const Range& r, char32_t p) { return r.last < p; });
    return row != ranges + size && row->first <= point;
}

template <size_t size> bool is_in(const char32_t (&points)[size], char32_t point) {
    return std::binary_search(points, points + size, point);
}

// Appends what stands for a character in a table, or the character.
template <size_t size> void append_folded(const FoldedRow (&rows)[size], char32_t point, std::u32string& text) {
    auto row = std::lower_bound(rows, rows + size, point, [](const FoldedRow& r, char32_t p) { return r.point < p; });
    if (row == rows + size || row->point != point) text += point;
    else text.append(row->to, std::find(row->to, std::end(row->to), U'\0'));
}

// Python's Unicode knows marks that the one of tokenizers does not.
unsigned combining(char32_t point) {
    auto row = std::lower_bound(std::begin(kNewerMarks), std::end(kNewerMarks), point,
                                [](const MarkRow& r, char32_t p) { return r.last < p; });
    bool newer = row != std::end(kNewerMarks) && row->first <= point;
    return newer ? row->combining : kTokenizerMarks.combining(point);
}

char32_t compose(char32_t first, char32_t second) {
    for (const ComposedRow& row : kNewerComposed)
        if (row.first == first && row.second == second) return row.composed;
    return kTokenizerMarks.compose(first, second);
}

std::u32string normal(std::u32string_view text, bool compatible, bool composed) {
    return normal_form(text, compatible, composed, {combining, compose});
}

bool is_ascii(std::u32string_view text) {
    return std::all_of(text.begin(), text.end(), [](char32_t point) { return point < 0x80; });
}

template <class Has> void remove_if(std::u32string& text, Has has) {
    text.erase(std::remove_if(text.begin(), text.end(), has), text.end());
}

// Replaces each run of characters of a set by what a function makes of it.
template <class Has, class Make> std::u32string replace_runs(const std::u32string& text, Has has, Make make) {
    std::u32string found;
    for (size_t at = 0; at < text.size();) {
        size_t end = at;
        while (end < text.size() && has(text[end])) ++end;
        if (end > at) found += make(text.substr(at, end - at)), at = end;
        else found += text[at++];
    }
    return found;
}

bool is_arabic(char32_t point) { return is_in(kArabic, point); }

const char32_t kJoiner = 0x200c;

// Writes a Persian compound as its parts and as one word: people write it in three ways.
std::u32string write_compounds(const std::u32string& text) {
    if (text.find(kJoiner) == text.npos) return text;
    std::u32string found;
    for (size_t at = 0; at < text.size();) {
        size_t end = at, joined = 0;
        while (end < text.size() && is_arabic(text[end])) ++end;
        for (size_t next = end; end > at && next < text.size() && text[next] == kJoiner;) {
            while (next < text.size() && text[next] == kJoiner) ++next;
            if (next == text.size() || !is_arabic(text[next])) break;
            while (next < text.size() && is_arabic(text[next])) ++next;
            end = joined = next;
        }
        if (end == at) { found += text[at++]; continue; }
        std::u32string part = text.substr(at, end - at);
        if (joined) {
            std::u32string apart = part;
            std::replace(apart.begin(), apart.end(), kJoiner, U' ');
            found += apart + U' ';
            remove_if(part, [](char32_t point) { return point == kJoiner; });
        }
        found += part;
        at = end;
    }
    return found;
}

// Writes two vowel signs as the one that they look like, and Thai and Lao nikhahit before tone marks.
std::u32string order_thai(const std::u32string& text) {
    std::u32string found;
    for (size_t at = 0; at < text.size(); ++at) {
        bool two = at + 1 < text.size() && text[at + 1] == text[at];
        if (two && (text[at] == 0xe40 || text[at] == 0xec0)) { found += text[at++] + 1; continue; }
        found += text[at];
    }
    auto is_tone = [](char32_t c) { return (c >= 0xe48 && c <= 0xe4b) || (c >= 0xec8 && c <= 0xecb); };
    for (size_t at = 0; at < found.size(); ++at) {
        size_t end = at;
        while (end < found.size() && is_tone(found[end])) ++end;
        if (end > at && end < found.size() && (found[end] == 0xe4d || found[end] == 0xecd))
            std::rotate(found.begin() + at, found.begin() + end, found.begin() + end + 1);
        at = end;
    }
    return found;
}

// Drops line breaks between two characters of a script without spaces.
std::u32string unwrap(const std::u32string& text) {
    std::u32string found;
    auto skip = [&](size_t at) {
        while (at < text.size() && (text[at] == U' ' || text[at] == U'\t')) ++at;
        return at;
    };
    for (size_t at = 0; at < text.size();) {
        if (at && is_in(kNoSpaces, text[at - 1])) {
            size_t end = skip(at);
            if (end < text.size() && text[end] == U'\r') ++end;
            if (end < text.size() && text[end] == U'\n')
                if (end = skip(end + 1); end < text.size() && is_in(kNoSpaces, text[end])) { at = end; continue; }
        }
        found += text[at++];
    }
    return found;
}

// Returns a digit as ASCII, a space for what divides words, or the character.
char32_t separate(char32_t point) {
    if (int digit = digit_of(point); digit >= 0) return U'0' + digit;
    if (character_class(point) & (kLetter | kNumber | kMark)) return point;
    bool is_private = (point >= 0xe000 && point < 0xf900) || (point >= 0xf0000 && (point & 0xffff) < 0xfffe);
    return is_private ? point : U' ';
}

}  // namespace

std::u32string fold(std::u32string text) {
    if (is_ascii(text)) {
        for (char32_t& point : text) {
            if (point >= U'A' && point <= U'Z') point += 32;
            bool stays = (point >= U'a' && point <= U'z') || (point >= U'0' && point <= U'9');
            if (!stays) point = U' ';
        }
        return text;
    }
    auto drop_ignored = [](std::u32string& some) { remove_if(some, [](char32_t c) { return is_in(kIgnored, c); }); };
    for (char32_t& point : text)
        if (is_in(kBefore, point)) point = U' ';
    text = write_compounds(text);
    drop_ignored(text);
    std::u32string known;
    for (char32_t point : text) append_folded(kNewer, point, known);
    text = normal(known, true, true);
    text = replace_runs(text, [](char32_t c) { return is_in(kPolytonic, c); }, [](const std::u32string& letters) {
        std::u32string found = normal(letters, false, false);
        remove_if(found, [](char32_t c) { return c == 0x345; });
        return found;
    });
    text = normal(fold_case(text), true, true);
    drop_ignored(text);
    text = replace_runs(text, [](char32_t c) { return is_in(kDecomposed, c); },
                        [](const std::u32string& some) { return normal(some, false, false); });
    remove_if(text, [](char32_t c) { return is_in(kAccents, c); });
    std::u32string alike;
    for (char32_t point : text) append_folded(kAlike, point, alike);
    text = unwrap(order_thai(alike));
    for (char32_t& point : text) point = separate(point);
    return text;
}

std::vector<std::u32string> runs_of(const std::u32string& folded) {
    std::vector<std::u32string> found;
    for (auto& word : split(folded)) {
        size_t start = 0;
        for (size_t at = 1; at <= word.size(); ++at)
            if (at == word.size() || is_in(kPaired, word[at]) != is_in(kPaired, word[start]))
                found.push_back(word.substr(start, at - start)), start = at;
    }
    return found;
}

bool is_paired(std::u32string_view run) { return !run.empty() && is_in(kPaired, run[0]); }

std::vector<std::u32string> units_of(const std::u32string& run) {
    std::vector<std::u32string> found;
    bool open = false;
    for (char32_t point : run) {
        bool joined = open || is_in(kFollowing, point) || character_class(point) & kMark;
        if (!found.empty() && joined) found.back() += point;
        else found.emplace_back(1, point);
        open = is_in(kLeading, point);
    }
    return found;
}

std::vector<std::u32string> pairs_of(const std::u32string& run) {
    auto parts = units_of(run);
    for (size_t i = 0; i + 1 < parts.size(); ++i) parts[i] += parts[i + 1];
    return parts;
}

std::u32string divide(std::u32string text) {
    std::vector<std::u32string> words;
    for (auto& run : runs_of(fold(std::move(text)))) {
        if (!is_paired(run)) { words.push_back(std::move(run)); continue; }
        for (auto& pair : pairs_of(run)) words.push_back(std::move(pair));
    }
    return join(words);
}

bool is_plain(const std::u32string& text) {
    if (is_ascii(text)) return true;
    return std::all_of(text.begin(), text.end(), [](char32_t c) { return is_in(kPlain, c); }) &&
           normal_form(text, false, true) == text;
}

std::vector<std::u32string> split(std::u32string_view text) {
    std::vector<std::u32string> found;
    for (size_t at = 0; at < text.size();) {
        while (at < text.size() && is_space(text[at])) ++at;
        size_t end = at;
        while (end < text.size() && !is_space(text[end])) ++end;
        if (end > at) found.emplace_back(text.substr(at, end - at));
        at = end;
    }
    return found;
}

std::u32string join(const std::vector<std::u32string>& parts, char32_t between) {
    std::u32string found;
    for (auto& part : parts) {
        if (&part != &parts.front()) found += between;
        found += part;
    }
    return found;
}

int digit_of(char32_t point) {
    auto next = std::upper_bound(std::begin(kZeros), std::end(kZeros), point);
    if (next == std::begin(kZeros)) return -1;
    char32_t value = point - next[-1];
    return value < 10 ? static_cast<int>(value) : -1;
}

bool is_space(char32_t point) {
    if (point < 0x80) return (point >= 9 && point <= 13) || (point >= 28 && point <= 32);
    return class_of(point) & kWhite;
}

std::u32string lower(std::u32string_view text) {
    std::u32string found;
    for (char32_t point : text) append_lower(found, point);
    return found;
}

std::u32string fold_case(std::u32string_view text) {
    std::u32string found;
    for (char32_t point : text) append_folded(kFolded, point, found);
    return found;
}

}  // namespace minnow
