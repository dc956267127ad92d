// The words of a text as the keyword index has them: the rules of "Words" in docs/index-format.md.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace minnow {

// Makes characters that look the same the same, and divides words by spaces.
std::u32string fold(std::u32string text);
// Returns the words of a folded text, divided where a script that needs pairs begins or ends.
std::vector<std::u32string> runs_of(const std::u32string& folded);
// Returns whether the words of a run are found by pairs.
bool is_paired(std::u32string_view run);
// Divides a run into characters; a consonant keeps its vowels, tones and stacked consonants.
std::vector<std::u32string> units_of(const std::u32string& run);
// Returns the word that begins at each unit of a run: two units, and at the end one.
std::vector<std::u32string> pairs_of(const std::u32string& run);
// Returns the words of a text with spaces between, as FTS5 should read them.
std::u32string divide(std::u32string text);
// Returns whether FTS5 reads the words of a text by itself as `divide` has them.
bool is_plain(const std::u32string& text);

// Returns what lies between white space, as `str.split` of Python does.
std::vector<std::u32string> split(std::u32string_view text);
std::u32string join(const std::vector<std::u32string>& parts, char32_t between = U' ');
// Returns the value of a decimal digit of any script, or -1.
int digit_of(char32_t point);
bool is_space(char32_t point);
// Returns the whole text in lower case, or with its case folded.
std::u32string lower(std::u32string_view text);
std::u32string fold_case(std::u32string_view text);

}  // namespace minnow
