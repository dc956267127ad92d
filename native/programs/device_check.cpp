#if MINNOW_HAS_MNN
#include <sys/utsname.h>

#include <MNN/Interpreter.hpp>
#include <fstream>
#include <functional>
#include <memory>

#include "program.hpp"

using minnow::Error;
using minnow::Json;
using minnow::quoted;

namespace {

std::string joined(const std::vector<std::string>& parts) {
    std::string found;
    for (auto& part : parts) found += (found.empty() ? "" : ",") + part;
    return "[" + found + "]";
}

std::string machine() {
    utsname name{};
    uname(&name);
    return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

}  // namespace

namespace {

// A probe: a text behind its prompt, or a pair of texts; and the tokens that it should have.
struct Probe {
    std::string name, text, prompt, second;
    minnow::Tokens expected;
};

minnow::Ids numbers(const Json& stated, const char* key) {
    minnow::Ids found;
    for (auto& number : stated.get(key, Json::Array{})) found.push_back(number.integer(key));
    return found;
}

// Probes in, their tokens or rows of one forward pass out, by an embedder or a reranker.
struct Model {
    std::function<minnow::Tokens(const Probe&)> tokens;
    std::function<std::vector<float>(const std::vector<Probe>&)> run;
};

Model open_model(const std::string& folder, const minnow::Options& options, bool pairs) {
    if (pairs) {
        auto opened = std::make_shared<minnow::Reranker>(folder, options);
        auto run = [opened](const std::vector<Probe>& batch) {
            std::vector<minnow::Pair> given;
            for (auto& probe : batch) given.emplace_back(probe.text, probe.second);
            return opened->logits_batch(given);
        };
        return {[opened](const Probe& probe) { return opened->tokens({{probe.text, probe.second}})[0]; }, run};
    }
    auto opened = std::make_shared<minnow::Embedder>(folder, options);
    auto run = [opened](const std::vector<Probe>& batch) {
        std::vector<std::string> texts, prompts;
        for (auto& probe : batch) texts.push_back(probe.text), prompts.push_back(probe.prompt);
        return opened->encode_batch(texts, prompts);
    };
    return {[opened](const Probe& probe) { return opened->tokens({probe.text}, probe.prompt)[0]; }, run};
}

}  // namespace

void run_device_check(const std::string& folder, const minnow::Options& options) {
    Json file = minnow::read_json(folder + "/probes.json");
    int format = file["format"].integer("format");
    if (format != 1 && format != 2) throw Error("probes.json has an unsupported version.");
    std::vector<Probe> probes;
    for (auto& probe : file.get<Json::Array>("texts")) {
        probe.get<Json::Array>("ids");
        probes.push_back({probe.get<std::string>("name"), probe.get<std::string>("text"),
                          probe.get<std::string>("prompt", ""),
                          format == 2 ? probe.get<std::string>("second") : std::string(),
                          {numbers(probe, "ids"), numbers(probe, "types")}});
    }
    Model model = open_model(folder + "/bundle", options, format == 2);
    std::vector<std::string> differ, rows;
    for (auto& probe : probes) {
        minnow::Tokens found = model.tokens(probe);
        if (found.ids != probe.expected.ids || found.types != probe.expected.types)
            differ.push_back(quoted(probe.name));
    }
    std::vector<float> vectors;
    auto& batches = file.get<Json::Array>("batches");
    for (size_t b = 0; b < batches.size(); ++b) {
        std::vector<Probe> batch;
        for (auto& index : batches[b].as<Json::Array>("batches")) {
            size_t text = index.integer("batches");
            if (text >= probes.size()) throw Error("probes.json has no text " + std::to_string(text) + ".");
            batch.push_back(probes[text]);
            rows.push_back("[" + std::to_string(text) + "," + std::to_string(b) + "]");
        }
        std::vector<float> found = model.run(batch);
        vectors.insert(vectors.end(), found.begin(), found.end());
    }
    write_floats(folder + "/answer.f32", vectors);
    std::ofstream answer(folder + "/answer.json", std::ios::binary);
    answer << "{\"format\":1,\"runner\":\"minnow-embed (C++)\",\"machine\":" << quoted(machine())
           << ",\"mnn\":" << quoted(MNN::getVersion()) << ",\"precision\":\"" << kModes[options.precision]
           << "\",\"threads\":" << options.threads << ",\"rows\":" << joined(rows)
           << ",\"ids_differ\":" << joined(differ) << "}\n";
    if (!answer.flush()) throw Error(folder + "/answer.json cannot be written.");
    std::fprintf(stderr, "%zu rows of %zu texts in %s; tokens of %zu texts differ.\n", rows.size(),
                 probes.size(), (folder + "/answer.f32").c_str(), differ.size());
}
#endif
