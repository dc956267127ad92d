// The effects of a BERT tokenizer on characters.
#pragma once
#include <string>
#include <string_view>

namespace minnow {

enum CharacterClass : unsigned { kDropped = 1, kWhite = 2, kIdeograph = 4, kPunctuation = 8 };

// Returns the bits of CharacterClass: dropped by cleaning, or a boundary of words.
unsigned class_of(char32_t point);
// Returns the lower case of a character; İ has two letters.
void append_lower(std::u32string& text, char32_t point);
// Returns the character decomposed (NFD), without its marks (Mn). Marks are not reordered.
void append_stripped(std::u32string& text, char32_t point);
// Replaces invalid UTF-8 by U+FFFD, as Python's errors="replace" does.
std::u32string decode_utf8(std::string_view bytes);
void append_utf8(std::string& bytes, char32_t point);

}  // namespace minnow
