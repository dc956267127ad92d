// A small reader and writer of JSON, so that an app needs no other library.
#pragma once
#include <climits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace minnow {

// The only exception of the core; its message names the file and the fault.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Json {
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;
    std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value;

    // Returns a field, or null if it is missing.
    const Json& operator[](std::string_view key) const {
        static const Json nothing;
        if (auto* object = std::get_if<Object>(&value))
            for (auto& [name, field] : *object)
                if (name == key) return field;
        return nothing;
    }
    template <class T> bool is() const { return std::holds_alternative<T>(value); }
    // Returns the value, which must be of this type; `key` names it in the error message.
    template <class T> const T& as(std::string_view key) const& {
        if (auto* found = std::get_if<T>(&value)) return *found;
        throw Error("its \"" + std::string(key) + "\" is missing or of another kind");
    }
    template <class T> T as(std::string_view key) && { return T(static_cast<const Json&>(*this).as<T>(key)); }
    template <class T> const T& get(std::string_view key) const { return (*this)[key].as<T>(key); }
    // Returns a field of this type, or a default if it is missing.
    template <class T> T get(std::string_view key, T otherwise) const {
        auto* found = std::get_if<T>(&(*this)[key].value);
        return found ? *found : otherwise;
    }
    bool operator==(const Json& other) const;  // fields in any order
    bool operator!=(const Json& other) const { return !(*this == other); }
    int integer(std::string_view key) const {
        double found = as<double>(key);
        if (found >= 0 && found <= INT_MAX) return static_cast<int>(found);
        throw Error("its \"" + std::string(key) + "\" is out of range");
    }
};

// Return JSON in UTF-8, without white space; numbers have the digits that tell them from others.
std::string to_json(const Json& value);
// Both throw Error; `name` names the text in the message.
Json parse_json(std::string_view text, const std::string& name);
Json read_json(const std::string& path);
// Returns a string of UTF-8 as JSON writes it.
std::string quoted(const std::string& text);
// Returns the texts of a JSON array; `name` names it in messages.
std::vector<std::string> texts_in(const Json& array, const std::string& name);
// Returns a JSON array of texts.
Json texts_of(const std::vector<std::string>& texts);

}  // namespace minnow
