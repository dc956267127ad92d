#if MINNOW_HAS_MNN
#include <sys/utsname.h>

#include <MNN/Interpreter.hpp>
#include <fstream>

#include "program.hpp"

using minnow::Error;
using minnow::Json;

namespace {

std::string quoted(const std::string& text) {
    std::string found = "\"";
    for (char c : text) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", c & 0xff);
        if (c == '"' || c == '\\') found += '\\';
        found += static_cast<unsigned char>(c) < 0x20 ? escaped : std::string(1, c);
    }
    return found + '"';
}

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

void run_device_check(const std::string& folder, const minnow::Options& options) {
    Json probes = minnow::read_json(folder + "/probes.json");
    if (probes["format"].integer("format") != 1) throw Error("probes.json has an unsupported version.");
    std::vector<std::string> texts, prompts, differ, rows;
    std::vector<minnow::Ids> expected;
    for (auto& probe : probes.get<Json::Array>("texts")) {
        texts.push_back(probe.get<std::string>("text"));
        prompts.push_back(probe.get<std::string>("prompt", ""));
        minnow::Ids& ids = expected.emplace_back();
        for (auto& id : probe.get<Json::Array>("ids")) ids.push_back(id.integer("ids"));
    }
    minnow::Embedder embedder(folder + "/bundle", options);
    std::vector<minnow::Ids> ids;
    for (size_t n = 0; n < texts.size(); ++n) ids.push_back(embedder.tokens({texts[n]}, prompts[n])[0].ids);
    auto& names = probes.get<Json::Array>("texts");
    for (size_t n = 0; n < texts.size(); ++n)
        if (ids[n] != expected[n]) differ.push_back(quoted(names[n].get<std::string>("name")));
    std::vector<float> vectors;
    auto& batches = probes.get<Json::Array>("batches");
    for (size_t b = 0; b < batches.size(); ++b) {
        std::vector<std::string> batch, behind;
        for (auto& index : batches[b].as<Json::Array>("batches")) {
            size_t text = index.integer("batches");
            if (text >= texts.size()) throw Error("probes.json has no text " + std::to_string(text) + ".");
            batch.push_back(texts[text]);
            behind.push_back(prompts[text]);
            rows.push_back("[" + std::to_string(text) + "," + std::to_string(b) + "]");
        }
        std::vector<float> found = embedder.encode_batch(batch, behind);
        vectors.insert(vectors.end(), found.begin(), found.end());
    }
    write_floats(folder + "/answer.f32", vectors);
    std::ofstream answer(folder + "/answer.json", std::ios::binary);
    answer << "{\"format\":1,\"runner\":\"minnow-embed (C++)\",\"machine\":" << quoted(machine())
           << ",\"mnn\":" << quoted(MNN::getVersion()) << ",\"precision\":\"" << kModes[options.precision]
           << "\",\"threads\":" << options.threads << ",\"rows\":" << joined(rows)
           << ",\"ids_differ\":" << joined(differ) << "}\n";
    if (!answer.flush()) throw Error(folder + "/answer.json cannot be written.");
    std::fprintf(stderr, "%zu vectors of %zu texts in %s; ids of %zu texts differ.\n", rows.size(),
                 texts.size(), (folder + "/answer.f32").c_str(), differ.size());
}
#endif
