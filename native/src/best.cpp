#include "best.hpp"

#if __has_include(<sys/utsname.h>)
#include <sys/utsname.h>
#endif

#include <MNN/Interpreter.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>
#include <set>

#include "embedder.hpp"
#include "reranker.hpp"

namespace minnow {
namespace {

constexpr int kFormat = 1, kRounds = 5, kNormal = 0, kHigh = 1, kLow = 2;
constexpr double kEnough = 2.0, kMargin = 0.9, kLengthError = 0.01;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
#if defined(__x86_64__) || defined(_M_X64)
const char* const kProcessor = "x86_64";
constexpr bool kHasHalves = false;  // precision changes nothing there
#else
const char* const kProcessor = sizeof(void*) == 8 ? "aarch64" : "arm";
constexpr bool kHasHalves = true;
#endif
const char* const kEnded = "The app ended while this was tried.";
const std::map<int, std::string> kBackends = {{0, "cpu"}, {1, "metal"}, {2, "cuda"}, {3, "opencl"}, {7, "vulkan"}};

std::string read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(path + " cannot be read.");
    return std::string(std::istreambuf_iterator<char>(file), {});
}

// Returns whether a bundle's weights are rounded to integers.
bool rounds(const Json& manifest) {
    auto rounded = [&](const char* key) { return manifest["recipe"][key].is<Json::Object>(); };
    return rounded("weights") || rounded("words") || rounded("positions");
}

std::string shown(double value, const char* format) {
    char text[40];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string name_of(const Attempt& mode) {
    return kBackends.at(mode.backend) + ", precision " + kModes[mode.precision] + ", memory " + kModes[mode.memory];
}

std::string device() {
    std::string found;
#if __has_include(<sys/utsname.h>)
    utsname name{};
    uname(&name);
    found = std::string(name.sysname) + " " + name.machine;
#endif
    std::ifstream file("/proc/cpuinfo");
    std::map<std::string, std::string> named;
    auto trimmed = [](const std::string& text) {
        size_t start = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t\r");
        return start == std::string::npos ? std::string() : text.substr(start, end - start + 1);
    };
    for (std::string line; std::getline(file, line);)
        if (size_t colon = line.find(':'); colon != std::string::npos)
            named.emplace(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
    for (auto key : {"Hardware", "model name", "CPU implementer", "CPU part"})
        if (auto value = named.find(key); value != named.end() && !value->second.empty()) found += " " + value->second;
    return found;
}

std::string json_of(const BackendChoice& choice) {
    auto number = [](double value) { return std::isfinite(value) ? shown(value, "%.9g") : std::string("null"); };
    std::string attempts;
    for (auto& each : choice.attempts)
        attempts += std::string(attempts.empty() ? "" : ",") + "\n  {\"backend\": " + quoted(kBackends.at(each.backend)) +
                    ", \"precision\": " + quoted(kModes[each.precision]) + ", \"memory\": " +
                    quoted(kModes[each.memory]) + ", \"outcome\": " + quoted(each.outcome) + ", \"worst\": " +
                    number(each.worst) + ", \"seconds\": " + number(each.seconds) + ", \"message\": " +
                    quoted(each.message) + "}";
    return "{\n \"format\": " + std::to_string(kFormat) + ",\n \"bundle\": " + quoted(choice.bundle) +
           ",\n \"device\": " + quoted(choice.device) + ",\n \"mnn\": " + quoted(choice.mnn) + ",\n \"threads\": " +
           std::to_string(choice.threads) + ",\n \"chosen\": " + std::to_string(choice.chosen) + ",\n \"reason\": " +
           quoted(choice.reason) + ",\n \"attempts\": [" + attempts + "\n ]\n}\n";
}

// Writes the record completely or not at all; returns whether it could.
bool write_choice(const std::string& path, const BackendChoice& choice) {
    std::string part = path + ".part";
    {
        std::ofstream file(part, std::ios::binary);
        file << json_of(choice);
        if (!file.flush()) return false;
    }
    std::remove(path.c_str());  // rename does not replace a file on every system
    return std::rename(part.c_str(), path.c_str()) == 0;
}

int number_of(const char* const* begin, const char* const* end, const std::string& word) {
    auto found = std::find(begin, end, word);
    if (found == end) throw Error("its mode " + word + " is unknown");
    return static_cast<int>(found - begin);
}

Attempt attempt_of(const Json& stated) {
    Attempt found{};
    auto backend = std::find_if(kBackends.begin(), kBackends.end(),
                                [&](auto& known) { return known.second == stated.get<std::string>("backend"); });
    if (backend == kBackends.end()) throw Error("its backend is unknown");
    found.backend = backend->first;
    found.precision = number_of(std::begin(kModes), std::end(kModes), stated.get<std::string>("precision"));
    found.memory = number_of(std::begin(kModes), std::end(kModes), stated.get<std::string>("memory"));
    found.outcome = stated.get<std::string>("outcome");
    found.message = stated.get<std::string>("message");
    found.worst = stated.get<double>("worst", kNothing), found.seconds = stated.get<double>("seconds", kNothing);
    return found;
}

std::vector<std::vector<float>> rows_of(const std::vector<float>& all, size_t count) {
    std::vector<std::vector<float>> rows;
    for (size_t n = 0, width = all.size() / count; n < count; ++n)
        rows.emplace_back(all.begin() + n * width, all.begin() + (n + 1) * width);
    return rows;
}

std::vector<std::vector<float>> run_all(const Canaries& canaries, const RunCanaries& run) {
    std::vector<std::vector<float>> found;
    for (auto& batch : canaries.batches) {
        std::vector<Canary> texts;
        for (size_t text : batch) texts.push_back(canaries.texts[text]);
        for (auto& row : run(texts)) found.push_back(std::move(row));
    }
    return found;
}

void attempt(Attempt& mode, const std::vector<Canaries>& canaries, const OpenMode& open, Options options) {
    options.backend = mode.backend, options.precision = mode.precision, options.memory = mode.memory;
    mode.message.clear();
    try {
        std::vector<RunCanaries> encoders = open(options);
        std::vector<double> times;
        for (double total = 0; times.size() <= kRounds && total < kEnough;) {
            auto started = std::chrono::steady_clock::now();
            for (size_t n = 0; n < canaries.size(); ++n) {
                auto found = run_all(canaries[n], encoders.at(n));
                if (!times.empty()) continue;
                try {
                    auto [worst, name] = canaries[n].judge(found);
                    bool worse = mode.message.empty() || (canaries[n].pairs ? worst > mode.worst : worst < mode.worst);
                    if (worse) mode.worst = worst, mode.message = name;
                } catch (const Error& error) {
                    mode.outcome = "wrong", mode.message = error.what();
                    return;
                }
            }
            times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
            total += times.size() > 1 ? times.back() : 0;  // the first one prepares the shapes
        }
        if (times.size() > 1) times.erase(times.begin());
        std::sort(times.begin(), times.end());
        mode.outcome = "right", mode.seconds = times[times.size() / 2];
    } catch (const std::exception& error) {
        mode.outcome = "failed", mode.message = error.what();
    }
}

std::string reason_of(const BackendChoice& choice) {
    auto count = [&](const char* outcome) {
        return std::to_string(std::count_if(choice.attempts.begin(), choice.attempts.end(),
                                            [&](auto& each) { return each.outcome == outcome; }));
    };
    auto &best = choice.attempts[choice.chosen], &own = choice.attempts[0];
    std::string speed;
    if (choice.chosen && own.seconds > 0 && best.seconds > 0)
        speed = ", " + shown(own.seconds / best.seconds, "%.1f") + " times as fast as the default";
    return name_of(best) + ": the fastest of " + count("right") + " that give the canaries' vectors" + speed + "; " +
           count("wrong") + " gave others, " + count("failed") + " are not there.";
}

// Opens the encoders of a bundle, each to run its canaries.
std::vector<RunCanaries> open_encoders(const std::string& folder, const Options& options, bool reranks) {
    if (reranks) {
        auto opened = std::make_shared<Reranker>(folder, options);
        return {[opened](const std::vector<Canary>& batch) {
            std::vector<Pair> pairs;
            for (auto& canary : batch) pairs.emplace_back(canary.text, canary.second);
            return rows_of(opened->logits_batch(pairs), batch.size());
        }};
    }
    auto opened = std::make_shared<Embedder>(folder, options);
    std::vector<RunCanaries> found;
    for (Embedder* encoder : {opened.get(), opened->queries()})
        if (encoder)
            found.push_back([opened, encoder](const std::vector<Canary>& batch) {
                std::vector<std::string> texts, prompts;
                for (auto& canary : batch) texts.push_back(canary.text), prompts.push_back(canary.prompt);
                return rows_of(encoder->encode_batch(texts, prompts), batch.size());
            });
    return found;
}

}  // namespace

std::pair<double, std::string> Canaries::judge(const std::vector<std::vector<float>>& found) const {
    double scale = 1, worst = pairs ? -1 : 2;
    for (auto& row : expected)
        for (float value : row) scale = std::max<double>(scale, std::fabs(value));
    std::string name;
    size_t n = 0;
    for (auto& batch : batches)
        for (size_t text : batch) {
            if (n == found.size() || found[n].size() != expected[text].size())
                throw Error("It gives rows of another shape than the bundle's canaries.");
            auto &row = found[n++], &right = expected[text];
            double product = 0, square = 0, wanted = 0, difference = 0;
            for (size_t i = 0; i < row.size(); ++i) {
                product += double(row[i]) * right[i], square += double(row[i]) * row[i];
                wanted += double(right[i]) * right[i];
                difference = std::max(difference, std::fabs(double(row[i]) - right[i]));
            }
            bool zeros = square == 0 && wanted == 0;  // of a text without a token
            double value = pairs ? difference / scale : zeros ? 1 : product / std::sqrt(square * wanted);
            if (!std::isfinite(square) || !(pairs ? value <= bar : value >= bar))
                throw Error("It does not give the " + std::string(pairs ? "logits" : "vectors") +
                            " of the bundle's canaries: " + texts[text].name + " has " +
                            (pairs ? "difference " : "cosine ") + shown(value, "%.6f") + "; the bar is " +
                            shown(bar, "%g") + ".");
            if (!pairs && !zeros && !(std::fabs(std::sqrt(square / wanted) - 1) <= kLengthError))
                throw Error("Its vector of " + texts[text].name + " has another length than the canary's.");
            if (name.empty() || (pairs ? value > worst : value < worst)) worst = value, name = texts[text].name;
        }
    return {worst, name};
}

bool is_proven(const std::string& folder, const Options& options) {
    Manifest manifest = read_manifest(folder);
    if (options.backend) return false;
    if (manifest.mnn_llm) return !(options.precision == kLow || options.memory == kLow);
    Json file = read_json(folder + "/minnow.json");
    int precision = kHasHalves && options.precision == kLow ? kLow : kNormal;
    int memory = rounds(file) && options.memory == kLow ? kLow : kNormal;
    if (precision == kNormal && memory == kNormal) return true;
    for (auto& proof : file["parity"].get("modes", Json::Array{}))
        if (proof.get<std::string>("processor") == kProcessor && proof.get<std::string>("memory") == kModes[memory] &&
            proof.get<std::string>("precision") == kModes[precision])
            return true;
    return false;
}

std::optional<Canaries> read_canaries(const std::string& folder, const Manifest& manifest) {
    std::string path = folder + "/canaries.json";
    if (!std::ifstream(path).good()) return std::nullopt;
    Json file = read_json(path);
    try {
        if (file["format"].integer("format") != 1) throw Error("it has an unsupported version");
        Canaries found{manifest.reranking.has_value(), file.get<double>("bar"), {}, {}, {}};
        for (auto& text : file.get<Json::Array>("texts"))
            found.texts.push_back({text.get<std::string>("name"), text.get<std::string>("text"),
                                   text.get<std::string>("prompt", ""),
                                   found.pairs ? text.get<std::string>("second") : std::string()});
        for (auto& batch : file.get<Json::Array>("batches")) {
            found.batches.emplace_back();
            for (auto& index : batch.as<Json::Array>("batches"))
                found.batches.back().push_back(static_cast<size_t>(index.integer("batches")));
        }
        for (auto& batch : found.batches) {
            if (batch.empty()) throw Error("it has a batch without a text");
            for (size_t text : batch)
                if (text >= found.texts.size()) throw Error("it has batches of texts that it does not hold");
        }
        std::string content = read_bytes(folder + "/canaries.f32");
        if (found.texts.empty() || found.batches.empty() ||
            content.size() != found.texts.size() * manifest.width * sizeof(float))
            throw Error("canaries.f32 does not fit it");
        std::vector<float> rows(content.size() / sizeof(float));
        std::copy_n(content.data(), content.size(), reinterpret_cast<char*>(rows.data()));
        found.expected = rows_of(rows, found.texts.size());
        return found;
    } catch (const Error& error) {
        throw Error(path + " cannot be used: " + error.what() + ".");
    }
}

std::vector<Options> possible_modes(bool rounds, bool gpus, const Options& options) {
    std::vector<Options> found;
    auto add = [&](int backend, int precision, int memory) {
        Options mode = options;
        mode.backend = backend, mode.precision = precision, mode.memory = memory;
        found.push_back(mode);
    };
    for (int memory : {kNormal, kLow})
        for (int precision : {kNormal, kLow})
            if ((precision == kNormal || kHasHalves) && (memory == kNormal || rounds)) add(0, precision, memory);
    for (auto& [backend, name] : kBackends)
        for (int precision : {kLow, kHigh})
            if (backend && gpus) add(backend, precision, kNormal);
    return found;
}

BackendChoice choose_backend(BackendChoice known, const std::vector<Canaries>& canaries,
                             const std::vector<Options>& modes, const OpenMode& open, const std::string& record) {
    for (auto& each : known.attempts)
        if (each.outcome == "trying") each.outcome = "failed", each.message = kEnded;
    for (auto& mode : modes) {
        auto same = [&](auto& each) {
            return each.backend == mode.backend && each.precision == mode.precision && each.memory == mode.memory;
        };
        if (std::any_of(known.attempts.begin(), known.attempts.end(), same)) continue;
        auto place = &mode == modes.data() ? known.attempts.begin() : known.attempts.end();  // the default comes first
        place = known.attempts.insert(place, {mode.backend, mode.precision, mode.memory, "trying", "", kNothing, kNothing});
        if (!record.empty()) write_choice(record, known);
        attempt(*place, canaries, open, mode);
    }
    double least = std::numeric_limits<double>::infinity();
    for (size_t n = 0; n < known.attempts.size(); ++n) {
        double cost = known.attempts[n].seconds * (n ? 1 : kMargin);  // the default stays unless it is clearly slower
        if (known.attempts[n].outcome == "right" && cost < least) least = cost, known.chosen = static_cast<int>(n);
    }
    if (known.chosen < 0) {
        std::string faults;
        for (auto& each : known.attempts) faults += " " + name_of(each) + ": " + each.message;
        auto again = [](auto& each) { return each.message != kEnded; };
        known.attempts.erase(std::remove_if(known.attempts.begin(), known.attempts.end(), again), known.attempts.end());
        if (!record.empty()) write_choice(record, known);  // all else is tried again
        throw Error("Nothing here gives the vectors of the bundle's canaries." + faults);
    }
    known.reason = reason_of(known);
    if (!record.empty()) write_choice(record, known);
    return known;
}

std::optional<BackendChoice> read_choice(const std::string& path, const BackendChoice& wanted) {
    try {
        Json file = read_json(path);
        BackendChoice found = wanted;
        if (file["format"].integer("format") != kFormat || file.get<std::string>("bundle") != wanted.bundle ||
            file.get<std::string>("device") != wanted.device || file.get<std::string>("mnn") != wanted.mnn ||
            file["threads"].integer("threads") != wanted.threads)
            return std::nullopt;
        for (auto& each : file.get<Json::Array>("attempts")) found.attempts.push_back(attempt_of(each));
        double chosen = file.get<double>("chosen");
        if (!(chosen >= -1 && chosen < static_cast<double>(found.attempts.size()))) return std::nullopt;
        found.chosen = static_cast<int>(chosen), found.reason = file.get<std::string>("reason");
        if (found.chosen >= 0 && found.attempts[found.chosen].outcome != "right") return std::nullopt;
        return found;
    } catch (const Error&) {
        return std::nullopt;
    }
}

Options best_options(const std::string& folder, const std::string& record, const Options& options, bool reranks) {
    if (options.backend || options.precision || options.memory || options.fixed_shapes)
        throw Error("The best backend brings its precision and memory: leave these options 0.");
    Manifest manifest = read_manifest(folder);
    check_kind(manifest, folder, reranks);
    std::vector<Canaries> canaries;
    if (auto found = read_canaries(folder, manifest)) canaries.push_back(*found);
    if (manifest.queries)
        if (auto found = read_canaries(folder + "/query", *manifest.queries)) canaries.push_back(*found);
    if (canaries.size() != (manifest.queries ? 2u : 1u)) return options;  // older than canaries: as it was proven
    Json file = read_json(folder + "/minnow.json");
    BackendChoice wanted;
    wanted.bundle = file.get<std::string>("digest"), wanted.device = device();
    wanted.mnn = MNN::getVersion(), wanted.threads = options.threads;
    auto known = record.empty() ? std::nullopt : read_choice(record, wanted);
    if (!known || known->chosen < 0) {
        bool gpus = !record.empty() && write_choice(record, known ? *known : wanted);
        auto modes = possible_modes(rounds(file), gpus, options);
        auto open = [&](const Options& mode) { return open_encoders(folder, mode, reranks); };
        known = choose_backend(known ? *known : wanted, canaries, modes, open, gpus ? record : "");
    }
    Options best = options;
    auto& chosen = known->attempts[known->chosen];
    best.backend = chosen.backend, best.precision = chosen.precision, best.memory = chosen.memory;
    return best;
}

}  // namespace minnow
