#include "search.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "times.hpp"
#include "unicode.hpp"

namespace minnow {
namespace {

const size_t kLarge = 100'000;  // chunks that codes are for
const int64_t kLeastRow = 4;   // bytes
const size_t kDepth = 100, kMostHits = 1000, kCandidates = 50;
const int kMostContext = 100;
const char* const kHint = "Columns are file, name, source, metadata, heading, text, number, start, headings; values of "
                          "the metadata are metadata->>'name'.";
// Only the columns that mean the same in the view `passages`: `id` there is that of a chunk.
const char* const kByDocument = "SELECT first_chunk, chunks FROM "
                                "(SELECT file, name, source, metadata, first_chunk, chunks FROM sources) AS passages";
const int64_t kLast = days_of(10000, 1, 1) * kDay - 1;  // the last millisecond that SQLite has a name for
const std::string kDate = "coalesce(json_extract(metadata, '$.date'), json_extract(metadata, '$.modified'))";
const std::string kIsDate = kDate + " GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'";

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
        else if (name == "sidecar") found.sidecar = value.as<std::string>(name);
        else if (name == "fold") found.fold = value.as<bool>(name);
        else if (name == "context") found.context = value.integer(name);
        else if (name == "candidates") { if (!value.is<std::nullptr_t>()) found.candidates = value.integer(name); }
        else if (name == "paths") found.paths = texts_in(value, name);
        else throw Error("There is no option " + name + " of a search.");
    }
    if (found.context > kMostContext) throw Error("context should be from 0 to 100 chunks.");
    if (found.fusion != "scores" && found.fusion != "rrf") throw Error("fusion should be scores or rrf, not " + found.fusion + ".");
    if (found.sidecar != "auto" && found.sidecar != "codes" && found.sidecar != "never")
        throw Error("sidecar should be auto, codes or never, not " + found.sidecar + ".");
    return found;
}

Index::Index(const std::string& file, TextModel* model)
    : file_(file, IndexFile::Mode::kRead), model_(model), keywords_(file_.database, kChunkKeywords, &file_),
      matrix_(file_.fingerprint.width, file_.fingerprint.similarity, file_.encoding), codes_(file_.fingerprint.width) {
    if (model) file_.fingerprint.check(model->fingerprint(), file);
}

size_t Index::size() {
    return file_.reading([&] {
        check_documents();
        return static_cast<size_t>(file_.database.number("SELECT sum(chunks) FROM documents").value_or(0));
    });
}

size_t count_candidates(const TextRanker* ranker, std::optional<size_t> candidates, size_t k) {
    if (candidates && !ranker) throw Error("candidates is how many texts a reranker reads, and there is no reranker.");
    size_t count = ranker ? candidates.value_or(std::max(kCandidates, k)) : k;
    if (count < k || count > kMostHits) throw Error("candidates should be from k to 1000, not " + std::to_string(count) + ".");
    return count;
}

