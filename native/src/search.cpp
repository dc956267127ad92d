#include "search.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "expressions.hpp"
#include "pattern.hpp"
#include "times.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

const size_t kDepth = 100, kMostHits = 1000, kPassageWords = 40, kLongestPassage = 240;
const int kMostContext = 100;
const double kLeastShare = 0.8;
const char* const kHint = "Columns are file, name, source, metadata, heading, text, number, start, headings; values of "
                          "the metadata are metadata->>'name'.";
const std::string kDate = "coalesce(json_extract(metadata, '$.date'), json_extract(metadata, '$.modified'))";
const std::string kIsDate = kDate + " GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'";

Json numeric(double value) { return {value}; }
Json numeric(std::optional<double> value) { return value ? Json{*value} : Json{}; }

// Returns whether a pattern of paths matches a name, or a folder that it lies in: src/minnow/search/scope.py.
bool matches(std::u32string_view pattern, std::u32string_view name) {
    if (pattern.empty()) return name.empty() || name[0] == U'/';
    if (pattern.substr(0, 2) == U"**") {
        bool folders = pattern.substr(0, 3) == U"**/";
        auto rest = pattern.substr(folders ? 3 : 2);
        for (size_t at = 0; at <= name.size(); ++at)
            if ((!folders || !at || name[at - 1] == U'/') && matches(rest, name.substr(at))) return true;
        return false;
    }
    if (pattern[0] == U'*') {
        for (size_t at = 0; at <= name.size(); ++at) {
            if (matches(pattern.substr(1), name.substr(at))) return true;
            if (at < name.size() && name[at] == U'/') return false;
        }
        return false;
    }
    bool fits = !name.empty() && (pattern[0] == U'?' ? name[0] != U'/' : name[0] == pattern[0]);
    return fits && matches(pattern.substr(1), name.substr(1));
}

std::u32string read_path(const std::string& stated) {
    std::u32string pattern = decode_utf8(stated);
    if (pattern.substr(0, 2) == U"./") pattern = pattern.substr(2);
    while (!pattern.empty() && pattern.back() == U'/') pattern.pop_back();
    if (pattern.empty()) throw Error("A pattern of paths is empty; give one such as 'docs/*.md'.");
    return pattern.find(U'/') == pattern.npos ? U"**/" + pattern : pattern;
}

std::pair<int64_t, int64_t> period_of(const std::string& moment, const char* name) {
    if (auto found = read_period(moment)) return *found;
    throw Error(std::string(name) + " should be a date such as 2024-05-31, 2024-05 or 2024, not '" + moment + "'.");
}

// Returns the words of a text with single spaces between, without the punctuation around them.
std::u32string plain_words(const std::string& text) {
    static const Pattern before(kBefore, Pattern::kPython), behind(kBehind, Pattern::kPython);
    auto nothing = [](auto&) { return std::u32string(); };
    std::u32string folded = fold_case(normal_form(decode_utf8(text), true, true));
    return join(split(behind.replace(before.replace(folded, nothing), nothing)));
}

// Returns hits without those that repeat a better one, which has them in `folded`: src/minnow/search/folding.py.
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

std::vector<float> encode_with(TextModel* model, const IndexFile& file, const std::vector<std::string>& texts, Role role) {
    if (!model) throw Error("This needs the bundle that " + file.path + " was made with (" + file.fingerprint.shown() + ").");
    auto found = model->encode(texts, role);
    size_t whole = static_cast<size_t>(model->width()), kept = static_cast<size_t>(file.fingerprint.width);
    for (size_t row = 1; whole > kept && row < texts.size(); ++row)  // the file keeps the first numbers of each
        std::copy_n(found.begin() + static_cast<std::ptrdiff_t>(row * whole), kept, found.begin() + static_cast<std::ptrdiff_t>(row * kept));
    if (whole > kept && found.size() == texts.size() * whole) found.resize(texts.size() * kept);
    if (found.size() != texts.size() * kept) throw Error("The model's vectors have another length than those of " + file.path + ".");
    if (!std::all_of(found.begin(), found.end(), [](float x) { return std::isfinite(x); })) throw Error("A vector is not finite.");
    int width = file.fingerprint.width;
    for (size_t row = 0; row < texts.size() && file.fingerprint.similarity == Similarity::kCosine; ++row) normalize(&found[row * width], width);
    return found;
}

