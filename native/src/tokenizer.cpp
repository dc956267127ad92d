#include "tokenizer.hpp"

#include <algorithm>

#include "unicode.hpp"

namespace minnow {
namespace {

// Returns whether a step, or one of a sequence of steps, is of this kind.
template <class Is> bool any_step(const Json& stated, std::string_view inner, Is is) {
    if (stated.get<std::string>("type", "none") != "Sequence") return is(stated);
    for (auto& step : stated.get<Json::Array>(inner))
        if (any_step(step, inner, is)) return true;
    return false;
}

// The library puts the mark `first` where a word's characters came from the start of the original text. A word here
// knows whether it begins the normalized text, which is not the same where characters were dropped before it.
void check_first_mark(const Json& file) {
    auto marks = [](const Json& step) { return step.get<std::string>("prepend_scheme", "") == "first"; };
    auto &divides = file["pre_tokenizer"], &normalizer = file["normalizer"];
    if (!any_step(divides, "pretokenizers", marks)) return;
    bool drops = any_step(normalizer, "normalizers", [](const Json& step) {
        auto type = step.get<std::string>("type", "none");
        return type == "BertNormalizer" || type == "StripAccents" || (type == "Strip" && step.get("strip_left", true)) ||
               (type == "Replace" && step.get<std::string>("content", "").empty());
    });
    if (drops) throw Error("its Metaspace has the prepend_scheme first after a normalizer that drops characters");
    bool later = !marks(divides) && !marks(divides.get<Json::Array>("pretokenizers")[0]);
    if (later && !normalizer.is<std::nullptr_t>())
        throw Error("its Metaspace has the prepend_scheme first after a normalizer and another pre-tokenizer");
}

}  // namespace

Tokenizer::Tokenizer(const std::string& path, bool lowercase_first, size_t max_tokens)
    : Tokenizer(read_json(path), path, lowercase_first, max_tokens) {}

Tokenizer::Tokenizer(const Json& file, const std::string& path, bool lowercase_first, size_t max_tokens)
    : room_(max_tokens) {
    try {
        configure(file, lowercase_first);
    } catch (const Error& error) {
        throw Error(path + " is not a tokenizer that can be used here: " + error.what() + ".");
    }
}

void Tokenizer::configure(const Json& file, bool lowercase_first) {
    normalize_ = read_normalizer(file["normalizer"]);
    if (lowercase_first)
        normalize_ = [lower = lowercase_step(), then = normalize_](std::u32string text) {
            return then(lower(std::move(text)));
        };
    divide_ = read_pre_tokenizer(file["pre_tokenizer"]);
    check_first_mark(file);
    model_ = read_model(file["model"]);
    for (auto& row : file.get<Json::Array>("added_tokens")) add_token(row);
    set_template(file["post_processor"]);
    if (before_.size() + after_.size() > room_) throw Error("its limit has no room for a token");
    room_ -= before_.size() + after_.size();
}

void Tokenizer::add_token(const Json& stated) {
    if (stated.get("special", false)) special_.push_back(stated["id"].integer("id"));
    bool normalized = stated.get("normalized", false);
    auto text = decode_utf8(stated.get<std::string>("content"));
    if (normalized) text = normalize_(text);
    if (text.empty()) return;
    (normalized ? normalized_ : raw_)[text[0]].push_back(
        {text, stated["id"].integer("id"), stated.get("lstrip", false), stated.get("rstrip", false),
         stated.get("single_word", false)});
}

// Puts the tokens of a post-processor around those that are there already.
void Tokenizer::set_template(const Json& post) {
    auto type = post.get<std::string>("type", "none");
    std::vector<int> before, after;
    if (type == "Sequence") {
        for (auto& part : post.get<Json::Array>("processors")) set_template(part);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
        for (auto& part : post.get<Json::Array>("cls"))
            if (part.is<double>()) before = {part.integer("cls")};
        for (auto& part : post.get<Json::Array>("sep"))
            if (part.is<double>()) after = {part.integer("sep")};
    } else if (type == "TemplateProcessing") {
        auto* side = &before;
        for (auto& part : post.get<Json::Array>("single")) {
            if (!part["Sequence"].is<std::nullptr_t>()) {
                if (side == &after) throw Error("its post_processor repeats the text");
                side = &after;
                continue;
            }
            auto& name = part["SpecialToken"].get<std::string>("id");
            for (auto& id : post["special_tokens"][name].get<Json::Array>("ids"))
                side->push_back(id.integer("ids"));
        }
        if (side == &before) throw Error("its post_processor leaves the text out");
    } else if (type != "none" && type != "ByteLevel") {
        throw Error("its post_processor is " + type + ", which is missing here");
    }
    before_.insert(before_.begin(), before.begin(), before.end());
    after_.insert(after_.end(), after.begin(), after.end());
}

Ids Tokenizer::encode(std::string_view text) const {
    Ids ids = before_, found = pieces(text, room_);
    ids.insert(ids.end(), found.begin(), found.end());
    ids.insert(ids.end(), after_.begin(), after_.end());
    return ids;
}

size_t Tokenizer::excess(std::string_view text) const {
    size_t whole = pieces(text, static_cast<size_t>(-1)).size();
    return whole > room_ ? whole - room_ : 0;
}

Ids Tokenizer::pieces(std::string_view text, size_t limit) const {
    Ids ids;
    split(decode_utf8(text), raw_, ids, limit, [&](std::u32string_view part, bool first) {
        split(normalize_(std::u32string(part)), normalized_, ids, limit, [&](std::u32string_view rest, bool begins) {
            words(std::u32string(rest), first && begins, ids, limit);
        });
    });
    if (ids.size() > limit) ids.resize(limit);
    return ids;
}

size_t Tokenizer::prompt_tokens(std::string_view prompt) const {
    std::vector<int> ids = encode(prompt);
    bool closed = !ids.empty() && std::find(special_.begin(), special_.end(), ids.back()) != special_.end();
    return ids.size() - closed;
}

// Extracts the added tokens of a text, the longest at each place, and passes on the text between them.
template <class Between>
void Tokenizer::split(std::u32string_view text, const AddedTokens& added, Ids& ids, size_t limit,
                      Between between) const {
    auto white = [&](size_t at) { return (class_of(text[at]) & kWhite) != 0; };
    auto in_word = [&](size_t at) { return at < text.size() && character_class(text[at]) & kWord; };
    size_t done = 0;
    for (size_t at = 0; at < text.size() && ids.size() < limit;) {
        const Added* longest = nullptr;
        if (auto row = added.find(text[at]); row != added.end())
            for (auto& token : row->second)
                if (text.compare(at, token.text.size(), token.text) == 0 &&
                    (!longest || token.text.size() > longest->text.size()))
                    longest = &token;
        if (!longest) { ++at; continue; }
        size_t start = at, stop = at += longest->text.size();
        if (longest->single_word && ((start > 0 && in_word(start - 1)) || in_word(stop))) continue;
        while (longest->lstrip && start > done && white(start - 1)) --start;
        while (longest->rstrip && stop < text.size() && white(stop)) ++stop;
        if (start > done) between(text.substr(done, start - done), done == 0);
        ids.push_back(longest->id);
        done = stop;
    }
    if (done < text.size()) between(text.substr(done), done == 0);
}

void Tokenizer::words(std::u32string text, bool first, Ids& ids, size_t limit) const {
    for (auto& word : divide_({{std::move(text), first}})) {
        if (ids.size() >= limit) return;
        model_->append_ids(word.text, ids);
    }
}

}  // namespace minnow
