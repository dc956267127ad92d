#include "unicode.hpp"

#include <algorithm>
#include <iterator>

namespace minnow {
namespace {

struct ClassRow { char32_t first, last; unsigned classes; };
struct LowerRow { char32_t first, last, step; int away; };
struct StrippedRow { char32_t first, last, to[3]; };

#include "unicode_tables.inc"

template <class Row, size_t size> const Row* find(const Row (&rows)[size], char32_t point) {
    auto row = std::lower_bound(rows, rows + size, point,
                                [](const Row& r, char32_t p) { return r.last < p; });
    return row != rows + size && row->first <= point ? row : nullptr;
}

}  // namespace

unsigned class_of(char32_t point) {
    auto row = find(kClasses, point);
    return row ? row->classes : 0;
}

void append_lower(std::u32string& text, char32_t point) {
    auto row = find(kLower, point);
    if (point == 0x130) text += U"i\u0307";
    else text += row && (point - row->first) % row->step == 0 ? point + row->away : point;
}

void append_stripped(std::u32string& text, char32_t point) {
    if (point >= 0xac00 && point < 0xd7a4) {  // Hangul: the Unicode Standard, 3.12
        char32_t syllable = point - 0xac00, final = syllable % 28;
        text += {0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28};
        if (final) text += 0x11a7 + final;
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

void append_utf8(std::string& bytes, char32_t point) {
    if (point >> 11 == 0x1b) point = 0xfffd;  // half of a surrogate pair
    if (point < 0x80) { bytes += static_cast<char>(point); return; }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    bytes += static_cast<char>((0xff00 >> (more + 1)) | point >> 6 * more);
    while (more--) bytes += static_cast<char>(0x80 | (point >> 6 * more & 0x3f));
}

}  // namespace minnow
