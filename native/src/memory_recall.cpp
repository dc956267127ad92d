// The ranking of memories for a question: src/minnow/memory/ranking.py.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "memory.hpp"

namespace minnow {
namespace {

const size_t kMostRecalled = 1000, kDepth = 100;
const double kBefore1 = 1, kBefore2 = 0.5, kAfter1 = 0.75, kAfter2 = 0.25;

double median(std::vector<double> values) {
    size_t half = values.size() / 2;
    std::sort(values.begin(), values.end());
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Scales values from 0 for the least to 1 for the greatest; 0.5 where all are equal.
void scale(std::vector<double>& values) {
    auto [least, most] = std::minmax_element(values.begin(), values.end());
    double low = *least, span = *most - low;
    for (double& value : values) value = span > 0 ? (value - low) / span : 0.5;
}

// Returns the best k memories in a reranker's order, which reads each behind the name of its speaker.
std::vector<Recalled> reranked(TextRanker& ranker, const std::string& query, std::vector<Recalled> found, size_t k) {
    std::vector<std::string> texts;
    for (auto& one : found) texts.push_back(one.item.speaker.empty() ? one.item.text : one.item.speaker + ": " + one.item.text);
    std::vector<Recalled> best;
    if (texts.empty()) return best;
    for (auto& row : ranker.rank(query, texts, k)) {
        best.push_back(std::move(found.at(row.index)));
        best.back().rerank_score = row.score;
    }
    return best;
}

}  // namespace

std::vector<Recalled> Memory::recall(const std::string& query, size_t k, const RecallOptions& asked, TextRanker* ranker) {
    if (k < 1 || k > kMostRecalled) throw Error("k is " + std::to_string(k) + "; it should be from 1 to 1000.");
    size_t count = count_candidates(ranker, asked.candidates, k);
    int64_t time = asked.now.value_or(now());
    auto [period, text, mentions] = file_.reading([&] {
        refresh();
        std::optional<int64_t> latest;
        for (auto& row : rows_) latest = std::max(latest.value_or(row.created), row.created);
        auto [named, rest] = read_period(query, time, latest, asked.zone);
        return std::tuple(named, rest, find_mentions(rest));
    });
    bool all_said = std::all_of(rows_.begin(), rows_.end(), [&](auto& row) { return labels_[row.label].speaker.has_value(); });
    Forms forms;
    forms.push_back({mentions.words, encode_with(model_, file_, {mentions.first_person}, Role::kQuery)});
    if (mentions.words != text && !all_said) forms.push_back({text, encode_with(model_, file_, {text}, Role::kQuery)});
    auto found = file_.reading([&, &period = period, &mentions = mentions] {
        refresh();
        auto ids = allowed(asked);
        std::vector<Recalled> recalled;
        Turns turns = find_turns();
        for (auto& one : rank(mentions, forms, period, count, ids ? &*ids : nullptr, time, asked.weights, turns)) {
            auto item = read_items({rows_[one.place].id});
            if (item.empty()) file_.fail_damaged("a memory is missing");
            Recalled memory{std::move(item[0]), one.score, one.similarity, std::move(one.parts), {}, {}, {}};
            memory.before = read_items(window_of(turns.before, one.place, asked.window));
            memory.after = read_items(window_of(turns.after, one.place, asked.window));
            std::reverse(memory.before.begin(), memory.before.end());
            recalled.push_back(std::move(memory));
        }
        return recalled;
    });
    if (ranker) found = reranked(*ranker, query, std::move(found), k);
    if (!asked.touch || found.empty()) return found;
    file_.writing([&] {
        std::set<int64_t> touched;
        bool same = file_.changes() == seen_;
        for (auto& one : found) {
            Statement(file_.database, "UPDATE memories SET used = max(used, ?) WHERE id = ?").with(time, one.item.id).run();
            file_.write_checksum(kMemories, one.item.id);
            touched.insert(one.item.id);
        }
        if (same) changed(touched);
    });
    return found;
}

Memory::Turns Memory::find_turns() const {
    Places order(rows_.size());
    Turns found{Places(rows_.size(), kNone), Places(rows_.size(), kNone)};
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        auto &x = rows_[a], &y = rows_[b];
        return std::tie(x.session, x.created, x.id) < std::tie(y.session, y.created, y.id);
    });
    for (size_t i = 1; i < order.size(); ++i) {
        auto &x = rows_[order[i - 1]], &y = rows_[order[i]];
        if (x.session != y.session || y.session < 0 || (y.session == 0 && y.created - x.created > kHour)) continue;
        found.before[order[i]] = order[i - 1], found.after[order[i - 1]] = order[i];
    }
    return found;
}

