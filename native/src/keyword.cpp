#include "keyword.hpp"

#include <algorithm>
#include <cmath>

#include "schema.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {

const KeywordTable kChunkKeywords = {"chunks_fts", "chunk_words", "SELECT sum(chunks) FROM documents"};
const KeywordTable kMemoryKeywords = {"texts", "words", "SELECT count(*) FROM texts_docsize"};

namespace {

const size_t kMostWords = 1000, kMostUnits = 10, kMostScored = 1000, kAtATime = 500;
const double kCommon = 0.5;

std::string in_quotes(const std::string& text) {
    std::string found = "\"";
    for (char c : text) found += c == '"' ? "\"\"" : std::string(1, c);
    return found + '"';
}

// Returns the different words of a text.
std::vector<Terms> words_in(const std::u32string& text, const TermReader& reader) {
    std::vector<std::pair<std::vector<std::string>, bool>> spelled;
    std::map<std::vector<std::string>, size_t> known;
    auto add = [&](std::vector<std::string> parts, bool beginning) {
        auto [place, is_new] = known.emplace(parts, spelled.size());
        if (is_new) spelled.emplace_back(std::move(parts), beginning);
        else spelled[place->second].second = beginning;
    };
    for (auto& run : runs_of(fold(text))) {
        bool paired = is_paired(run);
        auto parts = paired ? pairs_of(run) : std::vector<std::u32string>{run};
        std::vector<std::string> all;
        for (auto& part : parts) all.push_back(encode_utf8(part));
        if (all.size() == 1) { add({encode_utf8(run)}, paired); continue; }
        all.pop_back();
        if (parts.size() <= kMostUnits) { add(all, false); continue; }
        for (auto& pair : all) add({pair}, false);
    }
    if (spelled.size() > kMostWords) spelled.resize(kMostWords);
    std::vector<Terms> found;
    for (auto& [parts, beginning] : spelled) {
        Terms word;
        for (auto& part : parts)
            if (auto terms = reader.terms(part); terms.size() == 1) word.push_back({terms[0], part, beginning});
        found.push_back(std::move(word));
    }
    // Of words with the same terms the first stays, in the place of the last.
    std::map<std::vector<std::pair<std::string, bool>>, std::pair<size_t, size_t>> places;
    for (size_t i = 0; i < found.size(); ++i) {
        std::vector<std::pair<std::string, bool>> key;
        for (auto& term : found[i]) key.emplace_back(term.text, term.beginning);
        if (key.empty()) continue;
        places.emplace(key, std::make_pair(i, i)).first->second.second = i;
    }
    std::vector<std::pair<size_t, size_t>> order;
    for (auto& [key, place] : places) order.emplace_back(place.second, place.first);
    std::sort(order.begin(), order.end());
    std::vector<Terms> different;
    for (auto& [last, first] : order) different.push_back(found[first]);
    return different;
}

std::vector<Term> terms_of(const std::vector<Terms>& words) {
    std::vector<Term> found;
    std::set<std::pair<std::string, bool>> known;
    for (auto& word : words)
        for (auto& term : word)
            if (known.emplace(term.text, term.beginning).second && found.size() < kMostWords) found.push_back(term);
    return found;
}

// Returns a phrase of several words. The last character of a run is a word of its own in a text; at the end of a
// phrase it is none, because in a text the run may go on.
std::optional<Phrase> read_phrase(const std::u32string& text, std::vector<Term> terms) {
    auto parts = split(divide(text));
    auto end = runs_of(fold(text)).back();
    size_t units = is_paired(end) ? units_of(end).size() : 0;
    if (units > 1) parts.pop_back();
    if (parts.size() < 2) return std::nullopt;
    return Phrase{std::move(terms), in_quotes(encode_utf8(join(parts))) + (units == 1 ? " *" : "")};
}

std::vector<int64_t> common(const std::vector<int64_t>& some, const std::vector<int64_t>& sorted) {
    std::vector<int64_t> found;
    for (int64_t id : some)
        if (std::binary_search(sorted.begin(), sorted.end(), id)) found.push_back(id);
    return found;
}

}  // namespace

std::string Term::question() const { return in_quotes(spelled) + (beginning ? " *" : ""); }

