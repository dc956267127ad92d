// A small reader of JSON, for minnow.json and tokenizer.json: so an app needs no other library.
#pragma once
#include <climits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace minnow {

// Says what went wrong, and with which file; the only exception that the core throws itself.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Json {
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;
    std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value;

    // A field; null where there is none.
    const Json& operator[](std::string_view key) const {
        static const Json nothing;
        if (auto* object = std::get_if<Object>(&value))
            for (auto& [name, field] : *object)
                if (name == key) return field;
        return nothing;
    }
    template <class T> bool is() const { return std::holds_alternative<T>(value); }
    // The value, or that of a field, which has to be of this kind; `key` says so in the message.
    template <class T> const T& as(std::string_view key) const {
        if (auto* found = std::get_if<T>(&value)) return *found;
        throw Error("its \"" + std::string(key) + "\" is missing or of another kind");
    }
    template <class T> const T& get(std::string_view key) const { return (*this)[key].as<T>(key); }
    // A field of this kind, or what is meant where there is none.
    template <class T> T get(std::string_view key, T otherwise) const {
        auto* found = std::get_if<T>(&(*this)[key].value);
        return found ? *found : otherwise;
    }
    int integer(std::string_view key) const {
        double found = as<double>(key);
        if (found >= 0 && found <= INT_MAX) return static_cast<int>(found);
        throw Error("its \"" + std::string(key) + "\" is out of range");
    }
};

// Both throw Error; `name` is what the text is called in its message.
Json parse_json(std::string_view text, const std::string& name);
Json read_json(const std::string& path);

}  // namespace minnow
