#include "mentions.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <tuple>

#include "expressions.hpp"
#include "pattern.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

const int kFew = 3;  // texts that begin with a name before it is taken for that of a speaker
const char* const kMonths[] = {"january", "february", "march", "april", "may", "june", "july", "august", "september",
                               "october", "november", "december"};
const char* const kWeekdays[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};
const std::pair<const char*, int> kSeasons[] = {{"spring", 3}, {"summer", 6}, {"autumn", 9}, {"fall", 9}, {"winter", 12}};
const std::pair<const char*, int> kCounts[] = {
    {"a", 1}, {"an", 1}, {"one", 1}, {"two", 2}, {"a couple of", 2}, {"three", 3}, {"a few", 3}, {"four", 4}, {"five", 5},
    {"six", 6}, {"seven", 7}, {"eight", 8}, {"nine", 9}, {"ten", 10}, {"eleven", 11}, {"twelve", 12}};

struct Span { int64_t begin, end; };  // in milliseconds of the local clock

// A date in a text: where its words begin and end, the span that it means, and whether it is like "yesterday".
struct NamedDate {
    size_t first, last;
    Span span;
    bool is_relative;
};

// The words of a date by the names of their groups, in lower case; empty where there are none.
struct DateWords {
    const Pattern& pattern;
    std::u32string_view text;
    const Pattern::Match& match;
    std::string operator[](const char* name) const {
        size_t number = pattern.group(name);
        if (number == Pattern::kNone || match[number].first == Pattern::kNone) return "";
        auto [begin, end] = match[number];
        return encode_utf8(lower(text.substr(begin, end - begin)));
    }
    int number(const char* name) const {
        int found = 0;
        for (char32_t point : decode_utf8((*this)[name])) found = found * 10 + std::max(0, digit_of(point));
        return found;
    }
};

Span days(int64_t begin, int64_t count = 1) {
    int64_t end = begin + count * kDay;
    if (date_of(floor_divided(end, kDay)).year > 9999 || begin < midnight(1, 1, 1)) throw std::out_of_range("no such day");
    return {begin, end};
}

Span months(int64_t year, int64_t month, int count = 1) {  // their numbers may be out of the year
    int64_t first = year * 12 + month - 1, last = first + count;
    auto begin_of = [](int64_t at) {
        int64_t year = floor_divided(at, 12);
        return midnight(year, static_cast<int>(at - year * 12 + 1), 1);
    };
    return {begin_of(first), begin_of(last)};
}

int month_of(const DateWords& words) {
    std::string name = words["month"].substr(0, 3);
    for (int i = 0; i < 12; ++i)
        if (std::string(kMonths[i]).compare(0, name.size(), name) == 0) return i + 1;
    throw std::out_of_range("no such month");
}

int count_of(const DateWords& words) {
    std::string count = encode_utf8(join(split(decode_utf8(words["count"]))));
    for (auto& [name, number] : kCounts)
        if (count == name) return number;
    return words.number("count");
}

Span read_near_span(const DateWords& words, const Date& date, int64_t today, int weekday) {
    std::string unit = words["unit"];
    int last = words["which"] != "this";
    if (unit == "year") return months(date.year - last, 1, 12);
    if (unit == "month") return months(date.year, date.month - last);
    int64_t monday = today - (weekday + 7 * last) * kDay;
    return unit == "week" ? days(monday, 7) : days(monday + 5 * kDay, 2);
}

Span read_ago(const DateWords& words, const Date& date, int64_t today) {
    std::string unit = words["unit"];
    int count = count_of(words);
    if (unit == "day") return days(today - count * kDay);
    if (unit == "week") return days(today - (7 * count + 3) * kDay, 7);
    int64_t begin = months(date.year, date.month - count * (unit == "year" ? 12 : 1)).begin;
    Date first = date_of(floor_divided(begin, kDay));
    int width = unit == "year" ? 45 : 15;
    return days(begin + (std::min(date.day, days_in(first.year, first.month)) - 1 - width) * kDay, 2 * width);
}

