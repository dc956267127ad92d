#include "embedder.hpp"
#include "unicode.hpp"

#if MINNOW_HAS_LLM
#include <MNN/expr/Expr.hpp>
#include <cstring>
#include <llm/llm.hpp>
#endif

namespace minnow {

#if MINNOW_HAS_LLM
namespace {

// MNN's own embedding engine. It truncates nothing and runs one text at a time.
class LlmEncoder : public Encoder {
public:
    LlmEncoder(const std::string& folder, const Manifest& manifest, const Options& options)
        : folder_(folder), manifest_(manifest),
          engine_(MNN::Transformer::Embedding::createEmbedding(folder + "/config.json", false)) {
        if (options.backend || options.fixed_shapes)
            throw Error("The mnn-llm layout has its backend in config.json, and no fixed shapes.");
        static const char* modes[] = {"\"normal\"", "\"high\"", "\"low\""};
        std::string settings = "{\"thread_num\":" + std::to_string(options.threads);
        settings += std::string(",\"precision\":") + modes[options.precision];
        settings += std::string(",\"power\":") + modes[options.power];
        settings += std::string(",\"memory\":") + modes[options.memory] + "}";
        if (!engine_ || !engine_->set_config(settings) || !engine_->load())
            throw Error(folder + " is not a directory that MNN's embedding engine can load.");
        Ids some = whole("a"), none = whole("");
        while (opening_ < none.size() && none[opening_] == some[opening_]) ++opening_;
        closing_.assign(none.begin() + opening_, none.end());
    }

    Ids tokens(const std::string& text) override {
        Ids ids = whole(text);
        size_t limit = manifest_.max_tokens;
        if (ids.size() <= limit) return ids;
        ids.resize(limit - closing_.size());
        ids.insert(ids.end(), closing_.begin(), closing_.end());
        return ids;
    }

    std::vector<float> run(const std::vector<Tokens>& batch) override {
        std::vector<float> found;
        for (auto& text : batch) {
            auto vector = engine_->ids_embedding(text.ids);
            const float* row = vector.get() ? vector->readMap<float>() : nullptr;
            if (!row || static_cast<int>(vector->getInfo()->size) != manifest_.width)
                throw Error(folder_ + ": MNN's embedding engine gave no vector.");
            found.insert(found.end(), row, row + manifest_.width);
        }
        return found;
    }

    size_t most(size_t) const override { return 1; }

private:
    Ids whole(const std::string& text) {
        auto given = manifest_.composes ? encode_utf8(normal_form(decode_utf8(text), false, true)) : text;
        return engine_->tokenizer_encode(engine_->apply_chat_template(given));
    }

    std::string folder_;
    const Manifest& manifest_;
    std::unique_ptr<MNN::Transformer::Embedding> engine_;
    size_t opening_ = 0;
    Ids closing_;
};

}  // namespace

std::unique_ptr<Encoder> open_mnn_llm(const std::string& folder, const Manifest& manifest,
                                      const Options& options) {
    return std::make_unique<LlmEncoder>(folder, manifest, options);
}
#else
std::unique_ptr<Encoder> open_mnn_llm(const std::string& folder, const Manifest&, const Options&) {
    throw Error(folder + " has the mnn-llm layout, but this program is built without MNN's LLM part.");
}
#endif

}  // namespace minnow
