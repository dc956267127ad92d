#include "model.hpp"

#include <algorithm>
#include <cstdint>
#include <queue>
#include <unordered_map>

#include "unicode.hpp"

namespace minnow {
namespace {

using Vocabulary = std::unordered_map<std::string, int>;

Vocabulary read_vocabulary(const Json& stated) {
    Vocabulary found;
    for (auto& [token, id] : stated.get<Json::Object>("vocab")) found[token] = id.integer(token);
    return found;
}

int required(const Vocabulary& vocabulary, const std::string& token) {
    auto found = vocabulary.find(token);
    if (found == vocabulary.end()) throw Error("its unknown token is not in its vocabulary");
    return found->second;
}

// Returns the ids of the 256 tokens <0x00> to <0xFF>, or nothing if the model has no byte_fallback.
std::vector<int> read_bytes(const Json& stated, const Vocabulary& vocabulary) {
    std::vector<int> ids;
    if (!stated.get("byte_fallback", false)) return ids;
    const char digits[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; ++byte) {
        auto found = vocabulary.find(std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">");
        if (found == vocabulary.end()) throw Error("its byte_fallback lacks some of the 256 bytes");
        ids.push_back(found->second);
    }
    return ids;
}

void append_bytes(const std::string& text, const std::vector<int>& bytes, std::vector<int>& ids) {
    for (unsigned char byte : text) ids.push_back(bytes[byte]);
}

class WordPiece : public Model {
public:
    explicit WordPiece(const Json& stated)
        : vocabulary_(read_vocabulary(stated)),
          unknown_(required(vocabulary_, stated.get<std::string>("unk_token"))),
          prefix_(stated.get<std::string>("continuing_subword_prefix", "##")),
          longest_(static_cast<size_t>(stated.get("max_input_chars_per_word", 100.0))) {}