SearchOptions SearchOptions::read(const Json& stated) {
    SearchOptions found;
    auto text = [&](const Json& value, const std::string& name) { return value.is<std::nullptr_t>() ? "" : value.as<std::string>(name); };
    for (auto& [name, value] : stated.as<Json::Object>("options")) {
        if (name == "mode") found.mode = text(value, name);
        else if (name == "where") { if (!value.is<std::nullptr_t>()) found.where = value.as<std::string>(name); }
        else if (name == "params") found.params = value;
        else if (name == "since") found.since = text(value, name);
        else if (name == "until") found.until = text(value, name);
        else if (name == "fusion") found.fusion = value.as<std::string>(name);
        else if (name == "fold") found.fold = value.as<bool>(name);
        else if (name == "context") found.context = value.integer(name);
        else if (name == "paths") found.paths = texts_in(value, name);
        else throw Error("There is no option " + name + " of a search.");
    }
    if (found.context > kMostContext) throw Error("context should be from 0 to 100 chunks.");
    if (found.fusion != "scores" && found.fusion != "rrf") throw Error("fusion should be scores or rrf, not " + found.fusion + ".");
    return found;
}

Json Hit::facts(size_t rank) const {
    Json::Object found = {{"rank", numeric(rank)}, {"id", numeric(id)}, {"score", numeric(score)},
                          {"vector_score", numeric(vector_score)}, {"keyword_score", numeric(keyword_score)}, {"source", {source}}};
    for (auto& field : chunk_facts(*this))
        if (field.first != "id") found.push_back(std::move(field));
    found.emplace_back("passage", Json{passage});
    found.emplace_back("metadata", metadata);
    found.emplace_back("before", chunks_of(before));
    found.emplace_back("after", chunks_of(after));
    Json::Array repeats;
    for (auto& hit : folded)
        repeats.push_back({Json::Object{{"id", numeric(hit.id)}, {"source", {hit.source}},
                                        {"number", numeric(hit.number)}, {"score", numeric(hit.score)}}});
    found.emplace_back("folded", Json{std::move(repeats)});
    return {std::move(found)};
}

Index::Index(const std::string& file, TextModel* model)
    : file_(file, IndexFile::Mode::kRead), model_(model), keywords_(file_.database, kChunkKeywords, &file_),
      matrix_(file_.fingerprint.width, file_.fingerprint.similarity) {
    if (model) file_.fingerprint.check(model->fingerprint(), file);
}

size_t Index::size() {
    return file_.reading([&] {
        check_documents();
        return static_cast<size_t>(file_.database.number("SELECT sum(chunks) FROM documents").value_or(0));
    });
}

std::vector<Hit> Index::search(const std::string& query, size_t k, const SearchOptions& asked) {
    if (k < 1 || k > kMostHits) throw Error("k should be from 1 to 1000, not " + std::to_string(k) + ".");
    std::string mode = file_.reading([&] { return mode_of(asked); });
    std::vector<float> vector = asked.vector;
    if (mode != "keyword") {
        if (vector.empty()) vector = encode_with(model_, file_, {query}, Role::kQuery);
        if (vector.size() != static_cast<size_t>(matrix_.width()))
            throw Error("The question's vector has " + std::to_string(vector.size()) + " numbers, and those of the index " +
                        std::to_string(matrix_.width()) + ".");
        if (matrix_.kind() == Similarity::kCosine) normalize(vector.data(), matrix_.width());
    }
    auto hits = file_.reading([&] {
        auto found = find(query, vector.data(), k, asked, mode);
        if (!asked.fold) return found;
        for (size_t depth = k;;) {
            bool more = found.size() == depth && depth < kMostHits;
            auto folded = fold_hits(std::move(found));
            if (folded.size() >= k || !more) {
                folded.resize(std::min(k, folded.size()));
                return folded;
            }
            depth = std::min(2 * depth, kMostHits);
            found = find(query, vector.data(), depth, asked, mode);
        }
    });
    if (asked.context)
        file_.reading([&] { for (auto& hit : hits) add_neighbours(hit, asked.context); });
    return hits;
}

std::string Index::mode_of(const SearchOptions& asked) {
    std::string mode = asked.mode;
    if (mode.empty()) {
        auto stored = file_.fact("search");
        mode = stored ? parse_json(*stored, "The way of searching of " + file_.path).get<std::string>("mode") : "hybrid";
    }
    if (mode != "vector" && mode != "keyword" && mode != "hybrid")
        throw Error("mode should be vector, keyword or hybrid, not " + mode + ".");
    return mode;
}

