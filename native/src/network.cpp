#include "network.hpp"

#include <MNN/Interpreter.hpp>
#include <MNN/Tensor.hpp>
#include <sys/stat.h>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
#define MINNOW_HAS_MXCSR
#endif

namespace minnow {

using MNN::Tensor;

// Takes subnormal numbers for zeros in this thread, and in threads that begin meanwhile. MNN's softmax makes such
// weights of padding, and x86 multiplies them many times as slowly as others; ARM does not.
class SubnormalsAsZeros {
#ifdef MINNOW_HAS_MXCSR
public:
    SubnormalsAsZeros() { _mm_setcsr(before_ | 1 << 15 | 1 << 6); }  // FTZ, DAZ
    ~SubnormalsAsZeros() { _mm_setcsr(before_); }

private:
    unsigned before_ = _mm_getcsr();
#endif
};

// What tells a file from another one in its place, or from itself overwritten; zeros where there is none.
std::array<int64_t, 3> state_of(const std::string& path) {
    struct stat found = {};
    if (stat(path.c_str(), &found)) return {};
    return {static_cast<int64_t>(found.st_ino), static_cast<int64_t>(found.st_size), static_cast<int64_t>(found.st_mtime)};
}

// An encoder.mnn and its session, resized to one shape at a time.
class Session {
public:
    Session(const std::string& path, const Manifest& manifest, const Options& options)
        : path_(path), manifest_(manifest), numbers_(state_of(path + ".weight")), net_(MNN::Interpreter::createFromFile(path.c_str())) {
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
        [[maybe_unused]] SubnormalsAsZeros in_its_threads;
        session_ = net_->createSession(schedule);
        int used[8] = {options.backend};
        if (!session_ || !net_->getSessionInfo(session_, MNN::Interpreter::BACKENDS, used))
            throw Error(path + ": MNN cannot create a session for it.");
        if (options.backend != MNN_FORWARD_CPU && used[0] != options.backend)  // MNN would silently use the CPU
            throw Error("This MNN has no backend " + std::to_string(options.backend) +
                        ", or not on this machine.");
        auto inputs = net_->getSessionInputAll(session_), outputs = net_->getSessionOutputAll(session_);
        if (inputs.size() != names().size() || !outputs.count(manifest.output))
            throw Error(path + " has other inputs and outputs than its manifest says.");
    }

