#include "memory.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "expressions.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

const double kHighestBackground = 0.95;

// Returns the tags of memories in the form that the file stores.
std::string tags_of(const std::vector<std::string>& tags) {
    std::set<std::string> sorted;
    for (auto& tag : tags) sorted.insert(stripped(tag));
    return to_python_json({sorted.begin(), sorted.end()});
}

// Returns whether a text has a word such as "today", which means another time on another day.
bool is_relative(const std::string& text) {
    auto words = plain_words_of(text);
    return std::any_of(words.begin(), words.end(), [](auto& word) {
        return std::find(std::begin(kRelative), std::end(kRelative), word) != std::end(kRelative);
    });
}

// Makes the file first if the options ask for that; returns the path.
const std::string& prepared(const std::string& path, TextModel* model, const MemoryOptions& options) {
    if (model && options.writable && options.create) IndexFile::create(path, *model);
    return path;
}

}  // namespace

Memory::Memory(const std::string& file, TextModel* model, const MemoryOptions& options)
    : file_(prepared(file, model, options), options.writable ? IndexFile::Mode::kWrite : IndexFile::Mode::kRead),
      model_(model), options_(options), matrix_(file_.fingerprint.width, file_.fingerprint.similarity, file_.encoding),
      words_(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "The words of memories"),
      keywords_([this]() -> const Database& {
          make_words_table(words_);
          words_.run("CREATE VIEW words AS SELECT rowid AS id, text FROM texts");
          return words_;
      }(), kMemoryKeywords, nullptr, question_words()) {
    if (model) file_.fingerprint.check(model->fingerprint(), file);
    bool there = file_.reading([&] { return file_.database.has_table("memories"); });
    if (there) return;
    if (!options.writable) throw Error(file + " holds no memories.");
    file_.writing([&] { file_.create_tables("memories"); });
}