KeywordQuery read_query(const std::string& query, const TermReader& reader) {
    std::u32string text = decode_utf8(query);
    for (char32_t& point : text) point = point == U'\0' ? U' ' : point == 0xff02 ? U'"' : point;
    auto parts = split(text);
    if (parts.size() > kMostWords) parts.resize(kMostWords);
    text = join(parts).substr(0, 100 * kMostWords);
    KeywordQuery found;
    found.words = words_in(text, reader);
    found.terms = terms_of(found.words);
    for (size_t at = 0; (at = text.find(U'"', at)) != text.npos;) {
        size_t end = text.find(U'"', at + 1);
        if (end == text.npos) break;
        auto quoted_text = text.substr(at + 1, end - at - 1);
        at = end + 1;
        if (auto terms = terms_of(words_in(quoted_text, reader)); !terms.empty())
            if (auto phrase = read_phrase(quoted_text, std::move(terms))) found.phrases.push_back(std::move(*phrase));
    }
    return found;
}

void make_words_table(const Database& database) {
    database.run(std::string("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize=\"") + kTokenize + "\")");
}

Keywords::Keywords(const Database& database, const KeywordTable& table, IndexFile* file, std::set<std::string> ignored)
    : database_(database), table_(table), file_(file), ignored_(std::move(ignored)), reader_(database),
      terms_(std::string("temp.") + table.name + "_terms"), places_(std::string("temp.") + table.name + "_places") {
    for (auto& [name, kind] : {std::pair{terms_, "row"}, std::pair{places_, "instance"}})
        database.run("CREATE VIRTUAL TABLE IF NOT EXISTS " + name + " USING fts5vocab('main', '" + table.name + "', '" + kind + "')");
    database.run("CREATE TABLE IF NOT EXISTS temp.chosen (id INTEGER PRIMARY KEY)");
}

Ranking Keywords::search(const std::string& query, size_t count, const Ids* allowed) {
    auto asked = read_query(query, reader_);
    auto chosen = rarest(asked);
    if (chosen.empty()) return {};
    Ids found = candidates(chosen, asked, allowed);
    for (auto& phrase : asked.phrases)
        for (auto& term : phrase.terms)
            for (auto& [other, number] : chosen)
                if (term == other) found = common(found, having(term, allowed));
    if (!asked.phrases.empty()) found = with_phrases(found, asked.phrases, std::max(count, kAtATime));
    return bm25(chosen, with_whole_words(found, asked.words, chosen), count);
}

Keywords::Chosen Keywords::rarest(const KeywordQuery& asked) {
    std::vector<Term> telling;
    for (auto& term : asked.terms)
        if (!ignored_.count(term.spelled)) telling.push_back(term);
    Chosen every, rare;
    double total = static_cast<double>(database_.number(table_.count).value_or(0));
    for (auto& term : telling.empty() ? asked.terms : telling)
        if (int64_t n = number(term)) {
            every.emplace_back(term, n);
            if (n <= kCommon * total) rare.emplace_back(term, n);
        }
    if (rare.empty()) rare = std::move(every);
    std::stable_sort(rare.begin(), rare.end(), [](auto& a, auto& b) { return a.second < b.second; });
    return rare;
}

int64_t Keywords::number(const Term& term) {
    if (term.beginning) return static_cast<int64_t>(having(term, nullptr).size());
    Statement row(database_, "SELECT doc FROM " + terms_ + " WHERE term = ?");
    return row.with(term.text).next() ? row.integer(0) : 0;
}

Keywords::Ids Keywords::candidates(const Chosen& chosen, const KeywordQuery& asked, const Ids* allowed) {
    double total = std::max<double>(1, static_cast<double>(database_.number(table_.count).value_or(0)));
    std::vector<double> weights;
    double left = 0;
    for (auto& [term, n] : chosen) {
        auto having = static_cast<double>(n);
        weights.push_back(std::log1p((total - having + 0.5) / (having + 0.5)));
        left += weights.back();
    }
    Ids ids;
    std::vector<double> sums;
    for (size_t i = 0; i < chosen.size(); ++i) {
        bool enough = asked.phrases.empty() && sums.size() > kMostScored;
        if (enough && at_rank(sums, kMostScored) >= left) break;  // no text with only the words that are left gets among them
        left -= weights[i];
        Ids more = having(chosen[i].first, allowed), both;
        std::vector<double> gained;
        for (size_t a = 0, b = 0; a < ids.size() || b < more.size();) {
            bool first = b == more.size() || (a < ids.size() && ids[a] <= more[b]);
            bool second = a == ids.size() || (b < more.size() && more[b] <= ids[a]);
            both.push_back(first ? ids[a] : more[b]);
            gained.push_back((first ? sums[a] : 0) + (second ? weights[i] : 0));
            a += first, b += second;
        }
        ids = std::move(both), sums = std::move(gained);
    }
    return best(ids, sums, asked.phrases.empty() ? kMostScored : ids.size()).ids;
}