std::vector<Hit> Index::find(const std::string& query, const float* vector, size_t k, const SearchOptions& asked,
                             const std::string& mode) {
    check_documents();
    auto some = allowed(asked);
    const Ids* ids = some ? &*some : nullptr;
    if (mode != "vector") check_keywords();
    if (mode == "keyword") {
        Ranking words = keywords_.search(query, k, ids);
        return read_hits(words, query, nullptr, &words);
    }
    refresh();
    size_t depth = mode == "vector" ? k : std::max(kDepth, k);
    Ranking near = matrix_.nearest(vector, depth, ids);
    if (mode == "vector") return read_hits(near, query, &near, nullptr);
    Ranking words = keywords_.search(query, kMostHits, ids), first = words;
    first.ids.resize(std::min(depth, first.size())), first.scores.resize(first.ids.size());
    Ids both = near.ids, known = near.ids, others;
    std::sort(known.begin(), known.end());
    for (int64_t id : first.ids)
        if (!std::binary_search(known.begin(), known.end(), id)) others.push_back(id);
    std::sort(others.begin(), others.end());
    both.insert(both.end(), others.begin(), others.end());
    auto nearness = near.scores, beside = matrix_.scores(vector, others);
    nearness.insert(nearness.end(), beside.begin(), beside.end());
    Ranking fused = asked.fusion == "rrf" ? fuse_ranks(near, first, k)
                                          : best(both, hybrid_scores(nearness, scores_of(words, both), matrix_.kind()), k);
    Ranking similar = best(both, nearness, both.size());
    return read_hits(fused, query, &similar, &words);
}

std::optional<Index::Ids> Index::allowed(const SearchOptions& asked) {
    std::string where;
    Json path_names;
    auto add = [&](const std::string& condition) { where += (where.empty() ? "(" : " AND (") + condition + ")"; };
    if (!asked.paths.empty()) {
        std::vector<std::u32string> patterns;
        for (auto& path : asked.paths) patterns.push_back(read_path(path));
        Json::Array names;
        Statement rows(file_.database, "SELECT path FROM files");
        while (rows.next())
            if (std::any_of(patterns.begin(), patterns.end(), [&](auto& one) { return matches(one, decode_utf8(rows.bytes(0))); }))
                names.push_back({rows.text(0)});
        add("file IN (SELECT value FROM json_each(:minnow_paths))");
        path_names = {Json::Object{{"minnow_paths", {to_json({names})}}}};
    }
    int64_t first = 0, end = 0;
    if (!asked.since.empty() || !asked.until.empty()) add(kIsDate);
    if (!asked.since.empty()) {
        first = period_of(asked.since, "since").first;
        add("julianday(" + kDate + ") >= julianday('" + iso_of(first, ' ') + "')");
    }
    if (!asked.until.empty()) {
        end = period_of(asked.until, "until").second;
        add("julianday(" + kDate + ") < julianday('" + iso_of(end, ' ') + "')");
        if (!asked.since.empty() && end <= first) throw Error("since " + asked.since + " is after until " + asked.until + ".");
    }
    std::optional<Ids> found;
    auto narrow_by = [&](const std::string& condition, const Json& params) {
        std::vector<std::pair<int64_t, int64_t>> ranges;
        try {
            ranges = select_where(file_, "SELECT first_chunk, chunks FROM sources", condition, params, kHint);
        } catch (const Error& error) {  // the condition reads the texts of all chunks
            if (std::string(error.what()).find("no such column") == std::string::npos) throw;
            file_.read_table(kChunks, [](auto&) {});
            ranges = select_where(file_, "SELECT id, 1 FROM passages", condition, params, kHint);
        }
        Ids ids;
        for (auto& [start, count] : ranges) append_range(start, count, ids);
        narrow(found, std::move(ids));
    };
    if (!where.empty()) narrow_by(where, path_names);
    if (asked.where) narrow_by(*asked.where, asked.params);
    return found;
}

void Index::check_documents() {
    last_chunk_ = file_.database.number("SELECT max(id) FROM chunks").value_or(0);
    std::string now;
    Statement rows(file_.database, "SELECT rows, total FROM sums WHERE name IN ('files', 'documents') ORDER BY name");
    while (rows.next()) now += rows.text(0) + " " + rows.text(1) + ";";
    if (now == checked_) return;
    file_.read_table(kFiles, [](auto&) {});
    file_.read_table(kDocuments, [](auto&) {});
    checked_ = now;
}

void Index::check_keywords() {
    int64_t changes = file_.changes();
    if (changes == keywords_seen_) return;
    file_.check_keywords();
    keywords_seen_ = changes;
}

Index::Ids Index::chunk_ids() {
    Ids found;
    Statement rows(file_.database, "SELECT first_chunk, chunks FROM documents WHERE chunks > 0 ORDER BY first_chunk");
    while (rows.next()) {
        append_range(rows.integer(0), rows.integer(1), found);
        if (found.size() > static_cast<size_t>(last_chunk_)) file_.fail_damaged("its documents have more chunks than there are");
    }
    return found;
}

void Index::append_range(int64_t first, int64_t count, Ids& ids) {
    if (first < 1 || first > last_chunk_ || count < 0 || count > last_chunk_) file_.fail_damaged("a document cannot have its chunks");
    for (int64_t id = first; id < first + count; ++id) ids.push_back(id);
}

void Index::refresh() {
    int64_t changes = file_.changes();
    if (changes == seen_) return;
    refresh_matrix(matrix_, file_, kVectors, chunk_ids());
    seen_ = changes;
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
