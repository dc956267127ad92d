// The facts about a directory that the core needs: minnow.json of a bundle, export.json of the mnn-llm layout.
#pragma once
#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
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

// The texts around a query and a document in the one text that a chat template makes of both.
struct ChatFrame {
    std::string before, between, after;
    std::optional<std::pair<std::string, std::string>> around_prompt;  // where the template has a place for one

    std::string join(const std::string& query, const std::string& document, const std::string& prompt) const {
        if (!prompt.empty() && !around_prompt)
            throw Error("The chat template of this reranker has no place for a prompt.");
        std::string start = prompt.empty() ? before : around_prompt->first + prompt + around_prompt->second;
        return start + query + between + document + after;
    }
};

// What a reranker adds: from a pair of texts to its tokens, and from its logits to its scores.
struct Reranking {
    std::vector<std::string> labels;  // a name per logit
    bool sigmoid;        // makes scores of the logits; else they are the scores
    bool only_second;    // cut the second text of a pair over the limit; else the longer one
    bool segments;       // the second text has a token type of its own
    std::optional<ChatFrame> chat;
};

struct Manifest {
    std::string pooling;
    std::string output;  // of the encoder: last_hidden_state, sentence_embedding or scores
    bool mnn_llm, normalize, lowercase, token_types = false, composes = false;
    bool include_prompt;  // else pooling leaves the tokens of a prompt out
    int max_tokens, width, vocab_size = 0, pad_id = 0;
    int output_width;  // of a row of the encoder's output
    std::optional<Reranking> reranking;
    std::vector<FixedShape> shapes;  // from short to long
    std::map<std::string, std::string> prompts;
    std::string default_prompt;
    std::shared_ptr<const Manifest> queries;  // where they have an encoder of their own, in query/
    std::string default_role = "document";    // whose encoder takes a text without a role then; may be empty
    std::vector<int> unpooled_ids;            // of which a text without another token has one

    bool gives_states() const { return output == "last_hidden_state"; }

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

inline Reranking read_reranking(const Json& stated) {
    Reranking found;
    for (auto& label : stated.get<Json::Array>("labels")) found.labels.push_back(label.as<std::string>("labels"));
    auto chosen = [&](const char* key, const std::string& usual, const std::string& other) {
        auto& name = stated.get<std::string>(key);
        if (name != usual && name != other) throw Error(std::string("its ") + key + " is " + name + ", which is missing here");
        return name == other;
    };
    found.sigmoid = chosen("activation", "identity", "sigmoid");
    found.only_second = chosen("truncation", "longest_first", "only_second");
    found.segments = stated.get("segments", false);
    if (auto& chat = stated["chat"]; chat.is<Json::Object>()) {
        found.chat = {chat.get<std::string>("before"), chat.get<std::string>("between"),
                      chat.get<std::string>("after"), std::nullopt};
        if (auto& prompt = chat["around_prompt"]; prompt.is<Json::Array>()) {
            auto& parts = prompt.as<Json::Array>("around_prompt");
            if (parts.size() != 2) throw Error("its \"around_prompt\" is not two texts");
            found.chat->around_prompt = {parts[0].as<std::string>("around_prompt"),
                                         parts[1].as<std::string>("around_prompt")};
        }
    }
    return found;
}

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
        found.output = file["recipe"].get<std::string>("interface", "last_hidden_state");
        if (!found.gives_states() && found.output != "sentence_embedding" && found.output != "scores")
            throw Error("its encoder gives " + found.output + ", which is missing here");
        if (auto& stated = file["reranking"]; stated.is<Json::Object>()) found.reranking = read_reranking(stated);
        if (found.reranking.has_value() != (found.output == "scores"))
            throw Error("its encoder gives " + found.output + ", and its \"reranking\" does not fit that");
        for (auto& id : text.get("unpooled_ids", Json::Array{})) found.unpooled_ids.push_back(id.integer("unpooled_ids"));
        auto joined = text.get("joined_poolings", Json::Array{});
        auto layers = text.get("layers", Json::Array{});
        bool plain = joined.empty() && layers.empty() && found.unpooled_ids.empty() && found.include_prompt;
        if (found.gives_states() && !plain)
            throw Error("its head is not in its encoder");
        found.width *= 1 + static_cast<int>(joined.size());
        for (auto& layer : layers) found.width = layer["width"].integer("width");  // which the encoder applies
        if (auto& kept = text["truncate_dim"]; kept.is<double>())
            found.width = std::min(found.width, kept.integer("truncate_dim"));
        if (!found.gives_states()) found.output_width = found.width;
        if (found.reranking && found.reranking->labels.size() != static_cast<size_t>(found.width))
            throw Error("it names another number of labels than its encoder gives");
    }
    for (auto& row : file.get("fixed_shapes", Json::Array{}))
        found.shapes.push_back({row["batch"].integer("batch"), row["tokens"].integer("tokens"),
                                row.get<std::string>("file")});
    std::sort(found.shapes.begin(), found.shapes.end(),
              [](auto& a, auto& b) { return a.tokens < b.tokens; });
    return found;
}

// Throws Error where a folder is a reranker and an embedding model is wanted, or the other way.
inline void check_kind(const Manifest& manifest, const std::string& folder, bool reranks) {
    if (manifest.reranking && !reranks)
        throw Error(folder + " is a reranker: it scores pairs of texts and gives no vectors. Open it as a reranker.");
    if (!manifest.reranking && reranks)
        throw Error(folder + " is an embedding model: it gives vectors and scores no pairs. Open it as an embedder.");
}

inline Manifest read_manifest(const std::string& folder) {
    Manifest found;
    bool mnn_llm = std::ifstream(folder + "/export.json").good();
    std::string path = folder + (mnn_llm ? "/export.json" : "/minnow.json");
    Json file = read_json(path);
    try {
        if (int format = file["format"].integer("format"); format < 1 || format > (mnn_llm ? 1 : 8))
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
