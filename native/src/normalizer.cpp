#include "normalizer.hpp"

#include <cstdint>
#include <memory>

#include "pattern.hpp"
#include "unicode.hpp"

namespace minnow {
namespace {

template <class Append> std::u32string each(std::u32string_view text, Append append) {
    std::u32string found;
    for (char32_t point : text) append(found, point);
    return found;
}

std::u32string strip_accents(std::u32string_view text) {
    return each(text, [](std::u32string& found, char32_t point) { append_stripped(found, point); });
}

std::u32string lowercase(std::u32string text) {
    return each(text, [](std::u32string& found, char32_t point) { append_lower(found, point); });
}

Normalizer bert_steps(const Json& stated) {
    bool clean = stated.get("clean_text", true), ideographs = stated.get("handle_chinese_chars", true);
    bool lower = stated.get("lowercase", true), strip = stated.get("strip_accents", lower);
    return [=](std::u32string text) {
        if (clean)
            text = each(text, [](std::u32string& found, char32_t point) {
                unsigned classes = class_of(point);
                if (!(classes & kDropped)) found += classes & kWhite ? U' ' : point;
            });
        if (ideographs)
            text = each(text, [](std::u32string& found, char32_t point) {
                if (class_of(point) & kIdeograph) found += {U' ', point, U' '};
                else found += point;
            });
        if (strip) text = strip_accents(text);
        return lower ? lowercase(std::move(text)) : text;
    };
}

Normalizer strip_ends(const Json& stated) {
    bool left = stated.get("strip_left", true), right = stated.get("strip_right", true);
    return [=](std::u32string text) {
        size_t start = 0, end = text.size();
        while (left && start < end && class_of(text[start]) & kWhite) ++start;
        while (right && end > start && class_of(text[end - 1]) & kWhite) --end;
        return text.substr(start, end - start);
    };
}

Normalizer replace(const Json& stated) {
    auto pattern = std::make_shared<Pattern>(Pattern::read(stated["pattern"]));
    auto content = decode_utf8(stated.get<std::string>("content"));
    return [=](std::u32string text) {
        std::u32string found;
        size_t done = 0;
        for (auto& [start, end] : pattern->matches(text)) {
            found.append(text, done, start - done).append(content);
            done = end;
        }
        return found.append(text, done, text.npos);
    };
}

std::string decode_base64(const std::string& text) {
    static const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    unsigned bits = 0, count = 0;
    for (char c : text.substr(0, text.find('='))) {
        size_t value = letters.find(c);
        if (value == letters.npos) throw Error("its precompiled_charsmap is not base64");
        bits = bits << 6 | static_cast<unsigned>(value);
        if ((count += 6) >= 8) bytes += static_cast<char>(bits >> (count -= 8));
    }
    return bytes;
}

// The table of SentencePiece: a double-array trie as darts-clone stores it, and the texts it points to.
class CharacterMap {
public:
    explicit CharacterMap(const std::string& blob) {
        auto word = [&](size_t at) {
            uint32_t value = 0;
            for (size_t n = 4; n--;) value = value << 8 | static_cast<unsigned char>(blob[at + n]);
            return value;
        };
        size_t size = blob.size() < 4 ? blob.size() : word(0);
        if (size == 0 || size % 4 || size > blob.size() - 4)
            throw Error("its precompiled_charsmap is damaged");
        for (size_t at = 4; at < 4 + size; at += 4) units_.push_back(word(at));
        texts_ = blob.substr(4 + size);
    }

    std::u32string normalize(std::u32string_view text) const {
        std::u32string found;
        for (size_t start = 0, end; start < text.size(); start = end) {
            end = cluster_end(text, start);
            std::string cluster = end - start < 6 ? encode_utf8(text.substr(start, end - start)) : "";
            if (!cluster.empty() && cluster.size() < 6 && append(found, cluster)) continue;
            for (size_t at = start; at < end; ++at)
                if (!append(found, encode_utf8(text.substr(at, 1)))) found += text[at];
        }
        return found;
    }

private:
    static uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

    // Appends what stands for the shortest key that the text begins with, if there is one.
    bool append(std::u32string& found, const std::string& text) const {
        size_t at = offset(units_[0]);
        for (unsigned char byte : text) {
            at ^= byte;
            if (byte == 0 || at >= units_.size() || (units_[at] & (1u << 31 | 0xff)) != byte) return false;
            uint32_t unit = units_[at];
            at ^= offset(unit);
            if (!(unit >> 8 & 1)) continue;
            size_t start = at < units_.size() ? units_[at] & 0x7fffffff : texts_.size();
            if (start >= texts_.size()) throw Error("its precompiled_charsmap points outside itself");
            found += decode_utf8(texts_.c_str() + start);
            return true;
        }
        return false;
    }

    std::vector<uint32_t> units_;
    std::string texts_;
};

Normalizer character_map(const Json& stated) {
    auto map = std::make_shared<CharacterMap>(decode_base64(stated.get<std::string>("precompiled_charsmap")));
    return [=](std::u32string text) { return map->normalize(text); };
}

Normalizer in_sequence(const Json& stated) {
    std::vector<Normalizer> steps;
    for (auto& step : stated.get<Json::Array>("normalizers")) steps.push_back(read_normalizer(step));
    return [=](std::u32string text) {
        for (auto& step : steps) text = step(std::move(text));
        return text;
    };
}

}  // namespace

Normalizer lowercase_step() { return lowercase; }

Normalizer read_normalizer(const Json& stated) {
    if (stated.is<std::nullptr_t>()) return [](std::u32string text) { return text; };
    auto& type = stated.get<std::string>("type");
    if (type == "Sequence") return in_sequence(stated);
    if (type == "BertNormalizer") return bert_steps(stated);
    if (type == "Lowercase") return lowercase;
    if (type == "StripAccents")
        return [](std::u32string text) {
            return each(text, [](std::u32string& found, char32_t point) {
                if (!(character_class(point) & kAccent)) found += point;
            });
        };
    if (type == "Strip") return strip_ends(stated);
    if (type == "Replace") return replace(stated);
    if (type == "Precompiled") return character_map(stated);
    if (type == "Prepend")
        return [before = decode_utf8(stated.get<std::string>("prepend"))](std::u32string text) {
            return text.empty() ? text : before + text;
        };
    if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD")
        return [compatible = type[2] == 'K', composed = type.back() == 'C'](std::u32string text) {
            return normal_form(text, compatible, composed);
        };
    throw Error("its normalizer has a step " + type + ", which is missing here");
}

}  // namespace minnow