// Reads the words of a form by the name of its reader in src/minnow/memory/dates.py.
Span read_date(const std::string& reader, const DateWords& words, int64_t now) {
    int64_t today_number = floor_divided(now, kDay), today = today_number * kDay;
    Date date = date_of(today_number);
    int weekday = static_cast<int>(today_number + 3 - floor_divided(today_number + 3, 7) * 7);  // 1970 began on a Thursday
    bool has_year = !words["year"].empty();
    int year = words.number("year");
    if (reader == "_read_iso") {
        int month = words.number("number");
        if (!words["day"].empty()) return days(midnight(year, month, words.number("day")));
        midnight(year, month, 1);
        return months(year, month);
    }
    if (reader == "_read_day") {
        int month = month_of(words), day = words.number("day");
        if (has_year) return days(midnight(year, month, day));
        bool past = std::pair(month, day) <= std::pair(date.month, date.day);
        int64_t found = past ? date.year : date.year - 1;
        while (month == 2 && day == 29 && days_in(found, month) < day) --found;
        return days(midnight(found, month, day));
    }
    if (reader == "_read_month") {
        int month = month_of(words);
        if (has_year) return months(year, month);
        std::string which = words["which"];
        bool last = month == date.month && !which.empty() && which != "this";
        return months(month <= date.month && !last ? date.year : date.year - 1, month);
    }
    if (reader == "_read_season") {
        int month = 0;
        for (auto& [name, first] : kSeasons)
            if (words["season"] == name) month = first;
        if (has_year) return months(year, month, 3);
        int64_t begun = month <= date.month ? date.year : date.year - 1;
        Span found = months(begun, month, 3);
        return found.end > now && words["which"] != "this" ? months(begun - 1, month, 3) : found;
    }
    if (reader == "_read_year") return months(year, 1, 12);
    if (reader == "_read_ago") return read_ago(words, date, today);
    if (reader == "_read_past") {
        std::string unit = words["unit"];
        int64_t length = unit == "day" ? 1 : unit == "week" ? 7 : unit == "month" ? 31 : 365;
        int64_t begin = now - length * count_of(words) * kDay;
        if (begin < midnight(1, 1, 1)) throw std::out_of_range("no such day");
        return {begin, now};
    }
    if (reader == "_read_near_day") {
        std::string word = words["date"];
        int back = word.compare(0, 14, "the day before") == 0 ? 2 : word == "yesterday" || word == "last night";
        return days(today - back * kDay);
    }
    if (reader == "_read_near_span") return read_near_span(words, date, today, weekday);
    int wanted = 0;
    while (words["weekday"] != kWeekdays[wanted]) ++wanted;
    return days(today - ((weekday - wanted - 1 + 14) % 7 + 1) * kDay);
}

bool is_quoted(const std::u32string& text, size_t first, size_t last) {
    return std::count(text.begin(), text.begin() + first, U'"') % 2 == 1 && text.find(U'"', last) != text.npos;
}

// Returns the dates in a text in their order; none overlap.
std::vector<NamedDate> find_dates(const std::u32string& text, int64_t now, int64_t newest) {
    static const auto forms = [] {
        std::vector<std::pair<Pattern, std::string>> made;
        for (auto& form : kDateForms) made.emplace_back(Pattern(form.expression, Pattern::kPythonAnyCase), form.to);
        return made;
    }();
    std::vector<NamedDate> found;
    for (auto& [pattern, reader] : forms) {
        size_t date = pattern.group("date");
        bool is_of_calendar = std::count(std::begin(kCalendar), std::end(kCalendar), reader);
        for (size_t from = 0; auto match = pattern.find(text, from);) {
            from = (*match)[0].second;
            auto [first, last] = (*match)[date];
            if (std::any_of(found.begin(), found.end(), [&](auto& one) { return first < one.last && one.first < last; })) continue;
            DateWords words{pattern, text, *match};
            bool is_relative = !is_of_calendar || !words["which"].empty();
            try {
                Span span = read_date(reader, words, is_relative ? now : newest);
                found.push_back({first, last, span, is_relative && !is_quoted(text, first, last)});
            } catch (const std::out_of_range&) {  // 31 February, or before the year 1
            }
        }
    }
    std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.first < b.first; });
    return found;
}

bool is_common(const std::string& name) {
    return decode_utf8(name).size() == 1 || question_words().count(encode_utf8(lower(decode_utf8(name))));
}

// Returns the expression of a name, or of its first word. A name that is also a common word counts in its own case
// only, and not at the beginning.
std::string expression_of(const std::string& name) {
    std::vector<std::string> names = {name, encode_utf8(split(decode_utf8(name))[0])};
    if (names[0] == names[1]) names.pop_back();
    std::string either;
    for (auto& one : names)
        either += (either.empty() ? "" : "|") + (is_common(one) ? "(?<=\\w\\W)" + Pattern::escape(one) : "(?i:" + Pattern::escape(one) + ")");
    return "\\b(?:" + either + ")\\b";
}

}  // namespace

double Period::nearness(int64_t time) const {
    int64_t half = begin && end ? floor_divided(*end - *begin, 2) : 0;
    auto early = static_cast<double>(begin ? std::max<int64_t>(0, *begin - time) : 0);
    auto late = static_cast<double>(end ? std::max<int64_t>(0, time - *end) : 0);
    return std::pow(0.5, early / static_cast<double>(std::max(2 * kDay, half)) + late / static_cast<double>(std::max(7 * kDay, half)));
}

