// Memories and options as JSON.
#include <algorithm>
#include <cmath>

#include "memory.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

const int kWidest = 100;

Json numeric(double value) { return {value}; }

int64_t read_time(const Json& stated, const std::string& name) {
    if (stated.is<double>()) {
        if (is_time(stated.as<double>(name))) return static_cast<int64_t>(stated.as<double>(name));
        throw Error("Its \"" + name + "\" is not in the years 1 to 9999.");
    }
    if (auto found = read_period(stated.as<std::string>(name))) return found->first;
    throw Error("Its \"" + name + "\" is no time in ISO 8601: " + stated.as<std::string>(name) + ".");
}

Zone read_zone(const Json& name, const Json& options) {
    if (name.as<std::string>("time_zone") != "local") throw Error("time_zone should be local; for another zone give utc_offset.");
    if (options["utc_offset"].is<double>()) throw Error("Give time_zone or utc_offset, not both.");
    return Zone::local();
}

double checked_weight(const Json& value, const std::string& name) {
    double found = value.as<double>(name);
    if (!(found >= 0)) throw Error("The weight of " + name + " should be 0 or more.");
    return found;
}

}  // namespace

std::string stripped(const std::string& text) {
    std::u32string points = decode_utf8(clean(text));
    size_t begin = 0, end = points.size();
    while (begin < end && is_space(points[begin])) ++begin;
    while (end > begin && is_space(points[end - 1])) --end;
    return encode_utf8(points.substr(begin, end - begin));
}

std::string to_python_json(const std::vector<std::string>& texts) {
    std::string found = "[";
    for (auto& text : texts) found += (&text == &texts.front() ? "" : ", ") + to_json({text});
    return found + "]";
}

MemoryOptions MemoryOptions::read(const Json& stated) {
    MemoryOptions found;
    for (auto& [name, value] : stated.as<Json::Object>("options")) {
        if (name == "writable") found.writable = value.as<bool>(name);
        else if (name == "create") found.create = value.as<bool>(name);
        else if (name == "duplicate") found.duplicate = value.as<double>(name);
        else throw Error("There is no option " + name + " of memories.");
    }
    if (!(found.duplicate > 0)) throw Error("duplicate should be above 0, such as 0.85.");
    return found;
}

Observation Observation::read(const Json& stated) {
    Observation found;
    for (auto& [name, value] : stated.as<Json::Object>("observation")) {
        if (name == "text") found.text = clean(value.as<std::string>(name));
        else if (name == "importance") found.importance = value.as<double>(name);
        else if (name == "at") found.at = value.is<std::nullptr_t>() ? std::nullopt : std::optional(read_time(value, name));
        else if (name == "tags") found.tags = texts_in(value, name);
        else if (name == "sources") for (auto& id : value.as<Json::Array>(name)) found.sources.push_back(id.integer(name));
        else if (name == "speaker") found.speaker = stripped(value.as<std::string>(name));
        else if (name == "session") found.session = stripped(value.as<std::string>(name));
        else throw Error("There is no field " + name + " of an observation.");
    }
    return found;
}

void Observation::check() const {
    if (stripped(text).empty()) throw Error("A memory needs a text; this one is empty.");
    if (!(importance >= 0 && importance <= 1)) throw Error("The importance of '" + text.substr(0, 60) + "' should be from 0 to 1.");
    for (auto& tag : tags)
        if (stripped(tag).empty()) throw Error("The tags of '" + text.substr(0, 60) + "' should be words, none of them empty.");
}

Json Item::facts() const {
    Json::Array ids;
    for (int64_t source : sources) ids.push_back(numeric(static_cast<double>(source)));
    return {Json::Object{
        {"id", numeric(static_cast<double>(id))}, {"text", {text}}, {"kind", {kind}}, {"importance", numeric(importance)},
        {"created", {iso_of(created)}}, {"used", {iso_of(used)}}, {"times", numeric(static_cast<double>(times))},
        {"tags", texts_of(tags)}, {"wordings", texts_of(wordings)}, {"sources", {std::move(ids)}},
        {"speaker", {speaker}}, {"session", {session}}}};
}

Json Recalled::facts() const {
    Json::Object added;
    for (auto& [name, part] : parts) added.emplace_back(name, numeric(part));
    Json::Object found = {{"score", numeric(score)}, {"parts", {std::move(added)}}, {"similarity", numeric(similarity)}};
    if (rerank_score) found.emplace_back("rerank_score", numeric(*rerank_score));
    for (auto& field : item.facts().as<Json::Object>("item")) found.push_back(field);
    for (auto& [name, items] : {std::pair{"before", &before}, std::pair{"after", &after}}) {
        Json::Array turns;
        for (auto& turn : *items) turns.push_back(turn.facts());
        found.emplace_back(name, Json{std::move(turns)});
    }
    return {std::move(found)};
}

Weights Weights::read(const Json& stated) {
    Weights found;
    if (stated.is<std::string>()) {
        auto& name = stated.as<std::string>("weights");
        if (name == "default") return found;
        if (name != "park2023") throw Error("The weights are default or park2023, not " + name + ".");
        found.context = found.speaker = found.time = 0;
        found.recency = found.importance = 1;
        found.half_life = std::floor(std::log(0.5) / std::log(0.995) * 3.6e9) / 1000;  // to a microsecond, as in Python
        found.relative = true;
        return found;
    }
    for (auto& [name, value] : stated.as<Json::Object>("weights")) {
        if (name == "relevance") found.relevance = checked_weight(value, name);
        else if (name == "recency") found.recency = checked_weight(value, name);
        else if (name == "importance") found.importance = checked_weight(value, name);
        else if (name == "context") found.context = checked_weight(value, name);
        else if (name == "speaker") found.speaker = checked_weight(value, name);
        else if (name == "time") found.time = checked_weight(value, name);
        else if (name == "half_life") found.half_life = checked_weight(value, name) * static_cast<double>(kDay);
        else if (name == "relative") found.relative = value.as<bool>(name);
        else throw Error("There is no weight of " + name + ".");
    }
    if (!(found.half_life > 0)) throw Error("half_life should be more than 0 days.");
    return found;
}

RecallOptions RecallOptions::read(const Json& stated) {
    RecallOptions found;
    auto text = [](const Json& value, const std::string& name) {
        return value.is<std::nullptr_t>() ? std::nullopt : std::optional(stripped(value.as<std::string>(name)));
    };
    for (auto& [name, value] : stated.as<Json::Object>("options")) {
        if (name == "weights") found.weights = Weights::read(value);
        else if (name == "tags") for (auto& tag : texts_in(value, name)) found.tags.push_back(stripped(tag));
        else if (name == "speaker") found.speaker = text(value, name);
        else if (name == "session") found.session = text(value, name);
        else if (name == "where") { if (!value.is<std::nullptr_t>()) found.where = value.as<std::string>(name); }
        else if (name == "params") found.params = value;
        else if (name == "window") found.window = value.integer(name);
        else if (name == "limit") found.limit = value.integer(name);
        else if (name == "candidates") { if (!value.is<std::nullptr_t>()) found.candidates = value.integer(name); }
        else if (name == "touch") found.touch = value.as<bool>(name);
        else if (name == "now") found.now = read_time(value, name);
        else if (name == "utc_offset") found.zone = Zone(static_cast<int64_t>(std::clamp(value.as<double>(name), -1440.0, 1440.0)) * kMinute);
        else if (name == "time_zone") found.zone = read_zone(value, stated);
        else throw Error("There is no option " + name + " of memories.");
    }
    if (found.window > kWidest) throw Error("window should be from 0 to 100.");
    return found;
}

}  // namespace minnow
