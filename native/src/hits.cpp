// Hits: read from the file, folded, reranked, as JSON: src/minnow/search/{hits,folding}.py.
#include <algorithm>

#include "expressions.hpp"
#include "pattern.hpp"
#include "search.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

const size_t kPassageWords = 40, kLongestPassage = 240;
const double kLeastShare = 0.8;

Json numeric(double value) { return {value}; }
template <class Number> Json numeric(std::optional<Number> value) { return value ? Json{static_cast<double>(*value)} : Json{}; }

// Returns the words of a text with single spaces between, without the punctuation around them.
std::u32string plain_words(const std::string& text) {
    static const Pattern before(kBefore, Pattern::kPython), behind(kBehind, Pattern::kPython);
    auto nothing = [](auto&) { return std::u32string(); };
    std::u32string folded = fold_case(normal_form(decode_utf8(text), true, true));
    return join(split(behind.replace(before.replace(folded, nothing), nothing)));
}

std::string beginning(const std::u32string& text) {
    auto words = join(split(std::u32string_view(text).substr(0, 4 * kLongestPassage)));
    if (words.size() <= kLongestPassage && text.size() <= 4 * kLongestPassage) return encode_utf8(words);
    auto cut = words.substr(0, kLongestPassage);
    return encode_utf8(cut.substr(0, std::min(cut.rfind(U' '), cut.size())) + U"…");
}

Json::Object chunk_facts(const Chunk& chunk) {
    return {{"id", numeric(chunk.id)}, {"number", numeric(chunk.number)}, {"headings", texts_of(chunk.headings)},
            {"text", {chunk.text}}, {"body", numeric(chunk.body)}, {"start", numeric(chunk.start)}};
}

Json chunks_of(const std::vector<Chunk>& chunks) {
    Json::Array found;
    for (auto& chunk : chunks) found.push_back({chunk_facts(chunk)});
    return {std::move(found)};
}

}  // namespace

std::vector<Hit> fold_hits(std::vector<Hit> hits) {
    std::vector<std::pair<std::u32string, Hit>> kept;
    for (auto& hit : hits) {
        std::u32string words = U" " + plain_words(hit.text) + U" ";
        auto same = std::find_if(kept.begin(), kept.end(), [&](auto& one) {
            return one.first.find(words) != one.first.npos && words.size() >= kLeastShare * one.first.size();
        });
        if (same != kept.end()) same->second.folded.push_back(std::move(hit));
        else kept.emplace_back(std::move(words), std::move(hit));
    }
    std::vector<Hit> found;
    for (auto& [words, hit] : kept) found.push_back(std::move(hit));
    return found;
}

std::vector<Hit> rerank(TextRanker& ranker, const std::string& query, std::vector<Hit> hits, size_t k) {
    std::vector<std::string> texts;
    for (auto& hit : hits) texts.push_back(hit.text);
    std::vector<Hit> found;
    if (hits.empty()) return found;
    for (auto& row : ranker.rank(query, texts, k)) {
        found.push_back(std::move(hits.at(row.index)));
        found.back().score = row.score;
        found.back().rerank_score = row.score;
        found.back().first_rank = row.index + 1;
    }
    return found;
}

Json Hit::facts(size_t rank) const {
    Json::Object found = {{"rank", numeric(rank)}, {"id", numeric(id)}, {"score", numeric(score)},
                          {"vector_score", numeric(vector_score)}, {"keyword_score", numeric(keyword_score)}, {"source", {source}}};
    for (auto& field : chunk_facts(*this))
        if (field.first != "id") found.push_back(std::move(field));
    found.emplace_back("passage", Json{passage});
    found.emplace_back("metadata", metadata);
    found.emplace_back("rerank_score", numeric(rerank_score));
    found.emplace_back("first_rank", numeric(first_rank));
    found.emplace_back("before", chunks_of(before));
    found.emplace_back("after", chunks_of(after));
    Json::Array repeats;
    for (auto& hit : folded)
        repeats.push_back({Json::Object{{"id", numeric(hit.id)}, {"source", {hit.source}},
                                        {"number", numeric(hit.number)}, {"score", numeric(hit.score)}}});
    found.emplace_back("folded", Json{std::move(repeats)});
    return {std::move(found)};
}

