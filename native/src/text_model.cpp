#include "text_model.hpp"

#include "sha256.hpp"

namespace minnow {
namespace {

const double kLeastParity = 0.99;
const char* const kSame[] = {"weights_sha256", "tokenizer_sha256", "pooling", "normalize", "query_prompt",
                             "document_prompt", "lowercase", "max_tokens", "width", "truncated_from", "similarity"};

// Returns the poolings and layers of a head in words, as `Head.description` of src/minnow/model/head.py has them.
std::string describe_head(const Json& embedding) {
    std::string found = embedding.get<std::string>("pooling");
    for (auto& pooling : embedding.get("joined_poolings", Json::Array{})) found += "+" + pooling.as<std::string>("joined_poolings");
    std::string ids;
    for (auto& id : embedding.get("unpooled_ids", Json::Array{}))
        ids += (ids.empty() ? "" : ", ") + std::to_string(id.integer("unpooled_ids"));
    if (!ids.empty()) found += " without the tokens " + ids;
    if (!embedding.get("include_prompt", true)) found += " without the prompt";
    for (auto& layer : embedding.get("layers", Json::Array{})) {
        auto& kind = layer.get<std::string>("kind");
        if (kind != "dense") { found += kind == "unit_length" ? ", L2 normalisation" : ", LayerNorm"; continue; }
        auto activation = layer.get<std::string>("activation", "identity");
        found += ", dense to " + std::to_string(layer["width"].integer("width"));
        if (activation != "identity") found += ", " + activation;
        if (layer.get("residual", false)) found += ", residual";
    }
    return found;
}

double worst_of(const Json& part) {
    double worst = 1;
    for (auto& run : part["parity"].get<Json::Array>("runs")) worst = std::min(worst, run.get<double>("worst"));
    return worst;
}

Json read_fingerprint(const std::string& folder) {
    Manifest manifest = read_manifest(folder);
    Json file = read_json(folder + "/minnow.json");
    auto &source = file["source"], &text = file["embedding"], &recipe = file["recipe"], &files = file["files"];
    std::string weights = source.get<std::string>("weights_sha256"), pooling = describe_head(text);
    std::string tokenizer = files["tokenizer.json"].get<std::string>("sha256");
    double worst = worst_of(file);
    Json whole = recipe;
    if (auto& queries = file["queries"]; queries.is<Json::Object>()) {
        auto& asked = queries["embedding"];
        weights = sha256(weights + queries["source"].get<std::string>("weights_sha256"));
        tokenizer = sha256(tokenizer + files["query/tokenizer.json"].get<std::string>("sha256"));
        pooling += "; of queries " + describe_head(asked) + (asked.get("normalize", false) ? ", normalised" : "") +
                   (asked.get("lowercase", false) ? ", lowercased" : "") + ", " +
                   std::to_string(asked["max_tokens"].integer("max_tokens")) + " tokens";
        worst = std::min(worst, worst_of(queries));
        std::get<Json::Object>(whole.value).emplace_back("queries", queries["recipe"]);
    }
    return {Json::Object{
        {"source", source["name"]}, {"model_id", source["model_id"]}, {"revision", source["revision"]},
        {"weights_sha256", {weights}}, {"tokenizer_sha256", {tokenizer}}, {"pooling", {pooling}},
        {"normalize", {text.get("normalize", false)}}, {"query_prompt", {manifest.prompt(Role::kQuery)}},
        {"document_prompt", {manifest.prompt(Role::kDocument)}}, {"lowercase", {text.get("lowercase", false)}},
        {"max_tokens", text["max_tokens"]}, {"width", {static_cast<double>(manifest.width)}}, {"similarity", text["similarity"]},
        {"precision", recipe["precision"]}, {"interface", recipe["interface"]}, {"worst_cosine", {worst}}, {"recipe", whole}}};
}

}  // namespace

Fingerprint::Fingerprint(Json given) : stated(std::move(given)) {
    width = stated["width"].integer("width");
    if (width < 1 || width > 1'000'000) throw Error("its \"width\" is out of range");
    similarity = read_similarity(stated.get<std::string>("similarity"));
}

Fingerprint Fingerprint::of_bundle(const std::string& folder) {
    try {
        return Fingerprint(read_fingerprint(folder));
    } catch (const Error& error) {
        throw Error(folder + " cannot make an index or search in one: " + error.what() + ".");
    }
}

std::string Fingerprint::shown() const {
    std::string name = stated.get<std::string>("model_id", "");
    return (name.empty() ? stated.get<std::string>("source", "?") : name) + " in " + stated.get<std::string>("precision", "?");
}

void Fingerprint::check(const Fingerprint& given, const std::string& file) const {
    Json other = given.stated;
    if (stated["truncated_from"].is<double>()) {  // the file keeps the first numbers only
        auto& fields = std::get<Json::Object>(other.value);
        for (auto& [name, field] : fields)
            if (name == "width") field = stated["width"];
        fields.emplace_back("truncated_from", Json{static_cast<double>(given.width)});
    }
    for (auto* key : kSame)
        if (stated[key] != other[key])
            throw Error(file + " was made with another model (" + shown() + "; this is " + given.shown() + "): its " + key +
                        " is another. Use a bundle of that model.");
    auto parity = [](const Fingerprint& one) { return one.stated.get("worst_cosine", 0.0); };
    bool close = parity(*this) >= kLeastParity && parity(given) >= kLeastParity;
    if (stated["recipe"] != given.stated["recipe"] && !close)
        throw Error(file + " was made with " + shown() + ", and this bundle is " + given.shown() +
                    ". Precisions may be mixed where the proofs of both reach 0.99. Use the bundle it was made with.");
}

}  // namespace minnow
