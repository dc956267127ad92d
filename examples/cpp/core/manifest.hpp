// The facts about a directory that the core needs: minnow.json of a bundle, export.json of the mnn-llm layout.
#pragma once
#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "json.hpp"

namespace minnow {

enum class Role { kNone, kQuery, kDocument };

// An encoder of one fixed shape, for accelerators that accept no other.
struct FixedShape {
    int batch, tokens;
    std::string file;
};

struct Manifest {
    std::string pooling;
    bool mnn_llm, normalize, lowercase, gives_vectors = true, token_types = false, composes = false;
    bool include_prompt;  // else pooling leaves the tokens of a prompt out
    int max_tokens, width, vocab_size = 0, pad_id = 0;
    int output_width;  // of the encoder: that of token states, or else of vectors
    std::vector<FixedShape> shapes;  // from short to long
    std::map<std::string, std::string> prompts;
    std::string default_prompt;
    std::shared_ptr<const Manifest> queries;  // where they have an encoder of their own, in query/
    std::string default_role = "document";    // whose encoder takes a text without a role then; may be empty

    // Returns the prompt for a role, as in the Python package.
    std::string prompt(Role role) const {
        std::vector<std::string> names = {default_prompt};
        if (role == Role::kQuery) names = {"query"};
        if (role == Role::kDocument) names = {"document", "passage", "corpus"};
        for (auto& name : names)
            if (auto found = prompts.find(name); found != prompts.end()) return found->second;
        return "";
    }
};

// Reads what `file` says of one encoder.
inline Manifest read_part(const Json& file, bool mnn_llm) {
    Manifest found;
    found.mnn_llm = mnn_llm;
    const Json &text = mnn_llm ? file : file["embedding"], &network = file["encoder"];
    found.pooling = text.get<std::string>("pooling");
    found.normalize = text.get("normalize", false);
    found.include_prompt = text.get("include_prompt", true);
    found.lowercase = text.get("lowercase", false);
    found.max_tokens = text["max_tokens"].integer("max_tokens");
    found.default_prompt = text.get<std::string>("default_prompt_name", "");
    for (auto& [name, prompt] : text.get("prompts", Json::Object{}))
        found.prompts[name] = prompt.as<std::string>("prompts");
    auto form = file.get<std::string>("normal_form", "");  // of texts, where MNN's engine does not make it
    found.composes = form == "NFC";
    if (!found.composes && !form.empty()) throw Error("it wants texts in the form " + form);
    found.width = (mnn_llm ? file : network)["width"].integer("width");
    found.output_width = found.width;
    if (!mnn_llm) {
        found.vocab_size = network["vocab_size"].integer("vocab_size");
        found.pad_id = network["pad_token_id"].integer("pad_token_id");
        found.token_types = network["token_types"].integer("token_types") > 0;
        auto interface = file["recipe"].get<std::string>("interface", "last_hidden_state");
        found.gives_vectors = interface == "sentence_embedding";
        auto joined = text.get("joined_poolings", Json::Array{});
        auto layers = text.get("layers", Json::Array{});
        if (!found.gives_vectors && (!joined.empty() || !layers.empty() || !found.include_prompt))
            throw Error("its head is not in its encoder");
        found.width *= 1 + static_cast<int>(joined.size());
        for (auto& layer : layers) found.width = layer["width"].integer("width");  // which the encoder applies
        if (auto& kept = text["truncate_dim"]; kept.is<double>())
            found.width = std::min(found.width, kept.integer("truncate_dim"));
        if (found.gives_vectors) found.output_width = found.width;
    }
    for (auto& row : file.get("fixed_shapes", Json::Array{}))
        found.shapes.push_back({row["batch"].integer("batch"), row["tokens"].integer("tokens"),
                                row.get<std::string>("file")});
    std::sort(found.shapes.begin(), found.shapes.end(),
              [](auto& a, auto& b) { return a.tokens < b.tokens; });
    return found;
}

inline Manifest read_manifest(const std::string& folder) {
    Manifest found;
    bool mnn_llm = std::ifstream(folder + "/export.json").good();
    std::string path = folder + (mnn_llm ? "/export.json" : "/minnow.json");
    Json file = read_json(path);
    try {
        if (int format = file["format"].integer("format"); format < 1 || format > (mnn_llm ? 1 : 5))
            throw Error("it has an unsupported version");
        found = read_part(file, mnn_llm);
        if (auto& queries = file["queries"]; queries.is<Json::Object>()) {
            found.queries = std::make_shared<Manifest>(read_part(queries, false));
            found.default_role = file["default_role"].is<std::string>() ? file.get<std::string>("default_role") : "";
            if (found.queries->width != found.width) throw Error("its vectors have two lengths");
        }
        for (auto& [name, record] : file.get<Json::Object>("files"))
            if (std::ifstream part(folder + "/" + name, std::ios::binary | std::ios::ate);
                !part || part.tellg() != std::streamoff(record["size"].integer("size")))
                throw Error("the file " + name + " is missing or truncated");
    } catch (const Error& error) {
        throw Error(path + " cannot be used: " + error.what() + ".");
    }
    return found;
}

}  // namespace minnow