    // All are rows of `tokens` numbers; `pooled` is the mask without prompts. Returns the output.
    std::vector<float> run(const Ids& ids, const Ids& mask, const Ids& types, const Ids& pooled, int tokens) {
        std::vector<int> shape = {static_cast<int>(ids.size()) / tokens, tokens};
        if (shape != shape_) {
            if (state_of(path_ + ".weight") != numbers_)  // of which MNN reads some again for each shape
                throw Error(path_ + ".weight was replaced or overwritten since it was opened. Open it again.");
            for (auto name : names()) net_->resizeTensor(input(name), shape);
            net_->resizeSession(session_);  // reports no failure; runSession does
            shape_ = shape;
        }
        const std::map<std::string, const Ids*> values = {
            {"input_ids", &ids}, {"attention_mask", &mask}, {"token_type_ids", &types}, {"pooling_mask", &pooled}};
        for (auto name : names()) {
            Tensor host(input(name), Tensor::CAFFE);
            if (host.elementSize() != static_cast<int>(ids.size())) fail("does not accept the shape");
            std::memcpy(host.host<int>(), values.at(name)->data(), ids.size() * sizeof(int));
            input(name)->copyFromHostTensor(&host);
        }
        [[maybe_unused]] SubnormalsAsZeros in_this_run;
        if (int code = net_->runSession(session_); code != MNN::NO_ERROR)
            fail("failed with code " + std::to_string(code));
        Tensor* output = net_->getSessionOutput(session_, manifest_.output.c_str());
        Tensor host(output, Tensor::CAFFE);
        int rows = manifest_.gives_states() ? shape[0] * tokens : shape[0];
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

    std::string path_;
    const Manifest& manifest_;
    std::array<int64_t, 3> numbers_;
    std::unique_ptr<MNN::Interpreter> net_;
    MNN::Session* session_ = nullptr;
    std::vector<int> shape_;
};

namespace {

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

}  // namespace

Network::Network(const std::string& folder, const Manifest& manifest, const Options& options)
    : folder_(folder), manifest_(manifest), options_(options) {
    static const char* known[] = {"cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};
    if (std::find(std::begin(known), std::end(known), manifest.pooling) == std::end(known))
        throw Error(folder + " has an unsupported pooling: " + manifest.pooling + ".");
    if (options.threads < 1) throw Error("The number of threads should be at least 1.");
    if (!options.fixed_shapes) session("encoder.mnn", options);
    else if (manifest.shapes.empty()) throw Error(folder + " has no encoder of a fixed shape.");
}

Network::~Network() = default;

size_t Network::most(size_t tokens) const {
    if (auto shape = fixed(tokens)) return static_cast<size_t>(shape->batch);
    return std::max<size_t>(1, std::min<size_t>(32, 1024 / tokens));
}

std::vector<float> Network::run(const std::vector<Tokens>& batch) {
    size_t tokens = 0, rows = batch.size(), width = manifest_.output_width;
    for (auto& row : batch) tokens = std::max(tokens, row.ids.size());
    auto shape = fixed(tokens);
    if (shape && rows > static_cast<size_t>(shape->batch)) {
        auto middle = batch.begin() + shape->batch;
        std::vector<float> found = run({batch.begin(), middle}), more = run({middle, batch.end()});
        found.insert(found.end(), more.begin(), more.end());
        return found;
    }
    Options cpu = options_;
    cpu.backend = options_.fixed_shapes ? MNN_FORWARD_CPU : options_.backend;
    auto& encoder = shape ? session(shape->file, options_) : session("encoder.mnn", cpu);
    if (shape) tokens = shape->tokens, rows = std::max<size_t>(rows, shape->batch);
    Ids ids(rows * tokens, manifest_.pad_id), mask(rows * tokens), types(rows * tokens), pooled(rows * tokens);
    for (size_t r = 0; r < rows; ++r) {
        auto& row = batch[std::min(r, batch.size() - 1)];  // the last one fills a fixed batch
        std::copy(row.ids.begin(), row.ids.end(), ids.begin() + r * tokens);
        std::copy(row.types.begin(), row.types.end(), types.begin() + r * tokens);
        std::fill_n(mask.begin() + r * tokens, row.ids.size(), 1);
        std::fill_n(pooled.begin() + r * tokens + row.left_out, row.ids.size() - row.left_out, 1);
    }
    std::vector<float> found = encoder.run(ids, mask, types, pooled, static_cast<int>(tokens));
    if (manifest_.gives_states())
        for (size_t r = 0; r < batch.size(); ++r)  // vectors are shorter than the states they replace
            pool(&found[r * tokens * width], batch[r].ids.size(), width, manifest_.pooling, &found[r * width]);
    found.resize(batch.size() * width);
    return found;
}

const FixedShape* Network::fixed(size_t tokens) const {
    if (options_.fixed_shapes)
        for (auto& shape : manifest_.shapes)
            if (static_cast<size_t>(shape.tokens) >= tokens) return &shape;
    return nullptr;
}

Session& Network::session(const std::string& file, const Options& options) {
    auto& found = sessions_[file];
    if (!found) found = std::make_unique<Session>(folder_ + "/" + file, manifest_, options);
    return *found;
}

std::vector<float> run_by_length(const std::vector<Tokens>& rows, size_t width,
                                 const std::function<size_t(size_t)>& most, const Run& run) {
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return rows[a].ids.size() > rows[b].ids.size(); });
    std::vector<float> all(rows.size() * width);
    for (size_t start = 0, end; start < order.size(); start = end) {
        end = std::min(order.size(), start + most(rows[order[start]].ids.size()));
        std::vector<Tokens> batch;
        for (size_t n = start; n < end; ++n) batch.push_back(rows[order[n]]);
        std::vector<float> found = run(batch);
        for (size_t n = start; n < end; ++n)
            std::copy_n(found.begin() + (n - start) * width, width, all.begin() + order[n] * width);
    }
    return all;
}

void check_ids(const std::vector<Tokens>& rows, const Manifest& manifest) {
    for (auto& row : rows)
        for (int id : row.ids)
            if (manifest.vocab_size && id >= manifest.vocab_size)
                throw Error("The tokenizer gives id " + std::to_string(id) + ", which the model does not know.");
}

}  // namespace minnow
