#include "embedder.hpp"

#include <MNN/Interpreter.hpp>
#include <MNN/Tensor.hpp>
#include <cmath>
#include <cstring>
#include <numeric>

#include "tokenizer.hpp"

namespace minnow {
namespace {

using MNN::Tensor;

// An encoder.mnn and its session, resized to one shape at a time.
class Session {
public:
    Session(const std::string& path, const Manifest& manifest, const Options& options)
        : path_(path), manifest_(manifest), net_(MNN::Interpreter::createFromFile(path.c_str())) {
        if (!net_) throw Error(path + " is not a model that MNN can load.");
        if (options.memory == MNN::BackendConfig::Memory_Low)
            net_->setSessionHint(MNN::Interpreter::DYNAMIC_QUANT_OPTIONS, 2);  // a scale per block
        MNN::BackendConfig backend;
        backend.precision = static_cast<MNN::BackendConfig::PrecisionMode>(options.precision);
        backend.power = static_cast<MNN::BackendConfig::PowerMode>(options.power);
        backend.memory = static_cast<MNN::BackendConfig::MemoryMode>(options.memory);
        MNN::ScheduleConfig schedule;
        schedule.type = static_cast<MNNForwardType>(options.backend);
        schedule.numThread = options.threads;
        schedule.backendConfig = &backend;
        session_ = net_->createSession(schedule);
        int used[8] = {options.backend};
        if (!session_ || !net_->getSessionInfo(session_, MNN::Interpreter::BACKENDS, used))
            throw Error(path + ": MNN cannot create a session for it.");
        if (options.backend != MNN_FORWARD_CPU && used[0] != options.backend)  // MNN would silently use the CPU
            throw Error("This MNN has no backend " + std::to_string(options.backend) +
                        ", or not on this machine.");
        output_ = manifest.gives_vectors ? "sentence_embedding" : "last_hidden_state";
        auto inputs = net_->getSessionInputAll(session_), outputs = net_->getSessionOutputAll(session_);
        if (inputs.size() != names().size() || !outputs.count(output_))
            throw Error(path + " has other inputs and outputs than its manifest says.");
    }

    // `ids`, `mask` and `pooled`, the mask without prompts, are rows of `tokens` numbers. Returns the output.
    std::vector<float> run(const std::vector<int>& ids, const std::vector<int>& mask,
                           const std::vector<int>& pooled, int tokens) {
        std::vector<int> shape = {static_cast<int>(ids.size()) / tokens, tokens}, types(ids.size());
        if (shape != shape_) {
            for (auto name : names()) net_->resizeTensor(input(name), shape);
            net_->resizeSession(session_);  // reports no failure; runSession does
            shape_ = shape;
        }
        const std::map<std::string, const std::vector<int>*> values = {
            {"input_ids", &ids}, {"attention_mask", &mask}, {"token_type_ids", &types}, {"pooling_mask", &pooled}};
        for (auto name : names()) {
            Tensor host(input(name), Tensor::CAFFE);
            if (host.elementSize() != static_cast<int>(ids.size())) fail("does not accept the shape");
            std::memcpy(host.host<int>(), values.at(name)->data(), ids.size() * sizeof(int));
            input(name)->copyFromHostTensor(&host);
        }
        if (int code = net_->runSession(session_); code != MNN::NO_ERROR)
            fail("failed with code " + std::to_string(code));
        Tensor* output = net_->getSessionOutput(session_, output_.c_str());
        Tensor host(output, Tensor::CAFFE);
        int rows = manifest_.gives_vectors ? shape[0] : shape[0] * tokens;
        if (host.elementSize() != rows * manifest_.output_width || !output->copyToHostTensor(&host))
            fail("gave no output of the right shape");
        return {host.host<float>(), host.host<float>() + host.elementSize()};
    }

private:
    std::vector<const char*> names() const {
        std::vector<const char*> found = {"input_ids", "attention_mask"};
        if (manifest_.token_types) found.push_back("token_type_ids");
        if (!manifest_.include_prompt) found.push_back("pooling_mask");
        return found;
    }
    Tensor* input(const char* name) {
        if (Tensor* found = net_->getSessionInput(session_, name)) return found;
        throw Error(path_ + " has no input " + name + ".");
    }
    [[noreturn]] void fail(const std::string& what) {
        std::string shape = std::to_string(shape_[0]) + "x" + std::to_string(shape_[1]);
        shape_.clear();
        throw Error(path_ + ": MNN " + what + ", on a batch of " + shape + " tokens.");
    }

