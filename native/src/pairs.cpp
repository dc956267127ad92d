#include "pairs.hpp"

#include <algorithm>
#include <cstdint>

namespace minnow {
namespace {

// Reads one kind of post-processor; returns whether it puts tokens around a pair.
bool read_template(const Json& post, PairTemplate& found) {
    auto type = post.get<std::string>("type", "none");
    if (type == "none" || type == "ByteLevel") return false;
    if (type == "Sequence") {
        size_t kinds = 0;
        for (auto& part : post.get<Json::Array>("processors")) kinds += read_template(part, found);
        if (kinds > 1) throw Error("its post_processor has several templates of pairs, which is missing here");
        return kinds == 1;
    }
    if (type == "BertProcessing" || type == "RobertaProcessing") {
        int second = type == "BertProcessing";
        int cls = post.get<Json::Array>("cls").at(1).integer("cls"), sep = post.get<Json::Array>("sep").at(1).integer("sep");
        found.around = {{{{cls}, {0}}, {{sep}, {0}}, {{sep}, {second}}}};
        if (!second) found.around[1] = {{sep, sep}, {0, 0}};
        found.types = {0, second};
        return true;
    }
    if (type != "TemplateProcessing") throw Error("its post_processor is " + type + ", which is missing here");
    size_t texts = 0;
    for (auto& part : post.get<Json::Array>("pair")) {
        if (auto& text = part["Sequence"]; text.is<Json::Object>()) {
            if (texts == 2 || text.get<std::string>("id") != (texts ? "B" : "A"))
                throw Error("its post_processor does not put the first text before the second, once each");
            found.types[texts++] = text["type_id"].integer("type_id");
            continue;
        }
        auto& token = part["SpecialToken"];
        for (auto& id : post["special_tokens"][token.get<std::string>("id")].get<Json::Array>("ids")) {
            found.around[texts].ids.push_back(id.integer("ids"));
            found.around[texts].types.push_back(token["type_id"].integer("type_id"));
        }
    }
    if (texts != 2) throw Error("its post_processor leaves a text of a pair out");
    return true;
}

}  // namespace

PairTokenizer::PairTokenizer(const std::string& path, const Manifest& manifest)
    : PairTokenizer(read_json(path), path, manifest) {}

PairTokenizer::PairTokenizer(const Json& file, const std::string& path, const Manifest& manifest)
    : reranking_(manifest.reranking.value()), tokenizer_(file, path, manifest.lowercase, manifest.max_tokens),
      limit_(manifest.max_tokens) {
    if (auto& chat = reranking_.chat) {
        const std::string some = "0", others = "1 2 3 4";
        Ids one = tokenizer_.pieces(chat->join(some, some, ""), SIZE_MAX);
        Ids other = tokenizer_.pieces(chat->join(others, others, ""), SIZE_MAX);
        auto end = std::mismatch(one.rbegin(), one.rend(), other.rbegin(), other.rend()).first;
        closing_.assign(end.base(), one.end());
    } else {
        try {
            read_template(file["post_processor"], template_);
        } catch (const std::exception& error) {
            throw Error(path + " is not a tokenizer of pairs that can be used here: " + error.what() + ".");
        }
    }
    size_t around = reranking_.chat ? closing_.size() : template_.size();
    if (around >= limit_) throw Error(path + " is not a tokenizer that can be used here: its limit has no room for a token.");
    room_ = limit_ - around;
}

std::vector<Tokens> PairTokenizer::encode(const std::vector<Pair>& pairs, const std::string& prompt) const {
    std::vector<Tokens> found;
    Ids first;
    for (size_t n = 0; n < pairs.size(); ++n) {
        auto& [query, document] = pairs[n];
        if (reranking_.chat) {
            Ids ids = tokenizer_.pieces(reranking_.chat->join(query, document, prompt), limit_ + 1);
            if (ids.size() > limit_) {
                ids.resize(room_);
                ids.insert(ids.end(), closing_.begin(), closing_.end());
            }
            found.push_back({ids, {}});
        } else {
            if (!n || query != pairs[n - 1].first) first = tokenizer_.pieces(prompt + query, room_ + 1);
            Ids second = tokenizer_.pieces(document, room_ + 1);
            auto [one, two] = shares(first, second, {prompt + query, document}, n);
            found.push_back(join({first.begin(), first.begin() + one}, {second.begin(), second.begin() + two}));
        }
        if (found.back().ids.empty()) throw Error("Pair " + std::to_string(n) + " is empty, and this model adds no token.");
    }
    return found;
}

Tokens PairTokenizer::join(const Ids& first, const Ids& second) const {
    Tokens found;
    auto append = [&](const Ids& ids, const Ids& types) {
        found.ids.insert(found.ids.end(), ids.begin(), ids.end());
        found.types.insert(found.types.end(), types.begin(), types.end());
    };
    append(template_.around[0].ids, template_.around[0].types);
    append(first, Ids(first.size(), template_.types[0]));
    append(template_.around[1].ids, template_.around[1].types);
    append(second, Ids(second.size(), template_.types[1]));
    append(template_.around[2].ids, template_.around[2].types);
    if (!reranking_.segments) found.types.clear();
    return found;
}

// Returns how many tokens each text keeps. The texts are tokenised to one token more than there is room for.
std::pair<size_t, size_t> PairTokenizer::shares(const Ids& first, const Ids& second, const Pair& pair,
                                                size_t number) const {
    size_t one = first.size(), two = second.size();
    if (one + two <= room_) return {one, two};
    if (reranking_.only_second) {
        if (one < room_) return {one, room_ - one};
        throw Error("Pair " + std::to_string(number) + ": the first text has " +
                    std::to_string(tokenizer_.pieces(pair.first, SIZE_MAX).size()) +
                    " tokens, which leaves no room for the second, of " + std::to_string(room_) +
                    " for both. Shorten it.");
    }
    if (one > room_ && two > room_) {  // the longer one gets the odd token
        one = tokenizer_.pieces(pair.first, SIZE_MAX).size();
        two = tokenizer_.pieces(pair.second, SIZE_MAX).size();
    }
    size_t less = std::min({one, two, room_ / 2}), more = room_ - less;
    return one > two ? std::pair(more, less) : std::pair(less, more);
}

}  // namespace minnow
