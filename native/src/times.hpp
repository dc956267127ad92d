// Days and times of the calendar, in milliseconds since 1970.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace minnow {

const int64_t kSecond = 1000, kMinute = 60'000, kHour = 3'600'000, kDay = 86'400'000;

struct Date {
    int64_t year;
    int month, day;
};

int64_t days_of(int64_t year, int month, int day);  // since 1970
Date date_of(int64_t days);
int days_in(int64_t year, int month);
// Returns the beginning of a day; throws std::out_of_range where there is none in the years 1 to 9999.
int64_t midnight(int64_t year, int month, int day);
// Returns whether a time lies in the years 1 to 9999, as those that Python can hold.
inline bool is_time(double milliseconds) { return milliseconds >= -62'135'596'800'000 && milliseconds < 253'402'300'800'000; }
int64_t floor_divided(int64_t number, int64_t by);
// A time zone: a fixed offset from UTC, or the zone of the process.
class Zone {
public:
    Zone() = default;  // UTC
    explicit Zone(int64_t offset) : offset_(offset) {}  // milliseconds ahead of UTC
    // Returns the zone of C's localtime, with its summer and winter times: that of the variable TZ, else of the system.
    static Zone local();
    int64_t to_local(int64_t utc) const;
    // Takes the first instant where the clock shows a time twice, and the offset before the change where it skips one,
    // as Python does.
    int64_t to_utc(int64_t local) const;

private:
    int64_t ahead(int64_t utc) const;
    int64_t offset_ = 0;
    bool is_local_ = false;
};

// Returns "2024-05-31T08:00:00+00:00", with microseconds if there are any, as Python does; `between` stands for the T.
std::string iso_of(int64_t milliseconds, char between = 'T');
// Reads a year, a month, a day or an instant in ISO 8601, and returns where it begins and the next one does.
std::optional<std::pair<int64_t, int64_t>> read_period(const std::string& text);

}  // namespace minnow
