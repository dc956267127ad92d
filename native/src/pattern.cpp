#include "pattern.hpp"

#include <algorithm>

#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

const size_t kMostCopies = 8;

bool is_word(char32_t point) { return point == U'_' || character_class(point) & (kLetter | kNumber); }

// Returns the character that expressions without case compare.
char32_t small(char32_t point) {
    if (point == 0x17f) return U's';
    if (point == 0x131) return U'i';
    std::u32string found;
    append_lower(found, point);
    return found[0];
}

}  // namespace

bool Pattern::Set::has(char32_t point) const {
    return (has_exactly(point) || (any_case && has_exactly(small(point)))) != negated;
}

bool Pattern::Set::has_exactly(char32_t point) const {
    bool found = false;
    for (auto& range : ranges) found = found || (point >= range.first && point <= range.last);
    if (!found && (letters || not_letters)) {
        unsigned classes = character_class(point);
        found = classes & letters || ~classes & not_letters;
    }
    if (!found && (white || not_white)) found = class_of(point) & kWhite ? white : not_white;
    if (!found && (space || not_space)) found = is_space(point) ? space : not_space;
    if (!found && (word || not_word)) found = is_word(point) ? word : not_word;
    if (!found && (digit || not_digit)) found = digit_of(point) >= 0 ? digit : not_digit;
    return found;
}