std::vector<Hit> Index::search(const std::string& query, size_t k, const SearchOptions& asked, TextRanker* ranker) {
    if (k < 1 || k > kMostHits) throw Error("k should be from 1 to 1000, not " + std::to_string(k) + ".");
    size_t count = count_candidates(ranker, asked.candidates, k);
    std::string mode = file_.reading([&] { return mode_of(asked); });
    std::vector<float> vector = asked.vector;
    if (mode != "keyword") {
        if (vector.empty()) vector = encode_with(model_, file_, {query}, Role::kQuery);
        if (vector.size() != static_cast<size_t>(matrix_.width()))
            throw Error("The question's vector has " + std::to_string(vector.size()) + " numbers, and those of the index " +
                        std::to_string(matrix_.width()) + ".");
        if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); }))
            throw Error("The question's vector holds NaN or infinity.");
        if (matrix_.kind() == Similarity::kCosine) normalize(vector.data(), matrix_.width());
    }
    auto hits = file_.reading([&] {
        auto found = find(query, vector.data(), count, asked, mode);
        if (!asked.fold) return found;
        for (size_t depth = count;;) {
            bool more = found.size() == depth && depth < kMostHits;
            auto folded = fold_hits(std::move(found));
            if (folded.size() >= count || !more) {
                folded.resize(std::min(count, folded.size()));
                return folded;
            }
            depth = std::min(2 * depth, kMostHits);
            found = find(query, vector.data(), depth, asked, mode);
        }
    });
    if (ranker) hits = rerank(*ranker, query, std::move(hits), k);
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
    size_t depth = mode == "vector" ? k : std::max(kDepth, k);
    Ranking near = nearest(vector, depth, ids, asked.sidecar);
    if (mode == "vector") return read_hits(near, query, &near, nullptr);
    Ranking words = keywords_.search(query, kMostHits, ids), first = words;
    first.ids.resize(std::min(depth, first.size())), first.scores.resize(first.ids.size());
    Ids both = near.ids, known = near.ids, others;
    std::sort(known.begin(), known.end());
    for (int64_t id : first.ids)
        if (!std::binary_search(known.begin(), known.end(), id)) others.push_back(id);
    std::sort(others.begin(), others.end());
    both.insert(both.end(), others.begin(), others.end());
    auto nearness = near.scores, beside = compare(vector, others);
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
        end = std::min(period_of(asked.until, "until").second, kLast);
        add("julianday(" + kDate + ") < julianday('" + iso_of(end, ' ') + "')");
        if (!asked.since.empty() && end <= first) throw Error("since " + asked.since + " is after until " + asked.until + ".");
    }
    std::optional<Ids> found;
    auto narrow_by = [&](const std::string& condition, const Json& params) {
        std::vector<std::pair<int64_t, int64_t>> ranges;
        try {
            ranges = select_where(file_, kByDocument, condition, params, kHint);
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
    auto& database = file_.database;
    last_chunk_ = database.number("SELECT max(id) FROM chunks").value_or(0);
    most_chunks_ = std::min(last_chunk_, *database.number("PRAGMA page_count") * *database.number("PRAGMA page_size") / kLeastRow);
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
        if (found.size() > static_cast<size_t>(most_chunks_)) file_.fail_damaged("its documents have more chunks than there are");
    }
    return found;
}

void Index::append_range(int64_t first, int64_t count, Ids& ids) {
    if (first < 1 || first > last_chunk_ || count < 0 || count > most_chunks_) file_.fail_damaged("a document cannot have its chunks");
    for (int64_t id = first; id < first + count; ++id) ids.push_back(id);
}

// Finds the nearest chunks; with codes, nearly all of them.
Ranking Index::nearest(const float* vector, size_t count, const Ids* allowed, const std::string& sidecar) {
    int64_t changes = file_.changes();
    if (changes != seen_) ids_ = chunk_ids();
    seen_ = changes;
    bool wants_codes = sidecar == "codes" || (sidecar == "auto" && ids_.size() >= kLarge);
    if (wants_codes && matrix_.kind() == Similarity::kCosine && codes_.refresh(file_, ids_)) {
        auto [ids, sums] = codes_.candidates(vector, count, allowed);
        std::vector<double> scores;
        for (size_t enough; (enough = count_to_compare(sums, scores, count)) > scores.size();) {
            auto more = compare(vector, Ids(ids.begin() + static_cast<std::ptrdiff_t>(scores.size()),
                                            ids.begin() + static_cast<std::ptrdiff_t>(enough)));
            scores.insert(scores.end(), more.begin(), more.end());
        }
        ids.resize(scores.size());
        return best(ids, scores, count);
    }
    refresh_matrix(matrix_, file_, kVectors, ids_);
    return matrix_.nearest(vector, count, allowed);
}

std::vector<double> Index::compare(const float* vector, const Ids& ids) {
    if (matrix_.ids() == ids_) return matrix_.scores(vector, ids);
    auto vectors = read_vectors(file_, kVectors, ids);
    std::vector<double> found;
    for (size_t i = 0; i < ids.size(); ++i)
        found.push_back(exact_score(vector, &vectors[i * static_cast<size_t>(matrix_.width())], matrix_.width(), matrix_.kind()));
    return found;
}

}  // namespace minnow
