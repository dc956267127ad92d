#include "device_check.hpp"

#include <sys/utsname.h>

#include <MNN/Interpreter.hpp>
#include <fstream>
#include <functional>
#include <memory>

#include "embedder.hpp"
#include "reranker.hpp"

namespace minnow {
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

// A probe: a text behind its prompt, or a pair of texts; and the tokens that it should have.
struct Probe {
    std::string name, text, prompt, second;
    Tokens expected;
};

Ids numbers(const Json& stated, const char* key) {
    Ids found;
    for (auto& number : stated.get(key, Json::Array{})) found.push_back(number.integer(key));
    return found;
}

// Probes in, their tokens or rows of one forward pass out, by an embedder or a reranker.
struct Subject {
    std::function<Tokens(const Probe&)> tokens;
    std::function<std::vector<float>(const std::vector<Probe>&)> run;
};

Subject open_model(const std::string& folder, const Options& options, bool pairs) {
    if (pairs) {
        auto opened = std::make_shared<Reranker>(folder, options);
        auto run = [opened](const std::vector<Probe>& batch) {
            std::vector<Pair> given;
            for (auto& probe : batch) given.emplace_back(probe.text, probe.second);
            return opened->logits_batch(given);
        };
        return {[opened](const Probe& probe) { return opened->tokens({{probe.text, probe.second}})[0]; }, run};
    }
    auto opened = std::make_shared<Embedder>(folder, options);
    auto run = [opened](const std::vector<Probe>& batch) {
        std::vector<std::string> texts, prompts;
        for (auto& probe : batch) texts.push_back(probe.text), prompts.push_back(probe.prompt);
        return opened->encode_batch(texts, prompts);
    };
    return {[opened](const Probe& probe) { return opened->tokens({probe.text}, probe.prompt)[0]; }, run};
}

}  // namespace

void write_floats(const std::string& path, const std::vector<float>& values) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
    if (!file.flush()) throw Error(path + " cannot be written.");
}

std::string run_device_check(const std::string& folder, const Options& options, const std::string& runner) {
    Json file = read_json(folder + "/probes.json");
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
    Subject model = open_model(folder + "/bundle", options, format == 2);
    std::vector<std::string> differ, rows;
    for (auto& probe : probes) {
        Tokens found = model.tokens(probe);
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
    answer << "{\"format\":1,\"runner\":" << quoted(runner) << ",\"machine\":" << quoted(machine())
           << ",\"mnn\":" << quoted(MNN::getVersion()) << ",\"precision\":\"" << kModes[options.precision]
           << "\",\"threads\":" << options.threads << ",\"rows\":" << joined(rows)
           << ",\"ids_differ\":" << joined(differ) << "}\n";
    if (!answer.flush()) throw Error(folder + "/answer.json cannot be written.");
    return std::to_string(rows.size()) + " rows of " + std::to_string(probes.size()) + " texts in " + folder +
           "/answer.f32; tokens of " + std::to_string(differ.size()) + " texts differ.";
}

}  // namespace minnow
