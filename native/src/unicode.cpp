#include "unicode.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace minnow {
namespace {

struct ClassRow { char32_t first, last : 21, classes : 11; };  // a code point has 21 bits
struct LowerRow { char32_t first, last, step; int away; };
struct StrippedRow { char32_t first, last, to[3]; };
struct TextRow { char32_t first, last; uint16_t place, size; };  // in kTexts, of the text of the first; it counts up
struct ComposedRow { char32_t first, second, composed; };

#include "character_tables.inc"
#include "unicode_tables.inc"

template <class Row, size_t size> const Row* find(const Row (&rows)[size], char32_t point) {
    auto row = std::lower_bound(rows, rows + size, point,
                                [](const Row& r, char32_t p) { return r.last < p; });
    return row != rows + size && row->first <= point ? row : nullptr;
}

template <size_t size> unsigned classes_in(const ClassRow (&rows)[size], char32_t point) {
    auto row = find(rows, point);
    return row ? row->classes : 0;
}

void append_hangul(std::u32string& text, char32_t point) {  // the Unicode Standard, 3.12
    char32_t syllable = point - 0xac00, final = syllable % 28;
    text += {0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28};
    if (final) text += 0x11a7 + final;
}

bool is_hangul(char32_t point) { return point >= 0xac00 && point < 0xd7a4; }

template <size_t size> bool append_text(const TextRow (&rows)[size], char32_t point, std::u32string& text) {
    auto row = find(rows, point);
    if (!row) return false;
    size_t start = text.size();
    text.append(kTexts + row->place, row->size);
    text[start] += point - row->first;
    return true;
}

char32_t compose(char32_t first, char32_t second) {
    if (first >= 0x1100 && first < 0x1113 && second >= 0x1161 && second < 0x1176)
        return 0xac00 + ((first - 0x1100) * 21 + second - 0x1161) * 28;
    if (is_hangul(first) && (first - 0xac00) % 28 == 0 && second > 0x11a7 && second < 0x11c3)
        return first + second - 0x11a7;
    auto row = std::lower_bound(std::begin(kComposed), std::end(kComposed), first, [&](const ComposedRow& r, char32_t p) {
        return r.first != p ? r.first < p : r.second < second;
    });
    return row != std::end(kComposed) && row->first == first && row->second == second ? row->composed : 0;
}

}  // namespace

unsigned class_of(char32_t point) { return classes_in(kClasses, point); }
unsigned character_class(char32_t point) { return classes_in(kCharacters, point); }

const MarkRules kTokenizerMarks = {[](char32_t point) { return classes_in(kCombining, point); }, compose};

std::u32string normal_form(std::u32string_view text, bool compatible, bool composed, const MarkRules& marks) {
    std::u32string found;
    for (char32_t point : text) {
        if (is_hangul(point)) append_hangul(found, point);
        else if (!(compatible && append_text(kCompatible, point, found)) && !append_text(kCanonical, point, found))
            found += point;
    }
    for (size_t start = 0, end; start < found.size(); start = end + 1) {  // marks in canonical order
        for (end = start; end < found.size() && marks.combining(found[end]); ++end) {}
        std::stable_sort(found.begin() + start, found.begin() + end,
                         [&](char32_t a, char32_t b) { return marks.combining(a) < marks.combining(b); });
    }
    if (!composed) return found;
    std::u32string whole;
    size_t starter = std::u32string::npos;
    unsigned last = 0;  // the class of the character before, if it stays
    for (char32_t point : found) {
        unsigned now = marks.combining(point);
        bool near = starter + 1 == whole.size();
        if (starter != std::u32string::npos && (near || last < now))
            if (char32_t both = marks.compose(whole[starter], point)) { whole[starter] = both; continue; }
        if (!now) starter = whole.size();
        last = now;
        whole += point;
    }
    return whole;
}

