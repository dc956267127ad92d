// What a question names: speakers, tags and times, as src/minnow/memory/{mentions,dates}.py read them.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "times.hpp"

namespace minnow {

// A span of time in milliseconds since 1970, with its end left out; an end without a value is open.
struct Period {
    std::optional<int64_t> begin, end;
    // Returns 1 for a time within it, and less for those outside, halved at some distance.
    double nearness(int64_t time) const;
};

// Returns the time that a question names, and what it asks: the question without words such as "yesterday". `now` is in
// milliseconds, and days are those of the time zone; `latest` is the time of the newest memory.
std::pair<std::optional<Period>, std::string> read_period(const std::string& question, int64_t now, std::optional<int64_t> latest,
                                                          const Zone& zone = Zone());

struct Speaker {
    std::string name;
    bool is_given;  // not read from the beginning of a text
    bool operator<(const Speaker& other) const { return name != other.name ? name < other.name : is_given < other.is_given; }
    bool is_named(std::u32string_view question) const;
    // Puts a pronoun in the place of the name.
    std::u32string replace(std::u32string_view question, const std::u32string& subject, const std::u32string& possessive) const;
};

// Returns the speaker whose name a text begins with, such as "Tom: I sold the car."
std::optional<Speaker> find_prefix(const std::string& text);

struct Mentions {
    std::set<Speaker> speakers;
    std::set<std::string> tags;  // folded
    std::string words;           // the question without the speakers
    std::string first_person;    // the question as the speaker would ask it
};

// Reads what a question names; `counts` are the speakers with the numbers of their memories, in order.
Mentions find_mentions(const std::string& question, const std::vector<std::pair<Speaker, int64_t>>& counts,
                       const std::set<std::string>& tags);

// Returns English words that questions are built with, folded.
const std::set<std::string>& question_words();
// Returns a text folded, with single spaces between its words.
std::string folded_words(const std::string& text);

}  // namespace minnow