int64_t Memory::now() const {
    if (options_.clock) return options_.clock();
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// --- remembering ---

std::vector<Item> Memory::remember(std::vector<Observation> observations) {
    std::vector<std::string> texts;
    for (auto& seen : observations) {
        seen.check();
        texts.push_back(seen.text);
        if (size_t excess = model_ ? model_->excess(seen.text) : 0)
            throw Error("The text '" + seen.text.substr(0, 60) + "' has " + std::to_string(excess) +
                        " tokens more than the model takes. Remember it in parts.");
    }
    auto vectors = texts.empty() ? std::vector<float>{} : encode_with(model_, file_, texts, Role::kDocument);
    double base = background(), least = base + options_.duplicate * (1 - base);
    int64_t time = now();
    int width = matrix_.width();
    try {
        return file_.writing([&] {
            refresh();
            std::set<int64_t> written;
            Ids ids;
            for (size_t n = 0; n < observations.size(); ++n) {
                auto& seen = observations[n];
                int64_t at = seen.at.value_or(time);
                float* vector = &vectors[n * width];
                auto blob = encode_vector(vector, width, file_.encoding);
                if (matrix_.kind() != Similarity::kCosine) normalize(vector, width);
                if (auto same = find_repeated(seen, at, vector, least)) {
                    merge(*same, seen, at);
                    ids.push_back(same->id);
                } else {
                    ids.push_back(add(seen, at, blob));
                    std::string_view bytes(reinterpret_cast<const char*>(blob.data()), blob.size());
                    matrix_.add(ids.back(), bytes);
                }
                written.insert(ids.back());
            }
            changed(written);
            return read_items(ids);
        });
    } catch (...) {
        seen_ = -1;
        matrix_.clear();
        throw;
    }
}

std::optional<Item> Memory::find_repeated(const Observation& seen, int64_t at, const float* vector, double least) {
    std::string kind = seen.sources.empty() ? "observation" : "insight";
    if (!seen.session.empty() || least > 1.1) return std::nullopt;
    auto similar = matrix_.similar(vector, least);
    std::sort(similar.begin(), similar.end(), [](auto& a, auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
    for (auto& [cosine, id] : similar) {
        auto found = read_items({id});
        if (found.empty()) continue;
        Item& item = found[0];
        bool may = item.kind == kind && std::find(seen.sources.begin(), seen.sources.end(), id) == seen.sources.end() &&
                   item.session.empty() && item.speaker == seen.speaker;
        if (!may) continue;
        if (std::abs(at - item.created) > 12 * kHour && is_relative(seen.text)) continue;
        if (say_the_same(seen.text, item.text, keywords_.reader())) return item;
    }
    return std::nullopt;
}

int64_t Memory::add(const Observation& seen, int64_t at, const std::vector<uint8_t>& blob) {
    auto& database = file_.database;
    Statement(database, "INSERT INTO memories (text, kind, importance, created, used, times, tags, wordings) "
                        "VALUES (?, ?, ?, ?, ?, 1, ?, '[]')")
        .with(seen.text, seen.sources.empty() ? "observation" : "insight", seen.importance, at, at, tags_of(seen.tags)).run();
    int64_t id = database.last_id();
    file_.write_checksum(kMemories, id);
    Statement(database, "INSERT INTO memory_vectors VALUES (?, ?, 0)").with(id, blob).run();
    file_.write_checksum(kMemoryVectors, id);
    link(id, seen.sources);
    if (!seen.speaker.empty() || !seen.session.empty()) {
        file_.create_tables("memory_turns");
        Statement(database, "INSERT INTO memory_turns VALUES (?, ?, ?, NULL)").with(id, seen.speaker, seen.session).run();
        file_.write_checksum(kMemoryTurns, id);
    }
    return id;
}

void Memory::merge(const Item& item, const Observation& seen, int64_t at) {
    auto wordings = item.wordings;
    std::string text = stripped(seen.text);
    if (text != stripped(item.text) && std::find(wordings.begin(), wordings.end(), text) == wordings.end()) wordings.push_back(text);
    auto tags = item.tags;
    tags.insert(tags.end(), seen.tags.begin(), seen.tags.end());
    Statement(file_.database, "UPDATE memories SET importance = max(importance, ?), created = min(created, ?), "
                              "used = max(used, ?), times = times + 1, tags = ?, wordings = ? WHERE id = ?")
        .with(seen.importance, at, at, tags_of(tags), to_python_json(wordings), item.id).run();
    file_.write_checksum(kMemories, item.id);
    Ids sources;
    for (int64_t source : seen.sources)
        if (source != item.id) sources.push_back(source);
    link(item.id, sources);
}

void Memory::link(int64_t insight, const Ids& sources) {
    for (int64_t source : std::set<int64_t>(sources.begin(), sources.end())) {
        if (read_items({source}).empty()) throw Error("There is no memory " + std::to_string(source) + " to conclude from.");
        Statement row(file_.database, "SELECT ?, ?, NULL");
        row.with(insight, source).next();
        Statement(file_.database, "INSERT OR IGNORE INTO memory_links VALUES (?, ?, ?)")
            .with(insight, source, static_cast<int64_t>(checksum_of(kMemoryLinks, row, 2))).run();
    }
}

double Memory::background() {
    auto known = file_.reading([&] { return file_.fact("memory_background"); });
    if (known) return parse_json(*known, "memory_background").as<double>("memory_background");
    std::vector<std::string> texts;
    for (auto* text : kUnrelated)
        if (!model_ || !model_->excess(text)) texts.emplace_back(text);
    double mean = 0;
    int width = matrix_.width(), pairs = 0;
    if (texts.size() > 1) {
        auto vectors = encode_with(model_, file_, texts, Role::kDocument);
        for (size_t n = 0; n < texts.size(); ++n) normalize(&vectors[n * width], width);
        for (size_t a = 0; a < texts.size(); ++a)
            for (size_t b = a + 1; b < texts.size(); ++b, ++pairs)
                mean += exact_score(&vectors[a * width], &vectors[b * width], width, Similarity::kCosine);
        mean /= pairs;
    }
    mean = std::round(std::clamp(mean, 0.0, kHighestBackground) * 1e4) / 1e4;
    if (options_.writable) file_.writing([&] { file_.put_fact("memory_background", to_json({mean})); });
    return mean;
}

// --- the state in memory ---

void Memory::refresh() {
    int64_t changes = file_.changes();
    if (changes != seen_) read_all();
    seen_ = changes;
    Ids ids;
    for (auto& row : rows_) ids.push_back(row.id);
    refresh_matrix(matrix_, file_, kMemoryVectors, ids);
}

void Memory::read_all() {
    rows_.clear();
    auto before = std::move(texts_);
    texts_.clear();
    for (auto& [id, text] : before) stale_.insert(id);
    bool turns = file_.database.has_table("memory_turns");
    file_.read_table(kMemoryLinks, [](auto&) {});
    std::map<int64_t, std::pair<std::string, std::string>> said;
    if (turns) file_.read_table(kMemoryTurns, [&](auto& row) { said[row.integer(0)] = {row.text(1), row.text(2)}; });
    file_.read_table(kMemories, [&](auto& row) {
        auto turn = said.find(row.integer(0));
        if (turn == said.end()) read_row(row, "", "");
        else read_row(row, turn->second.first, turn->second.second);
    });
    for (auto& [id, text] : texts_)
        if (auto old = before.find(id); old != before.end() && old->second == text) stale_.erase(id);
}

void Memory::read_row(const Statement& row, const std::string& speaker, const std::string& session) {
    Row found{row.integer(0), row.real(3), row.integer(4), row.integer(5), 0, 0};
    if (!is_time(static_cast<double>(found.created)) || !is_time(static_cast<double>(found.used)))
        file_.fail_damaged("memory " + row.text(0) + " has a time out of the years 1 to 9999");
    std::string text = row.text(1), tags = row.text(7), wordings = row.text(8);
    std::optional<Speaker> said;
    if (!stripped(speaker).empty()) said = Speaker{speaker, true};
    else said = find_prefix(text);
    found.session = sessions_.emplace(session, static_cast<int64_t>(sessions_.size())).first->second;
    if (row.bytes(2) == "insight") found.session = -1;
    found.label = label_of(std::move(said), tags);
    if (wordings != "[]")
        for (auto& other : texts_in(parse_json(wordings, "The wordings of a memory"), "wordings")) text += " " + other;
    texts_[found.id] = text;
    stale_.insert(found.id);
    auto place = std::lower_bound(rows_.begin(), rows_.end(), found.id, [](auto& r, int64_t id) { return r.id < id; });
    if (place != rows_.end() && place->id == found.id) *place = found;
    else rows_.insert(place, found);
}

std::optional<Statement> Memory::select_turn() {
    if (!file_.database.has_table("memory_turns")) return std::nullopt;
    return file_.select(kMemoryTurns, "WHERE id = ?");
}

std::pair<std::string, std::string> Memory::read_turn(std::optional<Statement>& turn, int64_t id) const {
    if (!turn || !turn->with(id).next()) return {};
    file_.check_row(kMemoryTurns, *turn);
    return {turn->text(1), turn->text(2)};
}

// Reads those memories again that this object wrote in the present transaction, as the only ones that changed.
void Memory::changed(const std::set<int64_t>& ids) {
    auto rows = file_.select(kMemories, "WHERE id = ?");
    auto turn = select_turn();
    for (int64_t id : ids) {
        auto [speaker, session] = read_turn(turn, id);
        if (rows.with(id).next()) {
            file_.check_row(kMemories, rows);
            read_row(rows, speaker, session);
        } else if (size_t place = place_of(id); place != kNone) {
            rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(place));
            texts_.erase(id);
            stale_.insert(id);
        }
    }
    seen_ = file_.changes() + 1;  // which the end of the transaction writes
}

void Memory::index_words() {
    if (stale_.empty()) return;
    words_.run("BEGIN");
    Statement remove(words_, "DELETE FROM texts WHERE rowid = ?"), add(words_, "INSERT INTO texts (rowid, text) VALUES (?, ?)");
    for (int64_t id : stale_) {
        if (indexed_.erase(id)) remove.with(id).run();
        auto text = texts_.find(id);
        if (text == texts_.end()) continue;
        std::u32string points = decode_utf8(text->second);
        add.with(id, is_plain(points) ? text->second : encode_utf8(divide(std::move(points)))).run();
        indexed_.insert(id);
    }
    words_.run("COMMIT");
    stale_.clear();
}

size_t Memory::label_of(std::optional<Speaker> speaker, const std::string& tags) {
    auto key = std::pair(speaker ? std::pair(speaker->name, static_cast<int>(speaker->is_given)) : std::pair(std::string(), -1), tags);
    auto [known, is_new] = label_places_.emplace(key, labels_.size());
    if (is_new) {
        Label label{std::move(speaker), {}};
        for (auto& tag : texts_in(parse_json(tags, "The tags of a memory"), "tags"))
            if (auto folded = folded_words(tag); !folded.empty()) label.tags.insert(folded);
        labels_.push_back(std::move(label));
    }
    return known->second;
}

size_t Memory::place_of(int64_t id) const {
    auto place = std::lower_bound(rows_.begin(), rows_.end(), id, [](auto& r, int64_t wanted) { return r.id < wanted; });
    return place != rows_.end() && place->id == id ? place - rows_.begin() : kNone;
}

// --- lists ---

std::optional<Memory::Ids> Memory::allowed(const RecallOptions& asked) {
    std::optional<Ids> found;
    auto select = [&](const std::string& sql, const std::string& value) {
        Ids ids;
        Statement rows(file_.database, sql);
        for (rows.with(value); rows.next();) ids.push_back(rows.integer(0));
        narrow(found, std::move(ids));
    };
    for (auto& tag : asked.tags)
        select("SELECT id FROM memories WHERE EXISTS (SELECT 1 FROM json_each(memories.tags) WHERE value = ?)", tag);
    for (auto& [column, name] : {std::pair{"speaker", &asked.speaker}, std::pair{"session", &asked.session}}) {
        if (!*name) continue;
        if (file_.database.has_table("memory_turns")) select(std::string("SELECT id FROM memory_turns WHERE ") + column + " = ?", **name);
        else narrow(found, {});
    }
    if (asked.where) {
        Ids ids;
        auto rows = select_where(file_, "SELECT id, 1 FROM memories", *asked.where, asked.params,
                                 "Columns are " + std::string(kMemories.columns) + "; times are in milliseconds since 1970.");
        for (auto& [id, one] : rows) ids.push_back(id);
        narrow(found, std::move(ids));
    }
    return found;
}

std::vector<Item> Memory::items(const RecallOptions& asked) {
    return file_.reading([&] {
        refresh();
        auto some = allowed(asked);
        std::vector<Row> rows;
        for (auto& row : rows_)
            if (!some || std::binary_search(some->begin(), some->end(), row.id)) rows.push_back(row);
        std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return std::tie(a.created, a.id) > std::tie(b.created, b.id); });
        if (asked.limit) rows.resize(std::min(*asked.limit, rows.size()));
        Ids ids;
        for (auto& row : rows) ids.push_back(row.id);
        return read_items(ids);
    });
}