std::pair<std::optional<Period>, std::string> read_period(const std::string& question, int64_t now, std::optional<int64_t> latest,
                                                          const Zone& zone) {
    static const Pattern between("\\b(?:between|from)\\s(?:the\\s)?$", Pattern::kPython);
    static const Pattern since("\\b(?:since|after|from)\\s(?:the\\s)?$", Pattern::kPython);
    static const Pattern after("\\bafter\\s(?:the\\s)?$", Pattern::kPython);
    static const Pattern until("\\b(?:before|until|till|by)\\s(?:the\\s)?$", Pattern::kPython);
    std::u32string text = join(split(decode_utf8(question)));
    int64_t local = zone.to_local(now), newest = zone.to_local(std::min(now, latest.value_or(now)));
    auto dates = find_dates(text, local, newest);
    if (dates.empty()) return {std::nullopt, question};
    auto utc_of = [&](int64_t time) { return time == local ? now : zone.to_utc(time); };
    Span span = {utc_of(dates[0].span.begin), utc_of(dates[0].span.end)};
    std::u32string before = lower(text.substr(0, dates[0].first));
    bool is_range = dates.size() > 1 && between.find(before);
    std::u32string rest = text;
    for (size_t i = is_range + 1; i-- > 0;)
        if (dates[i].is_relative) rest.erase(dates[i].first, dates[i].last - dates[i].first);
    bool is_asked = rest != text && Pattern("\\w", Pattern::kPython).find(rest);
    std::string asked = is_asked ? encode_utf8(rest) : question;
    if (is_range) {
        span.begin = std::min(span.begin, utc_of(dates[1].span.begin));
        span.end = std::max(span.end, utc_of(dates[1].span.end));
    } else if (since.find(before)) {
        return {Period{after.find(before) ? span.end : span.begin, std::nullopt}, asked};
    } else if (until.find(before)) {
        auto end = before.substr(before.size() > 11 ? before.size() - 11 : 0);
        return {Period{std::nullopt, end.find(U"before") != end.npos ? span.begin : span.end}, asked};
    }
    return {Period{span.begin, span.end}, asked};
}

bool Speaker::is_named(std::u32string_view question) const {
    return Pattern(expression_of(name), Pattern::kPython).find(question).has_value();
}

std::u32string Speaker::replace(std::u32string_view question, const std::u32string& subject, const std::u32string& possessive) const {
    Pattern pattern(expression_of(name) + "(['’]s\\b)?", Pattern::kPython);
    return pattern.replace(question, [&](const Pattern::Match& found) { return found[1].first != Pattern::kNone ? possessive : subject; });
}

std::optional<Speaker> find_prefix(const std::string& text) {
    static const Pattern prefix(kSpeakerPrefix, Pattern::kPython);
    std::u32string points = decode_utf8(text);
    auto found = prefix.match_at(points, 0);
    if (!found) return std::nullopt;
    auto [begin, end] = (*found)[1];
    if (split(points.substr(begin, end - begin)).empty()) return std::nullopt;
    return Speaker{encode_utf8(points.substr(begin, end - begin)), false};
}

Mentions find_mentions(const std::string& question, const std::vector<std::pair<Speaker, int64_t>>& counts,
                       const std::set<std::string>& tags) {
    Mentions found;
    std::u32string whole = decode_utf8(question), words = whole, first = whole;
    std::string folded = " " + folded_words(question) + " ";
    bool is_first = true;
    for (auto& [speaker, count] : counts) {
        if (!speaker.is_named(whole)) continue;
        found.speakers.insert(speaker);
        bool is_person = speaker.is_given || (count >= kFew && question.find(speaker.name) != std::string::npos);
        if (!is_person) continue;
        words = speaker.replace(words, U" ", U" ");
        if (is_first) first = speaker.replace(whole, U"I", U"my"), is_first = false;
    }
    if (!Pattern("\\w", Pattern::kPython).find(words)) words = first = whole;
    for (auto& tag : tags)
        if (folded.find(" " + tag + " ") != std::string::npos) found.tags.insert(tag);
    found.words = encode_utf8(words), found.first_person = encode_utf8(first);
    return found;
}

const std::set<std::string>& question_words() {
    static const std::set<std::string> words(std::begin(kQuestionWords), std::end(kQuestionWords));
    return words;
}

std::string folded_words(const std::string& text) { return encode_utf8(join(split(fold(decode_utf8(text))))); }

}  // namespace minnow
