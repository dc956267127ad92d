#include "tokenizer.hpp"

#include "unicode.hpp"

namespace minnow {

Tokenizer::Tokenizer(const std::string& path, bool lowercase_first, size_t max_tokens)
    : lowercase_first_(lowercase_first), room_(max_tokens) {
    Json file = read_json(path);
    try {
        configure(file);
    } catch (const Error& error) {
        throw Error(path + " is not a tokenizer that can be used here: " + error.what() + ".");
    }
}

void Tokenizer::configure(const Json& file) {
    auto expect = [&](const char* part, const std::string& type) {
        auto found = file[part].get<std::string>("type", "none");
        if (found != type) throw Error(std::string("its ") + part + " is " + found + ", not " + type);
    };
    expect("normalizer", "BertNormalizer");
    expect("pre_tokenizer", "BertPreTokenizer");
    expect("model", "WordPiece");
    const Json &steps = file["normalizer"], &model = file["model"];
    clean_ = steps.get("clean_text", true);
    space_ideographs_ = steps.get("handle_chinese_chars", true);
    lower_ = steps.get("lowercase", true);
    strip_ = steps.get("strip_accents", lower_);
    for (auto& [token, id] : model.get<Json::Object>("vocab")) vocabulary_[token] = id.integer(token);
    auto unknown = vocabulary_.find(model.get<std::string>("unk_token"));
    if (unknown == vocabulary_.end()) throw Error("its unknown token is not in its vocabulary");
    unknown_ = unknown->second;
    prefix_ = model.get<std::string>("continuing_subword_prefix", "##");
    longest_word_ = static_cast<size_t>(model.get("max_input_chars_per_word", 100.0));
    for (auto& row : file.get<Json::Array>("added_tokens")) {
        if (row.get("single_word", false)) throw Error("it has added tokens that are whole words");
        bool normalized = row.get("normalized", false);
        auto text = decode_utf8(row.get<std::string>("content"));
        if (normalized) text = normalize(text);
        if (!text.empty())
            (normalized ? normalized_ : raw_)[text[0]].push_back(
                {text, row["id"].integer("id"), row.get("lstrip", false), row.get("rstrip", false)});
    }
    set_template(file["post_processor"]);
    if (before_.size() + after_.size() > room_) throw Error("its limit has no room for a token");
    room_ -= after_.size();
}

void Tokenizer::set_template(const Json& post) {
    auto type = post.get<std::string>("type", "none");
    if (type == "BertProcessing") {
        for (auto& part : post.get<Json::Array>("cls"))
            if (part.is<double>()) before_ = {part.integer("cls")};
        for (auto& part : post.get<Json::Array>("sep"))
            if (part.is<double>()) after_ = {part.integer("sep")};
    } else if (type == "TemplateProcessing") {
        auto* side = &before_;
        for (auto& part : post.get<Json::Array>("single")) {
            if (!part["Sequence"].is<std::nullptr_t>()) { side = &after_; continue; }
            auto& name = part["SpecialToken"].get<std::string>("id");
            for (auto& id : post["special_tokens"][name].get<Json::Array>("ids"))
                side->push_back(id.integer("ids"));
        }
    } else if (type != "none") {
        throw Error("its post_processor is " + type);
    }
}

std::vector<int> Tokenizer::encode(std::string_view text) const {
    std::vector<int> ids = before_;
    split(decode_utf8(text), raw_, ids, [&](std::u32string_view part) {
        split(normalize(part), normalized_, ids, [&](std::u32string_view rest) { words(rest, ids); });
    });
    if (ids.size() > room_) ids.resize(room_);
    ids.insert(ids.end(), after_.begin(), after_.end());
    return ids;
}

std::u32string Tokenizer::normalize(std::u32string_view text) const {
    std::u32string now(text), next;
    auto step = [&](bool wanted, auto&& append) {
        if (!wanted) return;
        next.clear();
        for (char32_t point : now) append(point);
        now.swap(next);
    };
    auto lower = [&](char32_t point) { append_lower(next, point); };
    step(lowercase_first_, lower);
    step(clean_, [&](char32_t point) {
        unsigned classes = class_of(point);
        if (!(classes & kDropped)) next += classes & kWhite ? U' ' : point;
    });
    step(space_ideographs_, [&](char32_t point) {
        if (class_of(point) & kIdeograph) next += {U' ', point, U' '};
        else next += point;
    });
    step(strip_, [&](char32_t point) { append_stripped(next, point); });
    step(lower_, lower);
    return now;
}

// Extracts the added tokens of a text, the longest at each place, and passes on the text between them.
template <class Between>
void Tokenizer::split(std::u32string_view text, const AddedTokens& added, std::vector<int>& ids,
                      Between between) const {
    auto white = [&](size_t at) { return (class_of(text[at]) & kWhite) != 0; };
    size_t done = 0;
    for (size_t at = 0; at < text.size() && ids.size() < room_;) {
        const Added* longest = nullptr;
        if (auto row = added.find(text[at]); row != added.end())
            for (auto& token : row->second)
                if (text.compare(at, token.text.size(), token.text) == 0 &&
                    (!longest || token.text.size() > longest->text.size()))
                    longest = &token;
        if (!longest) { ++at; continue; }
        size_t start = at, stop = at += longest->text.size();
        while (longest->lstrip && start > done && white(start - 1)) --start;
        while (longest->rstrip && stop < text.size() && white(stop)) ++stop;
        if (start > done) between(text.substr(done, start - done));
        ids.push_back(longest->id);
        done = at = stop;
    }
    if (done < text.size()) between(text.substr(done));
}

void Tokenizer::words(std::u32string_view text, std::vector<int>& ids) const {
    size_t start = 0;
    for (size_t at = 0; at <= text.size() && ids.size() < room_; ++at) {
        unsigned ends = at == text.size() ? unsigned{kWhite}
                                          : class_of(text[at]) & (kWhite | kPunctuation);
        if (!ends) continue;
        if (at > start) word(text.substr(start, at - start), ids);
        if (!(ends & kWhite)) word(text.substr(at, 1), ids);
        start = at + 1;
    }
}

// Takes the longest piece in the vocabulary, then the next; without one, the whole word is unknown.
void Tokenizer::word(std::u32string_view word, std::vector<int>& ids) const {
    std::vector<int> pieces;
    std::string piece;
    for (size_t start = 0, end; start < word.size() && word.size() <= longest_word_; start = end) {
        std::vector<size_t> sizes;
        piece = start ? prefix_ : "";
        for (char32_t point : word.substr(start)) append_utf8(piece, point), sizes.push_back(piece.size());
        auto found = vocabulary_.end();
        for (end = word.size(); end > start; --end) {
            piece.resize(sizes[end - start - 1]);
            if ((found = vocabulary_.find(piece)) != vocabulary_.end()) break;
        }
        if (end == start) { pieces.clear(); break; }
        pieces.push_back(found->second);
    }
    if (pieces.empty()) pieces = {unknown_};
    ids.insert(ids.end(), pieces.begin(), pieces.end());
}

}  // namespace minnow