    std::string path_, output_;
    const Manifest& manifest_;
    std::unique_ptr<MNN::Interpreter> net_;
    MNN::Session* session_ = nullptr;
    std::vector<int> shape_;
};

// Pools the token states of one text (tokens x width) into a vector, as sentence-transformers does.
void pool(const float* states, int tokens, int width, const std::string& how, float* vector) {
    double sum_of_weights = 0;
    std::vector<double> sum(width);
    for (int t = 0; t < tokens; ++t) {
        const float* state = states + static_cast<size_t>(t) * width;
        double weight = how == "cls" ? t == 0 : how == "lasttoken" ? t == tokens - 1
                      : how == "weightedmean" ? t + 1 : 1;
        sum_of_weights += weight;
        for (int i = 0; i < width; ++i)
            sum[i] = how != "max" ? sum[i] + weight * state[i]
                   : t ? std::max<double>(sum[i], state[i]) : state[i];
    }
    if (how == "mean_sqrt_len_tokens") sum_of_weights = std::sqrt(sum_of_weights);
    for (int i = 0; i < width; ++i)
        vector[i] = static_cast<float>(how == "max" ? sum[i] : sum[i] / sum_of_weights);
}

class BundleEncoder : public Encoder {
public:
    BundleEncoder(const std::string& folder, const Manifest& manifest, const Options& options)
        : folder_(folder), manifest_(manifest), options_(options),
          tokenizer_(folder + "/tokenizer.json", manifest.lowercase, manifest.max_tokens) {
        static const char* known[] = {"cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean",
                                      "lasttoken"};
        if (std::find(std::begin(known), std::end(known), manifest.pooling) == std::end(known))
            throw Error(folder + " has an unsupported pooling: " + manifest.pooling + ".");
        if (!options.fixed_shapes) session("encoder.mnn", options);
        else if (manifest.shapes.empty()) throw Error(folder + " has no encoder of a fixed shape.");
    }

    Ids tokens(const std::string& text) override { return tokenizer_.encode(text); }

    size_t prompt_tokens(const std::string& prompt) override { return tokenizer_.prompt_tokens(prompt); }

    size_t most(size_t tokens) const override {
        if (auto shape = fixed(tokens)) return static_cast<size_t>(shape->batch);
        return std::max<size_t>(1, std::min<size_t>(32, 1024 / tokens));
    }

    std::vector<float> run(const std::vector<Ids>& batch, const std::vector<size_t>& left_out) override {
        size_t tokens = 0, rows = batch.size(), width = manifest_.output_width;
        for (auto& row : batch) tokens = std::max(tokens, row.size());
        auto shape = fixed(tokens);
        if (shape && rows > static_cast<size_t>(shape->batch)) {
            auto middle = batch.begin() + shape->batch;
            auto split = left_out.begin() + shape->batch;
            std::vector<float> found = run({batch.begin(), middle}, {left_out.begin(), split});
            std::vector<float> more = run({middle, batch.end()}, {split, left_out.end()});
            found.insert(found.end(), more.begin(), more.end());
            return found;
        }
        Options cpu = options_;
        cpu.backend = options_.fixed_shapes ? MNN_FORWARD_CPU : options_.backend;
        auto& encoder = shape ? session(shape->file, options_) : session("encoder.mnn", cpu);
        if (shape) tokens = shape->tokens, rows = std::max<size_t>(rows, shape->batch);
        std::vector<int> ids(rows * tokens, manifest_.pad_id), mask(rows * tokens), pooled(rows * tokens);
        for (size_t r = 0; r < rows; ++r) {
            size_t text = std::min(r, batch.size() - 1);  // the last text fills a fixed batch
            auto& row = batch[text];
            std::copy(row.begin(), row.end(), ids.begin() + r * tokens);
            std::fill_n(mask.begin() + r * tokens, row.size(), 1);
            std::fill_n(pooled.begin() + r * tokens + left_out[text], row.size() - left_out[text], 1);
        }
        std::vector<float> found = encoder.run(ids, mask, pooled, static_cast<int>(tokens));
        if (!manifest_.gives_vectors)
            for (size_t r = 0; r < batch.size(); ++r)  // vectors are shorter than the states they replace
                pool(&found[r * tokens * width], batch[r].size(), width, manifest_.pooling,
                     &found[r * width]);
        found.resize(batch.size() * width);
        return found;
    }

private:
    const FixedShape* fixed(size_t tokens) const {
        if (options_.fixed_shapes)
            for (auto& shape : manifest_.shapes)
                if (static_cast<size_t>(shape.tokens) >= tokens) return &shape;
        return nullptr;
    }
    Session& session(const std::string& file, const Options& options) {
        auto& found = sessions_[file];
        if (!found) found = std::make_unique<Session>(folder_ + "/" + file, manifest_, options);
        return *found;
    }