Mentions Memory::find_mentions(const std::string& query) const {
    std::vector<int64_t> uses(labels_.size());
    for (auto& row : rows_) ++uses[row.label];
    std::vector<std::pair<Speaker, int64_t>> counts;
    std::map<Speaker, size_t> places;
    std::set<std::string> tags;
    for (size_t i = 0; i < labels_.size(); ++i) {
        if (!uses[i]) continue;
        tags.insert(labels_[i].tags.begin(), labels_[i].tags.end());
        if (!labels_[i].speaker) continue;
        auto [place, is_new] = places.emplace(*labels_[i].speaker, counts.size());
        if (is_new) counts.emplace_back(*labels_[i].speaker, 0);
        counts[place->second].second += uses[i];
    }
    return minnow::find_mentions(query, counts, tags);
}

Memory::Ids Memory::window_of(const Places& next, size_t place, int size) const {
    Ids found;
    for (size_t at = next[place]; at != kNone && found.size() < static_cast<size_t>(size); at = next[at])
        found.push_back(rows_[at].id);
    return found;
}

std::vector<Memory::Ranked> Memory::rank(const Mentions& mentions, const Forms& forms,
                                         const std::optional<Period>& period, size_t count, const Ids* allowed, int64_t now,
                                         const Weights& weights, const Turns& turns) {
    std::vector<size_t> chosen;
    for (size_t place = 0; place < rows_.size(); ++place)
        if (!allowed || std::binary_search(allowed->begin(), allowed->end(), rows_[place].id)) chosen.push_back(place);
    if (chosen.empty()) return {};
    index_words();
    std::vector<double> words(rows_.size()), similar(rows_.size());
    auto form_of = [&](size_t place) -> const Form& { return labels_[rows_[place].label].speaker ? forms.front() : forms.back(); };
    for (auto& form : forms) {
        auto scores = matrix_.exact(form.vector.data());
        for (size_t place = 0; place < rows_.size(); ++place)
            if (&form_of(place) == &form) similar[place] = scores[place];
        Ranking worded = keywords_.search(form.words, kMostRecalled, allowed);
        for (size_t i = 0; i < worded.size(); ++i)
            if (size_t place = place_of(worded.ids[i]); place != kNone && &form_of(place) == &form) words[place] = worded.scores[i];
    }
    std::vector<double> near = similar;
    double least = matrix_.kind() == Similarity::kCosine ? kNoScore : at_rank(near, kDepth);
    for (double& score : near) score = std::max(score, least);  // search scales by the least of those that it considers
    auto relevance = hybrid_scores(near, words, matrix_.kind());
    std::vector<std::pair<std::string, std::vector<double>>> parts = {{"relevance", relevance}};
    auto add = [&](const char* name, auto value) {
        parts.emplace_back(name, std::vector<double>(rows_.size()));
        for (size_t place = 0; place < rows_.size(); ++place) parts.back().second[place] = value(place);
    };
    if (weights.context > 0) {
        double usual = median(relevance);
        auto excess = [&](size_t place) { return place == kNone ? 0 : std::max(0.0, relevance[place] - usual); };
        auto beyond = [](const Places& next, size_t place) { return place == kNone ? kNone : next[place]; };
        add("context", [&](size_t place) {
            size_t before = turns.before[place], after = turns.after[place];
            return kBefore1 * excess(before) + kBefore2 * excess(beyond(turns.before, before)) +
                   kAfter1 * excess(after) + kAfter2 * excess(beyond(turns.after, after));
        });
    }
    std::vector<char> named(labels_.size());
    for (size_t i = 0; i < labels_.size(); ++i) {
        bool said = labels_[i].speaker && mentions.speakers.count(*labels_[i].speaker);
        named[i] = said || std::any_of(labels_[i].tags.begin(), labels_[i].tags.end(), [&](auto& tag) { return mentions.tags.count(tag); });
    }
    add("speaker", [&](size_t place) { return named[rows_[place].label] ? 1.0 : 0.0; });
    if (period) add("time", [&](size_t place) { return period->nearness(rows_[place].created); });
    add("recency", [&](size_t place) {
        return std::pow(0.5, static_cast<double>(std::max<int64_t>(0, now - rows_[place].used)) / weights.half_life);
    });
    add("importance", [&](size_t place) { return rows_[place].importance; });
    std::vector<double> scores(chosen.size());
    Ids ids;
    for (size_t place : chosen) ids.push_back(rows_[place].id);
    for (auto& [name, part] : parts) {
        double weight = name == "relevance" ? weights.relevance : name == "context" ? weights.context
                      : name == "speaker" ? weights.speaker : name == "time" ? weights.time
                      : name == "recency" ? weights.recency : weights.importance;
        std::vector<double> some;
        for (size_t place : chosen) some.push_back(part[place]);
        if (weights.relative && (name == "relevance" || name == "recency" || name == "importance")) scale(some);
        for (size_t i = 0; i < some.size(); ++i) scores[i] += some[i] *= weight;
        part = std::move(some);
    }
    std::vector<Ranked> found;
    for (int64_t id : best(ids, scores, count).ids) {
        size_t i = std::lower_bound(ids.begin(), ids.end(), id) - ids.begin();
        Ranked one{chosen[i], scores[i], similar[chosen[i]], {}};
        for (auto& [name, part] : parts) one.parts.emplace_back(name, part[i]);
        found.push_back(std::move(one));
    }
    return found;
}

}  // namespace minnow
