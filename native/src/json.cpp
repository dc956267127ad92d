#include "json.hpp"

#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "unicode.hpp"

namespace minnow {
namespace {

struct Parser {
    std::string_view text;
    const std::string& name;
    size_t at = 0;

    [[noreturn]] void fail(const char* why) const {
        throw Error(name + " is not JSON: " + why + " at byte " + std::to_string(at) + ".");
    }
    bool take(char c) {
        at = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
        return at < text.size() && text[at] == c ? ++at, true : false;
    }
    void expect(char c) {
        if (!take(c)) fail((std::string("there is no ") + c).c_str());
    }
    Json parse(int depth) {
        if (depth > 64) fail("too many brackets");
        if (take('"')) return {string()};
        if (take('[')) {
            Json::Array items;
            while (!take(']')) {
                if (!items.empty()) expect(',');
                items.push_back(parse(depth + 1));
            }
            return {std::move(items)};
        }
        if (take('{')) {
            Json::Object fields;
            while (!take('}')) {
                if (!fields.empty()) expect(',');
                expect('"');
                std::string key = string();
                expect(':');
                fields.emplace_back(std::move(key), parse(depth + 1));
            }
            return {std::move(fields)};
        }
        size_t end = std::min(text.find_first_of(" \t\r\n,]}", at), text.size());
        std::string word(text.substr(at, end - at));
        if (word == "null") return at = end, Json{};
        if (word == "true" || word == "false") return at = end, Json{word == "true"};
        if (word.empty() || word.find_first_not_of("+-.eE0123456789") != word.npos)
            fail("there is no value");
        return at = end, Json{number(word)};
    }
    // Reads a number as every locale does not: strtod wants its decimal point.
    static double number(std::string word) {
        const char* point = std::localeconv()->decimal_point;
        if (size_t dot = word.find('.'); dot != word.npos && *point != '.') word.replace(dot, 1, point);
        return std::strtod(word.c_str(), nullptr);
    }
    char32_t hexadecimal() {
        std::string digits(text.substr(std::min(at, text.size()), 4));
        if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos)
            fail("there are no four digits");
        return at += 4, static_cast<char32_t>(std::strtoul(digits.c_str(), nullptr, 16));
    }
    std::string string() {
        std::string found;
        for (;; ++at) {
            if (at >= text.size()) fail("a text does not end");
            if (text[at] == '"') return ++at, found;
            if (text[at] != '\\') { found += text[at]; continue; }
            char c = ++at < text.size() ? text[at] : '\0';
            size_t known = std::string_view("bfnrt\"\\/").find(c);
            if (known != std::string_view::npos) { found += "\b\f\n\r\t\"\\/"[known]; continue; }
            if (c != 'u') fail("there is an unknown escape");
            ++at;
            char32_t point = hexadecimal();
            if (point >> 10 == 0x36 && text.substr(std::min(at, text.size()), 2) == "\\u") {
                at += 2;
                point = 0x10000 + ((point & 0x3ff) << 10) + (hexadecimal() & 0x3ff);
            }
            append_utf8(found, point), --at;
        }
    }
};

void write_text(std::string_view text, std::string& into) {
    into += '"';
    for (char c : text) {
        size_t known = std::string_view("\b\f\n\r\t\"\\").find(c);
        if (known != std::string_view::npos) into += '\\', into += "bfnrt\"\\"[known];
        else if (static_cast<unsigned char>(c) < 0x20) {
            into += "\\u00", into += "01"[c >> 4], into += "0123456789abcdef"[c & 15];
        } else into += c;
    }
    into += '"';
}

void write_number(double number, std::string& into) {
    char digits[32];
    if (!std::isfinite(number)) { into += "null"; return; }
    for (int precision : {15, 16, 17}) {
        std::snprintf(digits, sizeof digits, "%.*g", precision, number);
        if (std::strtod(digits, nullptr) == number) break;
    }
    for (char* c = digits; *c; ++c) into += *c == *std::localeconv()->decimal_point ? '.' : *c;
}

void write(const Json& json, std::string& into) {
    const char* between = "";
    if (json.is<std::nullptr_t>()) into += "null";
    if (auto* flag = std::get_if<bool>(&json.value)) into += *flag ? "true" : "false";
    if (auto* number = std::get_if<double>(&json.value)) write_number(*number, into);
    if (auto* text = std::get_if<std::string>(&json.value)) write_text(*text, into);
    if (auto* items = std::get_if<Json::Array>(&json.value)) {
        into += '[';
        for (auto& item : *items) into += between, write(item, into), between = ",";
        into += ']';
    }
    if (auto* fields = std::get_if<Json::Object>(&json.value)) {
        into += '{';
        for (auto& [name, field] : *fields) {
            into += between, write_text(name, into), into += ':', write(field, into);
            between = ",";
        }
        into += '}';
    }
}

}  // namespace

bool Json::operator==(const Json& other) const {
    auto *ours = std::get_if<Object>(&value), *theirs = std::get_if<Object>(&other.value);
    if (!ours || !theirs) return value == other.value;
    if (ours->size() != theirs->size()) return false;
    for (auto& [name, field] : *ours)
        if (field != other[name]) return false;
    return true;
}

std::string to_json(const Json& value) {
    std::string found;
    write(value, found);
    return found;
}

Json parse_json(std::string_view text, const std::string& name) {
    Parser parser{text, name};
    Json found = parser.parse(0);
    if (parser.take('\0') || parser.at != text.size()) parser.fail("something follows the end");
    return found;
}

Json read_json(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(path + " cannot be read.");
    return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), path);
}

std::string quoted(const std::string& text) { return to_json({text}); }

std::vector<std::string> texts_in(const Json& array, const std::string& name) {
    std::vector<std::string> found;
    for (auto& text : array.as<Json::Array>(name)) found.push_back(text.as<std::string>(name));
    return found;
}

Json texts_of(const std::vector<std::string>& texts) {
    Json::Array found;
    for (auto& text : texts) found.push_back({text});
    return {std::move(found)};
}

}  // namespace minnow