size_t cluster_end(std::u32string_view text, size_t start) {
    auto hangul = [](char32_t c) -> unsigned {  // 1 L, 2 V, 4 T, 6 LV, 12 LVT: bits of what may follow
        if ((c >= 0x1100 && c < 0x1160) || (c >= 0xa960 && c < 0xa97d)) return 1;
        if ((c >= 0x1160 && c < 0x11a8) || (c >= 0xd7b0 && c < 0xd7c7)) return 2;
        if ((c >= 0x11a8 && c < 0x1200) || (c >= 0xd7cb && c < 0xd7fc)) return 4;
        return is_hangul(c) ? (c - 0xac00) % 28 ? 12 : 6 : 0;
    };
    unsigned before = classes_in(kClusters, text[start]);
    bool picture = before & kPicture, to_picture = false, consonant = before & kConsonant, linked = false;
    size_t flags = text[start] >= 0x1f1e6 && text[start] < 0x1f200;
    size_t at = start + 1;
    for (; at < text.size(); ++at) {
        char32_t last = text[at - 1], point = text[at];
        unsigned now = classes_in(kClusters, point), first = hangul(last), second = hangul(point);
        bool flag = point >= 0x1f1e6 && point < 0x1f200, joined;
        if ((before | now) & kControl) joined = last == U'\r' && point == U'\n';
        else if (now & (kExtends | kSpacing) || before & kPrepended) joined = true;
        else if (first == 1) joined = second && second != 4;
        else if (first == 2 || first == 6) joined = second == 2 || second == 4;
        else if (first) joined = second == 4;
        else if (now & kPicture) joined = to_picture;
        else if (now & kConsonant) joined = consonant && linked;
        else joined = flag && flags % 2 == 1;
        if (!joined) break;
        bool extends = now & kExtends, joiner = point == 0x200d;
        to_picture = picture && joiner;
        picture = now & kPicture || (picture && extends);
        linked = now & kLinker || (linked && (extends || joiner));
        consonant = now & kConsonant || (consonant && (extends || joiner));
        if (now & kConsonant) linked = false;
        flags = flag ? flags + 1 : 0;
        before = now;
    }
    return at;
}

void append_lower(std::u32string& text, char32_t point) {
    auto row = find(kLower, point);
    if (point == 0x130) text += U"i\u0307";
    else text += row && (point - row->first) % row->step == 0 ? point + row->away : point;
}

void append_stripped(std::u32string& text, char32_t point) {
    if (is_hangul(point)) {
        append_hangul(text, point);
    } else if (auto row = find(kStripped, point)) {
        text.append(row->to, std::find(row->to, std::end(row->to), U'\0'));
    } else {
        text += point;
    }
}

std::u32string decode_utf8(std::string_view bytes) {
    std::u32string points;
    for (size_t at = 0; at < bytes.size();) {
        unsigned char lead = bytes[at++];
        int more = lead < 0x80 ? 0 : lead < 0xc2 || lead > 0xf4 ? -1
                 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        char32_t point = more <= 0 ? lead : lead & (0x3f >> more);
        unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        for (; more > 0 && at < bytes.size(); --more, least = 0x80, most = 0xbf) {
            unsigned char next = bytes[at];
            if (next < least || next > most) break;
            point = point << 6 | (next & 0x3f), ++at;
        }
        points += more ? U'\ufffd' : point;
    }
    return points;
}

std::string encode_utf8(std::u32string_view text) {
    std::string bytes;
    for (char32_t point : text) append_utf8(bytes, point);
    return bytes;
}

std::string clean(std::string_view text) {
    std::u32string points = decode_utf8(text);
    points.erase(std::remove(points.begin(), points.end(), U'\0'), points.end());
    return encode_utf8(points);
}

void append_utf8(std::string& bytes, char32_t point) {
    if (point >> 11 == 0x1b) point = 0xfffd;  // half of a surrogate pair
    if (point < 0x80) { bytes += static_cast<char>(point); return; }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    bytes += static_cast<char>((0xff00 >> (more + 1)) | point >> 6 * more);
    while (more--) bytes += static_cast<char>(0x80 | (point >> 6 * more & 0x3f));
}

}  // namespace minnow