std::vector<Item> Memory::forget(const std::vector<int64_t>& ids) {
    return file_.writing([&] {
        auto forgotten = read_items(ids);
        Statement remove(file_.database, "DELETE FROM memories WHERE id = ?");
        for (auto& item : forgotten) remove.with(item.id).run();
        return forgotten;
    });
}

std::vector<Item> Memory::read_items(const Ids& ids) {
    std::vector<Item> found;
    auto rows = file_.select(kMemories, "WHERE id = ?");
    auto turn = select_turn();
    Statement links(file_.database, "SELECT source FROM memory_links WHERE insight = ? ORDER BY source");
    for (int64_t id : ids) {
        if (!rows.with(id).next()) continue;
        file_.check_row(kMemories, rows);
        Item item{id, rows.text(1), rows.text(2), rows.real(3), rows.integer(4), rows.integer(5), rows.integer(6),
                  texts_in(parse_json(rows.bytes(7), "The tags of a memory"), "tags"),
                  texts_in(parse_json(rows.bytes(8), "The wordings of a memory"), "wordings"), {}, "", ""};
        for (links.with(id); links.next();) item.sources.push_back(links.integer(0));
        std::tie(item.speaker, item.session) = read_turn(turn, id);
        found.push_back(std::move(item));
    }
    return found;
}

}  // namespace minnow