    // Takes the longest piece in the vocabulary, then the next; without one, the whole word is unknown.
    void append_ids(std::u32string_view word, std::vector<int>& ids) const override {
        std::vector<int> pieces;
        std::string piece;
        for (size_t start = 0, end; start < word.size() && word.size() <= longest_; start = end) {
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

private:
    Vocabulary vocabulary_;
    int unknown_;
    std::string prefix_;
    size_t longest_;
};

// Merges neighbours, the pair that was learned first before the others, and of equals the leftmost.
class Bpe : public Model {
public:
    explicit Bpe(const Json& stated)
        : vocabulary_(read_vocabulary(stated)), bytes_(read_bytes(stated, vocabulary_)),
          fuses_(stated.get("fuse_unk", false)), whole_words_(stated.get("ignore_merges", false)) {
        for (auto name : {"continuing_subword_prefix", "end_of_word_suffix"})
            if (!stated.get<std::string>(name, "").empty())
                throw Error(std::string("its BPE model has a ") + name + ", which is missing here");
        if (stated["dropout"].is<double>() && stated.get<double>("dropout") > 0)
            throw Error("its BPE model has dropout, so it has no fixed ids");
        if (auto& unknown = stated["unk_token"]; unknown.is<std::string>())
            unknown_ = required(vocabulary_, unknown.as<std::string>("unk_token"));
        int rank = 0;
        for (auto& merge : stated.get<Json::Array>("merges")) {
            auto [first, second] = pair_of(merge);
            auto a = vocabulary_.find(first), b = vocabulary_.find(second), both = vocabulary_.find(first + second);
            if (a == vocabulary_.end() || b == vocabulary_.end() || both == vocabulary_.end())
                throw Error("it merges \"" + first + "\" and \"" + second + "\", which its vocabulary lacks");
            merges_[key(a->second, b->second)] = {rank++, both->second};
        }
    }

    void append_ids(std::u32string_view word, std::vector<int>& ids) const override {
        if (whole_words_)
            if (auto whole = vocabulary_.find(encode_utf8(word)); whole != vocabulary_.end()) {
                ids.push_back(whole->second);
                return;
            }
        std::vector<int> parts = letters(word);
        merge(parts);
        ids.insert(ids.end(), parts.begin(), parts.end());
    }

private:
    struct Merge { int rank, id; };
    struct Waiting {
        int rank;
        size_t at;
        int id;
        bool operator<(const Waiting& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };

    static uint64_t key(int first, int second) { return static_cast<uint64_t>(first) << 32 | static_cast<uint32_t>(second); }

    static std::pair<std::string, std::string> pair_of(const Json& merge) {
        if (merge.is<Json::Array>()) {
            auto& both = merge.as<Json::Array>("merges");
            if (both.size() == 2) return {both[0].as<std::string>("merges"), both[1].as<std::string>("merges")};
        } else if (auto& both = merge.as<std::string>("merges"); both.find(' ') != both.npos) {
            return {both.substr(0, both.find(' ')), both.substr(both.find(' ') + 1)};
        }
        throw Error("its merges are not pairs");
    }

    std::vector<int> letters(std::u32string_view word) const {
        std::vector<int> ids;
        bool unknown_before = false;
        for (char32_t point : word) {
            std::string letter = encode_utf8({&point, 1});
            auto found = vocabulary_.find(letter);
            bool known = found != vocabulary_.end();
            if (known) ids.push_back(found->second);
            else if (!bytes_.empty()) append_bytes(letter, bytes_, ids);
            else if (unknown_ >= 0 && !(unknown_before && fuses_)) ids.push_back(unknown_);
            unknown_before = !known;
        }
        return ids;
    }

    void merge(std::vector<int>& parts) const {
        std::vector<size_t> before(parts.size()), after(parts.size());
        std::priority_queue<Waiting> waiting;
        const size_t end = parts.size();
        auto offer = [&](size_t at) {
            if (at >= end || after[at] >= end) return;
            auto found = merges_.find(key(parts[at], parts[after[at]]));
            if (found != merges_.end()) waiting.push({found->second.rank, at, found->second.id});
        };
        for (size_t n = 0; n < end; ++n) before[n] = n - 1, after[n] = n + 1;
        for (size_t n = 0; n < end; ++n) offer(n);
        while (!waiting.empty()) {
            auto [rank, at, id] = waiting.top();
            waiting.pop();
            if (parts[at] < 0 || after[at] >= end) continue;
            size_t gone = after[at];
            auto found = merges_.find(key(parts[at], parts[gone]));
            if (found == merges_.end() || found->second.id != id) continue;  // merged otherwise since
            parts[at] = id;
            parts[gone] = -1;
            after[at] = after[gone];
            if (after[at] < end) before[after[at]] = at;
            offer(before[at]);
            offer(at);
        }
        parts.erase(std::remove(parts.begin(), parts.end(), -1), parts.end());
    }

    Vocabulary vocabulary_;
    std::vector<int> bytes_;
    std::unordered_map<uint64_t, Merge> merges_;
    int unknown_ = -1;
    bool fuses_, whole_words_;
};

// Takes the pieces with the best sum of scores.
class Unigram : public Model {
public:
    explicit Unigram(const Json& stated) {
        for (auto& row : stated.get<Json::Array>("vocab")) {
            auto& pair = row.as<Json::Array>("vocab");
            if (pair.size() != 2) throw Error("its vocab has a piece without a score");
            auto& piece = pair[0].as<std::string>("vocab");
            vocabulary_[piece] = static_cast<int>(scores_.size());
            longest_ = std::max(longest_, piece.size());
            scores_.push_back(pair[1].as<double>("vocab"));
        }
        if (scores_.empty()) throw Error("its vocab is empty");
        if (stated["unk_id"].is<double>()) unknown_ = stated["unk_id"].integer("unk_id");
        if (unknown_ < 0) throw Error("its Unigram model has no unknown token");
        if (static_cast<size_t>(unknown_) >= scores_.size()) throw Error("its unknown token is not in its vocabulary");
        unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - 10;
        bytes_ = read_bytes(stated, vocabulary_);
    }

    void append_ids(std::u32string_view word, std::vector<int>& ids) const override {
        std::string text = encode_utf8(word);
        std::vector<Step> best(text.size() + 1);
        for (size_t start = 0, size; start < text.size(); start += size) {
            size = character_size(text, start);
            bool single = false;
            auto reach = [&](size_t end, int id, double score) {
                score += best[start].score;
                if (best[end].start != kNowhere && score <= best[end].score) return;
                best[end] = {score, start, id};
            };
            for (size_t end = start + size; end <= text.size() && end - start <= longest_;) {
                auto found = vocabulary_.find(text.substr(start, end - start));
                if (found != vocabulary_.end()) {
                    reach(end, found->second, scores_[found->second]);
                    single = single || end == start + size;
                }
                if (end == text.size()) break;
                end += character_size(text, end);
            }
            if (!single) reach(start + size, unknown_, unknown_score_);
        }
        std::vector<std::string> pieces;
        bool unknown_after = false;
        for (size_t end = text.size(), start; end > 0; end = start) {
            start = best[end].start;
            auto piece = text.substr(start, end - start);
            bool unknown = best[end].id == unknown_;
            if (unknown && unknown_after) pieces.back().insert(0, piece);  // neighbours are one unknown
            else pieces.push_back(piece);
            unknown_after = unknown;
        }
        for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
            auto found = vocabulary_.find(*piece);
            if (found != vocabulary_.end()) ids.push_back(found->second);
            else if (!bytes_.empty()) append_bytes(*piece, bytes_, ids);
            else ids.push_back(unknown_);
        }
    }

private:
    static constexpr size_t kNowhere = static_cast<size_t>(-1);
    struct Step { double score = 0; size_t start = kNowhere; int id = 0; };

    static size_t character_size(const std::string& text, size_t at) {
        unsigned char lead = text[at];
        return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    }

    Vocabulary vocabulary_;
    std::vector<double> scores_;
    std::vector<int> bytes_;
    size_t longest_ = 0;
    int unknown_ = -1;
    double unknown_score_;
};

}  // namespace

std::unique_ptr<Model> read_model(const Json& stated) {
    auto type = stated.get<std::string>("type", stated["merges"].is<Json::Array>() ? "BPE" : "none");
    if (type == "WordPiece") return std::make_unique<WordPiece>(stated);
    if (type == "BPE") return std::make_unique<Bpe>(stated);
    if (type == "Unigram") return std::make_unique<Unigram>(stated);
    throw Error("its model is " + type + ", which is missing here");
}

}  // namespace minnow