struct Pattern::Parser {
    std::u32string text;
    bool python;
    std::vector<std::string>& names;
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
            else repeated(found.back());
        }
        return found;
    }
    void repeated(std::vector<Node>& into) {
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
        if (many && take(U"?")) node.lazy = python ? true : (fail(), false);  // the shortest first
        if (many && take(U"+")) node.possessive = true;
        if (node.kind > Node::kGroup && many) fail();
        if (node.kind == Node::kSet || node.most == 1) return into.push_back(std::move(node));
        if (node.most > kMostCopies || node.number || node.possessive || !python) fail();
        size_t least = node.least, most = node.most;
        node.least = node.most = 1;
        for (size_t copy = 0; copy < least; ++copy) into.push_back(node);
        std::vector<Node> rest;  // each of the others only behind the one before it
        for (size_t copy = least; copy < most; ++copy) {
            Node optional = node;
            for (auto& choice : optional.choices) choice.insert(choice.end(), rest.begin(), rest.end());
            optional.least = 0;
            rest = {std::move(optional)};
        }
        into.insert(into.end(), rest.begin(), rest.end());
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
        if (python && point == U'$') { node.kind = Node::kEnd; return node; }
        if (python && point == U'\\' && take(U"b")) { node.kind = Node::kBoundary; return node; }
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
        else if (python && take(U"?<!")) node.kind = Node::kNotBehind;
        else if (python && take(U"?<=")) node.kind = Node::kBehind;
        else if (python && take(U"?P<")) {
            std::u32string name;
            for (char32_t point; (point = next()) != U'>';) name += point;
            node.number = names.size();
            names.push_back(encode_utf8(name));
        } else if (take(U"?i:")) any_case = true;
        else if (text.compare(at, 1, U"?") == 0) { if (!take(U"?:")) fail(); }
        else if (python) node.number = names.size(), names.emplace_back();
        node.choices = parse();
        for (auto& choice : node.choices)
            for (auto& inner : choice)
                if (node.kind >= Node::kBehind && (inner.kind != Node::kSet || inner.most != 1 || !inner.least)) fail();
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
        if (python) {
            set.any_case = true;
            if (first == last) set.ranges.push_back({minnow::small(first), minnow::small(first)});
            return;
        }
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
        if (python && kind == U's') return set.space = true, 0;
        if (python && kind == U'S') return set.not_space = true, 0;
        if (kind == U's') return set.white = true, 0;
        if (kind == U'S') return set.not_white = true, 0;
        if (python && kind == U'w') return set.word = true, 0;
        if (python && kind == U'W') return set.not_word = true, 0;
        if (python && kind == U'd') return set.digit = true, 0;
        if (python && kind == U'D') return set.not_digit = true, 0;
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

Pattern::Pattern(const std::string& expression, Syntax syntax) {
    Parser parser{decode_utf8(expression), syntax != kTokenizer, names_};
    parser.any_case = syntax == kPythonAnyCase;
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
size_t Pattern::match(std::u32string_view text, size_t at, const Rest* rest, Match& groups) {
    while (rest && rest->nodes && rest->at == rest->nodes->size()) rest = rest->then;
    if (!rest) return at;
    if (!rest->nodes) {
        auto before = std::exchange(groups[rest->number], {rest->at, at});
        size_t end = match(text, at, rest->then, groups);
        if (end == kNone) groups[rest->number] = before;
        return end;
    }
    const Node& node = (*rest->nodes)[rest->at];
    Rest next{rest->nodes, rest->at + 1, rest->then};
    if (node.kind == Node::kSet) {
        size_t count = 0;
        if (node.lazy) {
            for (; ; ++count) {
                size_t end = count < node.least ? kNone : match(text, at + count, &next, groups);
                if (end != kNone) return end;
                if (count == node.most || at + count == text.size() || !node.set.has(text[at + count])) return kNone;
            }
        }
        while (count < node.most && at + count < text.size() && node.set.has(text[at + count])) ++count;
        for (; count != kNone && count >= node.least; --count) {
            size_t end = match(text, at + count, &next, groups);
            if (end != kNone || node.possessive) return end;
        }
        return kNone;
    }
    if (node.kind >= Node::kBehind) return holds(node, text, at) ? match(text, at, &next, groups) : kNone;
    if (node.lazy && !node.least)
        if (size_t end = match(text, at, &next, groups); end != kNone) return end;
    bool inside = false;
    Rest closing{nullptr, at, &next, node.number};
    for (auto& choice : node.choices) {
        Rest first{&choice, 0, node.kind != Node::kGroup ? nullptr : node.number ? &closing : &next};
        size_t end = match(text, at, &first, groups);
        if (node.kind == Node::kGroup && end != kNone) return end;
        inside = inside || end != kNone;
    }
    if (node.kind == Node::kGroup) return node.least || node.lazy ? kNone : match(text, at, &next, groups);
    return inside == (node.kind == Node::kAhead) ? match(text, at, &next, groups) : kNone;
}

// Returns whether what stands before a place, or where it is, is as a node wants it.
bool Pattern::holds(const Node& node, std::u32string_view text, size_t at) {
    if (node.kind == Node::kEnd) return at == text.size();
    if (node.kind == Node::kBoundary)
        return (at > 0 && is_word(text[at - 1])) != (at < text.size() && is_word(text[at]));
    bool found = false;
    for (auto& choice : node.choices) {
        bool fits = choice.size() <= at;
        for (size_t i = 0; fits && i < choice.size(); ++i) fits = choice[i].set.has(text[at - choice.size() + i]);
        found = found || fits;
    }
    return found == (node.kind == Node::kBehind);
}

std::optional<Pattern::Match> Pattern::match_at(std::u32string_view text, size_t at) const {
    Match groups(names_.size(), {kNone, kNone});
    for (auto& choice : choices_) {
        Rest rest{&choice, 0, nullptr};
        size_t end = match(text, at, &rest, groups);
        if (end == kNone) continue;
        groups[0] = {at, end};
        return groups;
    }
    return std::nullopt;
}

std::optional<Pattern::Match> Pattern::find(std::u32string_view text, size_t from) const {
    for (; from <= text.size(); ++from)
        if (auto found = match_at(text, from)) return found;
    return std::nullopt;
}

std::u32string Pattern::replace(std::u32string_view text, const std::function<std::u32string(const Match&)>& make) const {
    std::u32string found;
    size_t done = 0;
    for (size_t at = 0; auto match = find(text, at);) {
        auto [start, end] = (*match)[0];
        found += std::u32string(text.substr(done, start - done)) + make(*match);
        done = end;
        at = end > start ? end : end + 1;
        if (at > text.size()) break;
    }
    return found += text.substr(done);
}

size_t Pattern::group(std::string_view name) const {
    auto found = std::find(names_.begin() + 1, names_.end(), name);
    return found == names_.end() ? kNone : found - names_.begin();
}

std::string Pattern::escape(std::string_view text) {
    std::string found;
    for (char c : text) {
        if (std::string_view("()[]{}?*+-|^$\\.&~# \t\n\r\v\f").find(c) != std::string_view::npos) found += '\\';
        found += c;
    }
    return found;
}

std::vector<std::pair<size_t, size_t>> Pattern::matches(std::u32string_view text) const {
    std::vector<std::pair<size_t, size_t>> found;
    if (!literal_.empty()) {
        for (size_t at = 0; (at = text.find(literal_, at)) != text.npos; at += literal_.size())
            found.emplace_back(at, at + literal_.size());
        return found;
    }
    Match groups(names_.size());
    for (size_t at = 0; at < text.size();) {
        size_t end = kNone;
        for (auto& choice : choices_) {
            Rest rest{&choice, 0, nullptr};
            if ((end = match(text, at, &rest, groups)) != kNone) break;
        }
        if (end != kNone && end > at) found.emplace_back(at, end), at = end;
        else ++at;
    }
    return found;
}

}  // namespace minnow