Keywords::Ids Keywords::having(const Term& term, const Ids* allowed) {
    Ids found;
    if (term.beginning) {
        Statement rows(database_, "SELECT DISTINCT term, doc FROM " + places_ + " WHERE term >= ? AND term < ?");
        rows.with(term.text, term.text + "\xf4\x8f\xbf\xbf");
        while (rows.next())
            if (encode_utf8(units_of(decode_utf8(rows.bytes(0)))[0]) == term.text) found.push_back(rows.integer(1));
    } else {
        Statement rows(database_, "SELECT doc FROM " + places_ + " WHERE term = ?");
        for (rows.with(term.text); rows.next();) found.push_back(rows.integer(0));
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return allowed ? common(found, *allowed) : found;
}

Keywords::Ids Keywords::with_phrases(const Ids& candidates, const std::vector<Phrase>& phrases, size_t count) {
    std::string question;
    for (auto& phrase : phrases) question += (question.empty() ? "" : " AND ") + phrase.question;
    Ids found;
    for (size_t start = 0; start < candidates.size() && found.size() < count; start += kAtATime) {
        Ids block(candidates.begin() + start, candidates.begin() + std::min(candidates.size(), start + kAtATime));
        auto memory = Database::in_memory();
        make_words_table(memory);
        Statement add(memory, "INSERT INTO texts (rowid, text) VALUES (?, ?)");
        for (int64_t id : block) add.with(id, words_of(id)).run();
        Ids having;
        Statement rows(memory, "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid");
        for (rows.with(question); rows.next();) having.push_back(rows.integer(0));
        for (int64_t id : common(block, having)) found.push_back(id);
    }
    return found;
}

Keywords::Ids Keywords::with_whole_words(const Ids& candidates, const std::vector<Terms>& words, const Chosen& chosen) {
    if (std::all_of(words.begin(), words.end(), [](auto& word) { return word.size() == 1; })) return candidates;
    std::vector<std::string> texts;
    for (int64_t id : candidates) texts.push_back(" " + words_of(id) + " ");
    std::vector<char> kept(candidates.size());
    for (auto& word : words) {
        std::string spelled = " ";
        for (auto& term : word) spelled += term.spelled + " ";
        std::vector<char> whole(candidates.size());
        bool any = false;
        for (size_t i = 0; i < texts.size() && word.size() > 1; ++i)
            any |= whole[i] = texts[i].find(spelled) != std::string::npos;
        for (auto& term : word) {
            bool is_chosen = std::any_of(chosen.begin(), chosen.end(), [&](auto& row) { return row.first == term; });
            if (any || !is_chosen) continue;
            Ids some = having(term, nullptr);
            for (size_t i = 0; i < texts.size(); ++i) whole[i] |= std::binary_search(some.begin(), some.end(), candidates[i]);
        }
        for (size_t i = 0; i < texts.size(); ++i) kept[i] |= whole[i];
    }
    Ids found;
    for (size_t i = 0; i < candidates.size(); ++i)
        if (kept[i]) found.push_back(candidates[i]);
    return found;
}

Ranking Keywords::bm25(const Chosen& chosen, const Ids& candidates, size_t count) {
    std::string question;
    for (auto& [term, n] : chosen) question += (question.empty() ? "" : " OR ") + term.question();
    if (file_) {  // FTS5 counts words in the texts, and trusts them
        auto row = file_->select(kChunks, "WHERE id = ?");
        for (int64_t id : candidates)
            if (row.with(id).next()) file_->check_row(kChunks, row);
    }
    database_.run("DELETE FROM temp.chosen");
    Statement add(database_, "INSERT INTO temp.chosen VALUES (?)");
    for (int64_t id : candidates) add.with(id).run();
    std::string name = table_.name;
    Statement rows(database_, "SELECT rowid, -bm25(" + name + ") FROM " + name + " WHERE " + name +
                              " MATCH ? AND +rowid IN (SELECT id FROM temp.chosen)");
    Ids ids;
    std::vector<double> scores;
    for (rows.with(question); rows.next();) ids.push_back(rows.integer(0)), scores.push_back(rows.real(1));
    return best(ids, scores, count);
}

std::string Keywords::words_of(int64_t id) {
    if (!words_) words_.emplace(database_, std::string("SELECT text FROM ") + table_.words + " WHERE id = ?");
    std::string found = words_->with(id).next() ? words_->text(0) : "";
    words_->reset();
    return found;
}

}  // namespace minnow
