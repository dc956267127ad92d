// What a BERT tokenizer does to characters.
#pragma once
#include <string>
#include <string_view>

namespace minnow {

enum CharacterClass : unsigned { kDropped = 1, kWhite = 2, kIdeograph = 4, kPunctuation = 8 };

// Bits of CharacterClass: what cleaning drops, and where words end.
unsigned class_of(char32_t point);
// The small letters of a character; İ has two.
void append_lower(std::u32string& text, char32_t point);
// The character decomposed (NFD), without its marks (Mn). Marks are not put in order.
void append_stripped(std::u32string& text, char32_t point);
// What is not UTF-8 becomes U+FFFD, as Python's errors="replace" has it.
std::u32string decode_utf8(std::string_view bytes);
void append_utf8(std::string& bytes, char32_t point);

}  // namespace minnow
