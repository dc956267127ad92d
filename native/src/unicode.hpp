// What the steps of tokenizers do to characters.
#pragma once
#include <string>
#include <string_view>

namespace minnow {

enum CharacterClass : unsigned { kDropped = 1, kWhite = 2, kIdeograph = 4, kPunctuation = 8 };

enum LetterClass : unsigned { kLetter = 1, kNumber = 2, kMark = 4, kWord = 8, kAccent = 16 };
enum ClusterClass : unsigned {
    kExtends = 1, kSpacing = 2, kPrepended = 4, kControl = 8, kPicture = 16, kConsonant = 32, kLinker = 64
};

// Returns the bits of CharacterClass: dropped by cleaning, or a boundary of words.
unsigned class_of(char32_t point);
// Returns the bits of LetterClass.
unsigned character_class(char32_t point);
// What a normal form goes by: the canonical combining class of a mark, and the character that two make (or 0).
struct MarkRules {
    unsigned (*combining)(char32_t);
    char32_t (*compose)(char32_t, char32_t);
};
// Those of tokenizers, whose Unicode is an older one than Python's.
extern const MarkRules kTokenizerMarks;
// Returns NFD, NFC, NFKD or NFKC.
std::u32string normal_form(std::u32string_view text, bool compatible, bool composed,
                           const MarkRules& marks = kTokenizerMarks);
// Returns the end of the cluster of characters that starts here (Unicode Standard Annex 29).
size_t cluster_end(std::u32string_view text, size_t start);
// Returns the lower case of a character; İ has two letters.
void append_lower(std::u32string& text, char32_t point);
// Returns the character decomposed (NFD), without its marks (Mn). Marks are not reordered.
void append_stripped(std::u32string& text, char32_t point);
// Replaces invalid UTF-8 by U+FFFD, as Python's errors="replace" does.
std::u32string decode_utf8(std::string_view bytes);
std::string encode_utf8(std::u32string_view text);
void append_utf8(std::string& bytes, char32_t point);
// Returns a text that a file can hold: valid UTF-8, without NUL.
std::string clean(std::string_view text);

}  // namespace minnow