Hit Index::read_chunk(int64_t id) {
    if (!chunks_) {
        chunks_.emplace(file_.select(kChunks, "WHERE id = ?"));
        passages_.emplace(file_.database, "SELECT source, number, headings, text, body, start, metadata FROM passages WHERE id = ?");
    }
    if (chunks_->with(id).next()) file_.check_row(kChunks, *chunks_);
    chunks_->reset();
    if (!passages_->with(id).next()) file_.fail_damaged("chunk " + std::to_string(id) + " is missing");
    auto& row = *passages_;
    Hit hit;
    hit.id = id, hit.source = row.text(0), hit.number = row.integer(1), hit.text = row.text(3);
    hit.body = static_cast<size_t>(std::max<int64_t>(0, row.integer(4)));
    hit.start = static_cast<size_t>(std::max<int64_t>(0, row.integer(5)));
    std::string name = "Chunk " + std::to_string(id);
    hit.metadata = parse_json(row.bytes(6), name);
    if (!hit.metadata.is<Json::Object>()) file_.fail_damaged(name + " has other metadata than an object");
    if (!row.is_null(2)) {
        hit.headings = texts_in(parse_json(row.bytes(2), name), "headings");
    } else if (hit.body) {
        std::u32string line = decode_utf8(hit.text).substr(0, hit.body - 1);
        for (size_t at = 0, end; at != line.npos; at = end == line.npos ? end : end + 3) {
            end = line.find(U" > ", at);
            hit.headings.push_back(encode_utf8(line.substr(at, end - at)));
        }
    }
    passages_->reset();
    return hit;
}

std::vector<Hit> Index::read_hits(const Ranking& ranking, const std::string& query, const Ranking* vectors, const Ranking* words) {
    std::vector<Hit> hits;
    std::vector<std::u32string> pieces;
    std::vector<std::string> texts;
    for (int64_t id : ranking.ids) {
        hits.push_back(read_chunk(id));
        std::u32string text = decode_utf8(hits.back().text);
        pieces.push_back(text.substr(std::min(hits.back().body, text.size())));
        texts.push_back(encode_utf8(pieces.back()));
    }
    auto near = vectors ? scores_of(*vectors, ranking.ids) : std::vector<double>{};
    auto worded = words ? scores_of(*words, ranking.ids) : std::vector<double>{};
    auto shown = passages_of(texts, query, kPassageWords, keywords_.reader());
    for (size_t i = 0; i < hits.size(); ++i) {
        hits[i].score = ranking.scores[i];
        if (vectors) hits[i].vector_score = near[i];
        if (words) hits[i].keyword_score = worded[i];
        hits[i].passage = encode_utf8(join(split(decode_utf8(shown[i] ? *shown[i] : beginning(pieces[i])))));
    }
    return hits;
}

void Index::add_neighbours(Hit& hit, int count) {
    Statement row(file_.database, "SELECT first_chunk, chunks FROM documents WHERE id = (SELECT document FROM chunks WHERE id = ?)");
    if (!row.with(hit.id).next()) return;  // another process removed the document after the search
    Ids own;
    append_range(row.integer(0), row.integer(1), own);
    int64_t first = own.empty() ? hit.id : own.front(), last = own.empty() ? hit.id : own.back();
    for (int64_t id = std::max(first, hit.id - count); id < hit.id; ++id) hit.before.push_back(read_chunk(id));
    for (int64_t id = hit.id + 1; id <= std::min(last, hit.id + count); ++id) hit.after.push_back(read_chunk(id));
}

}  // namespace minnow
