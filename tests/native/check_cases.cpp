// Runs the cases of tests/core_cases, in a folder that may be written, through the C API: check_cases FOLDER
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>

#include "json.hpp"
#include "minnow.h"

using minnow::Json;

namespace {

const double kTolerance = 1e-5;
char error[1000];
int differing = 0, compared = 0;
minnow_reranker* shortest = nullptr;  // whose best text is the shortest

// Returns whether an answer is the expected one, which may have fewer fields, and ids in the place of chunks and memories.
bool same(const Json& found, const Json& expected) {
    if (expected.is<double>()) {
        const Json& number = found.is<Json::Object>() ? found["id"] : found;
        if (!number.is<double>()) return false;
        double a = number.as<double>(""), b = expected.as<double>("");
        return std::fabs(a - b) <= kTolerance * std::max(1.0, std::max(std::fabs(a), std::fabs(b)));
    }
    if (expected.is<Json::Object>()) {
        for (auto& [name, value] : expected.as<Json::Object>(""))
            if (!same(found[name], value)) return false;
        return true;
    }
    if (!expected.is<Json::Array>() || !found.is<Json::Array>()) return found == expected;
    auto &some = found.as<Json::Array>(""), &wanted = expected.as<Json::Array>("");
    if (some.size() != wanted.size()) return false;
    for (size_t i = 0; i < some.size(); ++i)
        if (!same(some[i], wanted[i])) return false;
    return true;
}

// Compares an answer, which this frees, or NULL for a refusal, with the expected one.
void compare(char* answer, const Json& expected, bool refused, const Json& asked) {
    ++compared;
    bool fits = answer && !refused ? same(minnow::parse_json(answer, "The answer"), expected) : !answer && refused;
    if (!fits) {
        ++differing;
        std::cerr << minnow::to_json(asked).substr(0, 300) << "\n  gave " << (answer ? answer : error) << "\n";
    }
    minnow_free(answer);
}

minnow_text text_of(const std::string& text) { return {text.data(), text.size()}; }

int32_t score_shortest(void*, minnow_text, const minnow_text* documents, size_t count, float* scores) {
    for (size_t n = 0; n < count; ++n) {
        scores[n] = 0;
        for (size_t i = 0; i < documents[n].size; ++i) scores[n] -= (documents[n].bytes[i] & 0xc0) != 0x80;
    }
    return 0;
}

// Returns options as JSON, with one more where they do not have it.
std::string with_option(Json options, const std::string& name, const Json& value) {
    if (!options.is<Json::Object>()) options = {Json::Object{}};
    if (options[name].is<std::nullptr_t>()) std::get<Json::Object>(options.value).emplace_back(name, value);
    return minnow::to_json(options);
}

void check_searches(const std::string& folder) {
    Json all = minnow::read_json(folder + "/cases.json");
    std::map<std::string, minnow_index*> open;
    for (auto& one : all.get<Json::Array>("cases")) {
        auto& index = open[one.get<std::string>("file")];
        if (!index) index = minnow_open_index((folder + "/" + one.get<std::string>("file")).c_str(), nullptr, error, sizeof error);
        std::string query = one.get<std::string>("query");
        std::vector<float> vector;
        for (auto& number : all["vectors"].get<Json::Array>(query)) vector.push_back(static_cast<float>(number.as<double>("vector")));
        std::string options = with_option(one["options"], "sidecar", {one.get("sidecar", std::string("auto"))});
        minnow_reranker* reranker = one.get("reranked", false) ? shortest : nullptr;
        char* answer = minnow_search_reranked(index, reranker, text_of(query), static_cast<int32_t>(one.get("k", 5.0)), options.c_str(),
                                              vector.data(), vector.size(), error, sizeof error);
        compare(answer, one["hits"], one.get("refused", false), one);
    }
    for (auto& [file, index] : open) minnow_close_index(index);
}

std::map<std::string, std::vector<float>> vectors;  // of texts of memories

int32_t look_up(void*, const minnow_text* texts, size_t count, int32_t, float* found) {
    for (size_t n = 0; n < count; ++n) {
        auto vector = vectors.find({texts[n].bytes, texts[n].size});
        if (vector == vectors.end()) return 1;
        found = std::copy(vector->second.begin(), vector->second.end(), found);
    }
    return 0;
}

char* take(minnow_memory* memory, const Json& step, const Json& now) {
    if (!step["remember"].is<std::nullptr_t>()) return minnow_remember(memory, minnow::to_json(step["remember"]).c_str(), error, sizeof error);
    if (!step["items"].is<std::nullptr_t>()) return minnow_items(memory, minnow::to_json(step["items"]).c_str(), error, sizeof error);
    if (!step["forget"].is<std::nullptr_t>()) {
        std::vector<int64_t> ids;
        for (auto& id : step.get<Json::Array>("forget")) ids.push_back(id.integer("forget"));
        return minnow_forget(memory, ids.data(), ids.size(), error, sizeof error);
    }
    std::string options = with_option(step["options"], "now", now);
    if (step["zone"].is<std::string>()) {
        setenv("TZ", step.get<std::string>("zone").c_str(), 1);
        options = with_option(minnow::parse_json(options, "The options"), "time_zone", {std::string("local")});
    }
    auto& query = step.get<std::string>("recall");
    auto* ranker = step.get("reranked", false) ? shortest : nullptr;
    return minnow_recall_reranked(memory, ranker, text_of(query), static_cast<int32_t>(step.get("k", 5.0)), options.c_str(), error, sizeof error);
}

void check_memories(const std::string& folder) {
    Json all = minnow::read_json(folder + "/memory.json");
    for (auto& [text, numbers] : all.get<Json::Object>("vectors"))
        for (auto& number : numbers.as<Json::Array>("vectors")) vectors[text].push_back(static_cast<float>(number.as<double>("vector")));
    minnow_encoder encoder = {nullptr, look_up};
    minnow_embedder* embedder = minnow_wrap(&encoder, minnow::to_json(all["model"]).c_str(), error, sizeof error);
    std::string file = folder + "/made.memory", options = with_option({}, "duplicate", all["duplicate"]);
    minnow_memory* memory = minnow_open_memory(file.c_str(), embedder, options.c_str(), error, sizeof error);
    for (auto& row : all.get<Json::Array>("steps")) {
        auto& step = row["step"];
        bool refused = step["refused"].is<Json::Object>();
        compare(take(memory, refused ? step["refused"] : step, all["now"]), row["answer"], refused, step);
    }
    minnow_close_memory(memory);
    minnow_close(embedder);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return std::cerr << "check_cases FOLDER\n", 2;
    minnow_scorer scorer = {nullptr, score_shortest};
    shortest = minnow_wrap_reranker(&scorer, error, sizeof error);
    try {
        check_searches(arguments[1]);
        check_memories(arguments[1]);
    } catch (const std::exception& fault) {
        return std::cerr << fault.what() << "\n", 1;
    }
    minnow_close_reranker(shortest);
    std::cout << compared << " cases, " << differing << " of them differ\n";
    return differing ? 1 : 0;
}
