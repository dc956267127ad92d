#include "times.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <limits>
#include <stdexcept>

namespace minnow {

int64_t floor_divided(int64_t number, int64_t by) { return number / by - (number % by < 0); }

// Source of both: Howard Hinnant, chrono-Compatible Low-Level Date Algorithms,
// https://howardhinnant.github.io/date_algorithms.html
int64_t days_of(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = floor_divided(year, 400), of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

Date date_of(int64_t days) {
    days += 719468;
    int64_t era = floor_divided(days, 146097), of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    int found = static_cast<int>(month < 10 ? month + 3 : month - 9);
    return {year + era * 400 + (found <= 2), found, static_cast<int>(of_year - (153 * month + 2) / 5 + 1)};
}

int days_in(int64_t year, int month) {
    return static_cast<int>(days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) - days_of(year, month, 1));
}

int64_t midnight(int64_t year, int month, int day) {
    bool there = year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 && day <= days_in(year, month);
    if (!there) throw std::out_of_range("there is no such day");
    return days_of(year, month, day) * kDay;
}

Zone Zone::local() {
    tzset();  // reads TZ, which the program may have changed
    Zone zone;
    zone.is_local_ = true;
    return zone;
}

int64_t Zone::ahead(int64_t utc) const {
    if (!is_local_) return offset_;
    using Limits = std::numeric_limits<std::time_t>;  // 32 bits on some devices
    auto seconds = static_cast<std::time_t>(std::clamp<int64_t>(floor_divided(utc, kSecond), Limits::min(), Limits::max()));
    std::tm found{};
    return localtime_r(&seconds, &found) ? static_cast<int64_t>(found.tm_gmtoff) * kSecond : 0;
}

int64_t Zone::to_local(int64_t utc) const { return utc + ahead(utc); }

int64_t Zone::to_utc(int64_t local) const {
    int64_t earlier = local - ahead(local - kDay), later = local - ahead(local + kDay);
    return to_local(earlier) != local && to_local(later) == local ? later : earlier;
}

std::string iso_of(int64_t milliseconds, char between) {
    int64_t days = floor_divided(milliseconds, kDay), rest = milliseconds - days * kDay;
    Date date = date_of(days);
    char text[64], fraction[16] = "";
    if (rest % 1000) std::snprintf(fraction, sizeof fraction, ".%03d000", static_cast<int>(rest % 1000));
    std::snprintf(text, sizeof text, "%04d-%02d-%02d%c%02d:%02d:%02d%s+00:00", static_cast<int>(date.year), date.month,
                  date.day, between, static_cast<int>(rest / kHour), static_cast<int>(rest / 60000 % 60),
                  static_cast<int>(rest / 1000 % 60), fraction);
    return text;
}

std::optional<std::pair<int64_t, int64_t>> read_period(const std::string& text) {
    size_t at = 0;
    auto number = [&](size_t digits) -> int {
        int found = 0;
        for (size_t end = at + digits; at < end; ++at) {
            if (at >= text.size() || text[at] < '0' || text[at] > '9') throw std::out_of_range("no digit");
            found = found * 10 + (text[at] - '0');
        }
        return found;
    };
    auto take = [&](char c) { return at < text.size() && text[at] == c ? ++at, true : false; };
    auto expect = [&](char c) { if (!take(c)) throw std::out_of_range("another character"); };
    try {
        int year = number(4);
        if (at == text.size()) return std::pair{midnight(year, 1, 1), days_of(year + 1, 1, 1) * kDay};
        expect('-');
        int month = number(2);
        int64_t begin = midnight(year, month, 1);
        if (at == text.size()) return std::pair{begin, begin + days_in(year, month) * kDay};
        expect('-');
        begin = midnight(year, month, number(2));
        if (at == text.size()) return std::pair{begin, begin + kDay};
        if (!take('T')) expect(' ');
        int hour = number(2), minute = 0, fraction = 0;
        int64_t second = 0;
        if (take(':')) {
            minute = number(2);
            if (take(':')) {
                second = number(2);
                if (take('.'))
                    for (int place = 100; at < text.size() && text[at] >= '0' && text[at] <= '9'; place /= 10, ++at)
                        fraction += place * (text[at] - '0');
            }
        }
        if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
        begin += hour * kHour + minute * 60000 + second * kSecond + fraction;
        if (!take('Z') && at < text.size()) {
            int sign = text[at] == '-' ? -1 : 1;
            if (!take('-')) expect('+');
            int away = number(2) * 60;
            take(':');
            begin -= sign * (away + (at < text.size() ? number(2) : 0)) * 60000ll;
        }
        if (at < text.size()) return std::nullopt;
        return std::pair{begin, begin + 1};
    } catch (const std::out_of_range&) {
        return std::nullopt;
    }
}

}  // namespace minnow
