#include "pattern.hpp"

#include <algorithm>

#include "unicode.hpp"

namespace minnow {
namespace {

const size_t kNone = static_cast<size_t>(-1);

}  // namespace

bool Pattern::Set::has(char32_t point) const {
    bool found = false;
    for (auto& range : ranges) found = found || (point >= range.first && point <= range.last);
    if (!found && (letters || not_letters)) {
        unsigned classes = character_class(point);
        found = classes & letters || ~classes & not_letters;
    }
    if (!found && (white || not_white)) found = class_of(point) & kWhite ? white : not_white;
    return found != negated;
}

struct Pattern::Parser {
    std::u32string text;
    size_t at = 0;
    bool any_case = false;

    [[noreturn]] void fail() const {
        throw Error("its pattern " + encode_utf8(text) + " has a part that is unknown here, at character " +
                    std::to_string(at));
    }
    bool take(std::u32string_view part) {
        return text.compare(at, part.size(), part) == 0 ? at += part.size(), true : false;
    }
    char32_t next() {
        if (at >= text.size()) fail();
        return text[at++];
    }
    Choices parse() {
        Choices found(1);
        while (at < text.size() && text[at] != U')') {
            if (take(U"|")) found.emplace_back();
            else found.back().push_back(repeated());
        }
        return found;
    }
    Node repeated() {
        Node node = atom();
        bool many = true;
        if (take(U"?")) node.least = 0;
        else if (take(U"*")) node.least = 0, node.most = kNone;
        else if (take(U"+")) node.most = kNone;
        else if (take(U"{")) {
            node.least = number();
            node.most = !take(U",") ? node.least : at < text.size() && text[at] == U'}' ? kNone : number();
            if (!take(U"}") || node.most < node.least) fail();
        } else many = false;
        if (many && take(U"?")) fail();  // the shortest first
        if (many && take(U"+")) node.possessive = true;
        if (node.kind != Node::kSet && (node.most > 1 || node.possessive)) fail();
        if (node.kind > Node::kGroup && many) fail();
        return node;
    }
    size_t number() {
        size_t found = 0, start = at;
        while (at < text.size() && text[at] >= U'0' && text[at] <= U'9' && at - start < 6)
            found = found * 10 + (text[at++] - U'0');
        if (at == start) fail();
        return found;
    }
    Node atom() {
        Node node;
        char32_t point = next();
        if (point == U'(') return group();
        if (point == U'[') return set();
        if (point == U'\\') { escaped(node.set); return node; }
        if (point == U'.') {
            node.set.ranges = {{U'\n', U'\n'}};
            node.set.negated = true;
            return node;
        }
        if (std::u32string_view(U"^$*+?{}])").find(point) != std::u32string_view::npos) --at, fail();
        add(node.set, point, point);
        return node;
    }
    Node group() {
        Node node;
        node.kind = Node::kGroup;
        bool before = any_case;
        if (take(U"?!")) node.kind = Node::kNotAhead;
        else if (take(U"?=")) node.kind = Node::kAhead;
        else if (take(U"?i:")) any_case = true;
        else if (text.compare(at, 1, U"?") == 0 && !take(U"?:")) fail();
        node.choices = parse();
        any_case = before;
        if (!take(U")")) fail();
        return node;
    }
    Node set() {
        Node node;
        node.set.negated = take(U"^");
        for (bool first = true; first || !take(U"]"); first = false) {
            char32_t point = next();
            if (point == U'[' || point == U'&') --at, fail();  // sets of sets
            if (point == U'\\') { point = escaped(node.set); if (!point) continue; }
            char32_t last = point;
            if (at + 1 < text.size() && text[at] == U'-' && text[at + 1] != U']') {
                ++at;
                last = next();
                if (last == U'\\') { Set other; last = escaped(other); }
                if (last < point) fail();
            }
            add(node.set, point, last);
        }
        return node;
    }
    void add(Set& set, char32_t first, char32_t last) const {
        set.ranges.push_back({first, last});
        if (!any_case) return;
        if (first != last || first > 127) throw Error("its pattern ignores the case of more than single letters");
        char32_t small = first >= U'A' && first <= U'Z' ? first + 32 : first;
        if (small < U'a' || small > U'z') return;
        set.ranges.push_back({small, small});
        set.ranges.push_back({small - 32, small - 32});
        if (small == U's') set.ranges.push_back({0x17f, 0x17f});   // the long s
        if (small == U'k') set.ranges.push_back({0x212a, 0x212a});  // the sign of kelvin
    }
    // Adds a class to the set and returns 0, or adds a character and returns it.
    char32_t escaped(Set& set) {
        char32_t kind = next(), point = kind;
        if (kind == U's') return set.white = true, 0;
        if (kind == U'S') return set.not_white = true, 0;
        if (kind == U'w') return set.letters |= kWord, 0;
        if (kind == U'W') return set.not_letters |= kWord, 0;
        if (kind == U'p' || kind == U'P') {
            unsigned letters = kMark;
            if (take(U"{L}")) letters = kLetter;
            else if (take(U"{N}")) letters = kNumber;
            else if (!take(U"{M}")) fail();
            return (kind == U'p' ? set.letters : set.not_letters) |= letters, 0;
        }
        if (kind == U'r') point = U'\r';
        else if (kind == U'n') point = U'\n';
        else if (kind == U't') point = U'\t';
        else if ((kind >= U'0' && kind <= U'9') || (kind >= U'A' && kind <= U'Z') || (kind >= U'a' && kind <= U'z')) fail();
        return add(set, point, point), point;
    }
};

Pattern::Pattern(const std::string& expression) {
    Parser parser{decode_utf8(expression)};
    choices_ = parser.parse();
    if (parser.at < parser.text.size()) parser.fail();
}

Pattern Pattern::read(const Json& stated) {
    if (auto& plain = stated["String"]; plain.is<std::string>()) {
        Pattern found("");
        found.literal_ = decode_utf8(plain.as<std::string>("String"));
        if (found.literal_.empty()) throw Error("a step of it looks for an empty text");
        return found;
    }
    return Pattern(stated.get<std::string>("Regex"));
}

// Returns the end of the first match of the rest of an expression, as backtracking finds it, or kNone.
size_t Pattern::match(std::u32string_view text, size_t at, const Rest* rest) {
    while (rest && rest->at == rest->nodes->size()) rest = rest->then;
    if (!rest) return at;
    const Node& node = (*rest->nodes)[rest->at];
    Rest next{rest->nodes, rest->at + 1, rest->then};
    if (node.kind == Node::kSet) {
        size_t count = 0;
        while (count < node.most && at + count < text.size() && node.set.has(text[at + count])) ++count;
        for (; count != kNone && count >= node.least; --count) {
            size_t end = match(text, at + count, &next);
            if (end != kNone || node.possessive) return end;
        }
        return kNone;
    }
    bool inside = false;
    for (auto& choice : node.choices) {
        Rest first{&choice, 0, node.kind == Node::kGroup ? &next : nullptr};
        size_t end = match(text, at, &first);
        if (node.kind == Node::kGroup && end != kNone) return end;
        inside = inside || end != kNone;
    }
    if (node.kind == Node::kGroup) return node.least ? kNone : match(text, at, &next);
    return inside == (node.kind == Node::kAhead) ? match(text, at, &next) : kNone;
}

std::vector<std::pair<size_t, size_t>> Pattern::matches(std::u32string_view text) const {
    std::vector<std::pair<size_t, size_t>> found;
    if (!literal_.empty()) {
        for (size_t at = 0; (at = text.find(literal_, at)) != text.npos; at += literal_.size())
            found.emplace_back(at, at + literal_.size());
        return found;
    }
    for (size_t at = 0; at < text.size();) {
        size_t end = kNone;
        for (auto& choice : choices_) {
            Rest rest{&choice, 0, nullptr};
            if ((end = match(text, at, &rest)) != kNone) break;
        }
        if (end != kNone && end > at) found.emplace_back(at, end), at = end;
        else ++at;
    }
    return found;
}

}  // namespace minnow
