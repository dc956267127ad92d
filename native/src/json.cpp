#include "json.hpp"

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
        return at = end, Json{std::strtod(word.c_str(), nullptr)};
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

}  // namespace

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

std::string quoted(const std::string& text) {
    std::string found = "\"";
    for (char c : text) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", c & 0xff);
        if (c == '"' || c == '\\') found += '\\';
        found += static_cast<unsigned char>(c) < 0x20 ? escaped : std::string(1, c);
    }
    return found + '"';
}

}  // namespace minnow