    std::string folder_;
    const Manifest& manifest_;
    Options options_;
    Tokenizer tokenizer_;
    std::map<std::string, std::unique_ptr<Session>> sessions_;
};

}  // namespace

std::unique_ptr<Encoder> open_bundle(const std::string& folder, const Manifest& manifest,
                                     const Options& options) {
    return std::make_unique<BundleEncoder>(folder, manifest, options);
}

Embedder::Embedder(const std::string& folder, const Options& options)
    : Embedder(folder, read_manifest(folder), options) {}

Embedder::Embedder(const std::string& folder, const Manifest& manifest, const Options& options)
    : manifest_(manifest) {
    if (options.threads < 1) throw Error("The number of threads should be at least 1.");
    encoder_ = (manifest_.mnn_llm ? open_mnn_llm : open_bundle)(folder, manifest_, options);
    if (manifest_.queries) queries_.reset(new Embedder(folder + "/query", *manifest_.queries, options));
}

std::vector<Ids> Embedder::token_ids(const std::vector<std::string>& texts, const std::string& prompt) {
    std::vector<Ids> ids;
    for (auto& text : texts) ids.push_back(encoder_->tokens(prompt + text));
    for (size_t n = 0; n < ids.size(); ++n) {
        if (ids[n].empty())
            throw Error("Text " + std::to_string(n) + " is empty, and this model adds no token.");
        for (int id : ids[n])
            if (manifest_.vocab_size && id >= manifest_.vocab_size)
                throw Error("The tokenizer gives id " + std::to_string(id) +
                            ", which the model does not know.");
    }
    return ids;
}

std::vector<float> Embedder::encode(const std::vector<std::string>& texts, Role role) {
    if (queries_) {
        bool plain = role == Role::kNone;
        if (plain && manifest_.default_role.empty())
            throw Error("This model embeds queries and documents; give a role.");
        if (role == Role::kQuery || (plain && manifest_.default_role == "query"))
            return queries_->encode(texts, role);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    const std::string prompt = manifest_.prompt(role);
    std::vector<Ids> ids = token_ids(texts, prompt);
    std::vector<size_t> order(texts.size());
    std::iota(order.begin(), order.end(), 0);  // batches of texts of similar length, the longest first
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return ids[a].size() > ids[b].size(); });
    std::vector<float> vectors(texts.size() * width());
    for (size_t start = 0, end; start < order.size(); start = end) {
        end = std::min(order.size(), start + encoder_->most(ids[order[start]].size()));
        std::vector<Ids> batch;
        std::vector<size_t> left;
        for (size_t n = start; n < end; ++n) {
            batch.push_back(ids[order[n]]);
            left.push_back(left_out(prompt, batch.back()));
        }
        std::vector<float> found = run(batch, left);
        for (size_t n = start; n < end; ++n)
            std::copy_n(found.begin() + (n - start) * width(), width(), vectors.begin() + order[n] * width());
    }
    return vectors;
}

std::vector<float> Embedder::encode_batch(const std::vector<std::string>& texts, const std::string& prompt) {
    return encode_batch(texts, std::vector<std::string>(texts.size(), prompt));
}

std::vector<float> Embedder::encode_batch(const std::vector<std::string>& texts,
                                          const std::vector<std::string>& prompts) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Ids> ids;
    std::vector<size_t> left;
    for (size_t n = 0; n < texts.size(); ++n) {
        ids.push_back(token_ids({texts[n]}, prompts.at(n))[0]);
        left.push_back(left_out(prompts[n], ids.back()));
    }
    return texts.empty() ? std::vector<float>{} : run(ids, left);
}

// Returns how many of a text's first tokens pooling leaves out; at least one of them is pooled.
size_t Embedder::left_out(const std::string& prompt, const Ids& ids) {
    if (manifest_.include_prompt || prompt.empty()) return 0;
    size_t found = encoder_->prompt_tokens(prompt);
    if (found >= ids.size()) throw Error("A text is empty, and this model adds no token behind its prompt.");
    return found;
}

std::vector<float> Embedder::run(const std::vector<Ids>& batch, const std::vector<size_t>& left_out) {
    std::vector<float> found = encoder_->run(batch, left_out);
    for (size_t r = 0; r < batch.size(); ++r) {
        float* row = &found[r * manifest_.output_width];
        double square = std::inner_product(row, row + manifest_.output_width, row, 0.0);
        if (!std::isfinite(square)) throw Error("MNN gave NaN or infinity.");
        double length = 1;
        if (manifest_.normalize && !manifest_.gives_vectors)  // else the encoder normalised it
            length = std::max(std::sqrt(square), 1e-12);
        for (int i = 0; i < width(); ++i)  // a vector is truncated after it is normalised
            found[r * width() + i] = static_cast<float>(row[i] / length);
    }
    found.resize(batch.size() * width());
    return found;
}

}  // namespace minnow
