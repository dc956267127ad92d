#include "vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "json.hpp"

namespace minnow {
namespace {

const int kLanes = 16;  // sums that a compiler keeps in vector registers
const double kRrf = 60, kVectorWeight = 0.8;
const char* const kDamaged = ": the file is damaged.";

template <class Number> float dot(const float* a, const Number* b, int width) {
    float sums[kLanes] = {};
    int at = 0;
    for (; at + kLanes <= width; at += kLanes)
        for (int lane = 0; lane < kLanes; ++lane) sums[lane] += a[at + lane] * b[at + lane];
    float sum = 0;
    for (; at < width; ++at) sum += a[at] * b[at];
    for (float part : sums) sum += part;
    return sum;
}

double length_of(const float* vector, int width) {
    double sum = 0;
    for (int i = 0; i < width; ++i) sum += static_cast<double>(vector[i]) * vector[i];
    return std::sqrt(sum);
}

float from_half(uint16_t half) {
    uint32_t bits = static_cast<uint32_t>(half & 0x7fff) << 13;
    float found;
    std::memcpy(&found, &bits, 4);
    found *= 0x1p112f;
    return half & 0x8000 ? -found : found;
}

uint16_t to_half(float number) {  // rounded to the nearest, of two the even one
    uint32_t bits;
    std::memcpy(&bits, &number, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x477ff000) throw Error("a vector holds NaN, infinity or a number above 65504");
    if (magnitude < 0x38800000) {  // of less than the least normal half
        float tiny;
        std::memcpy(&tiny, &magnitude, 4);
        return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(tiny * 0x1p24f)));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000) >> 13));
}

bool is_product(Similarity kind) { return kind == Similarity::kCosine || kind == Similarity::kDot; }

std::vector<double> scaled(std::vector<double> scores, double least) {
    double greatest = least;
    for (double score : scores) greatest = std::max(greatest, score);
    double span = greatest - least;
    for (double& score : scores) score = span > 0 ? (score - least) / span : 0;
    return scores;
}

}  // namespace

Similarity read_similarity(const std::string& name) {
    const char* const names[] = {"cosine", "dot", "euclidean", "manhattan"};
    for (int i = 0; i < 4; ++i)
        if (name == names[i]) return static_cast<Similarity>(i);
    throw Error("its similarity is " + name + ", which is unknown here");
}

Encoding read_encoding(const std::string& name) {
    if (name == "float16") return Encoding::kFloat16;
    if (name == "int8") return Encoding::kInt8;
    throw Error("its vectors are stored as " + name + ", which is unknown here");
}

Ranking best(const std::vector<int64_t>& ids, const std::vector<double>& scores, size_t count) {
    std::vector<size_t> places;
    for (size_t i = 0; i < ids.size(); ++i)
        if (scores[i] != kNoScore) places.push_back(i);
    auto before = [&](size_t a, size_t b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : ids[a] < ids[b];
    };
    count = std::min(count, places.size());
    std::partial_sort(places.begin(), places.begin() + count, places.end(), before);
    Ranking found;
    for (size_t i = 0; i < count; ++i)
        if (std::isfinite(scores[places[i]])) found.ids.push_back(ids[places[i]]), found.scores.push_back(scores[places[i]]);
    return found;
}

std::vector<double> scores_of(const Ranking& ranking, const std::vector<int64_t>& ids) {
    std::vector<size_t> order(ranking.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ranking.ids[a] < ranking.ids[b]; });
    std::vector<double> found;
    for (int64_t id : ids) {
        auto place = std::lower_bound(order.begin(), order.end(), id, [&](size_t a, int64_t b) { return ranking.ids[a] < b; });
        found.push_back(place != order.end() && ranking.ids[*place] == id ? ranking.scores[*place] : 0);
    }
    return found;
}

std::vector<double> hybrid_scores(std::vector<double> nearness, const std::vector<double>& keywords, Similarity kind) {
    double least = std::numeric_limits<double>::infinity();
    for (double score : nearness)
        if (std::isfinite(score)) least = std::min(least, score);
    if (std::isfinite(least)) {
        if (kind == Similarity::kCosine) least = -1;
        for (double& score : nearness)
            if (!std::isfinite(score)) score = least;
        nearness = scaled(std::move(nearness), least);
    } else {
        std::fill(nearness.begin(), nearness.end(), 0);
    }
    auto words = scaled(keywords, 0);
    for (size_t i = 0; i < nearness.size(); ++i)
        nearness[i] = kVectorWeight * nearness[i] + (1 - kVectorWeight) * words[i];
    return nearness;
}

Ranking fuse_ranks(const Ranking& vectors, const Ranking& words, size_t count) {
    std::vector<std::pair<int64_t, double>> gains;
    for (auto* ranking : {&vectors, &words})
        for (size_t i = 0; i < ranking->size(); ++i) gains.emplace_back(ranking->ids[i], 1 / (kRrf + 1 + i));
    std::stable_sort(gains.begin(), gains.end(), [](auto& a, auto& b) { return a.first < b.first; });
    Ranking every;
    for (auto& [id, gain] : gains) {
        if (every.ids.empty() || every.ids.back() != id) every.ids.push_back(id), every.scores.push_back(0);
        every.scores.back() += gain;
    }
    return best(every.ids, every.scores, count);
}

void decode_vector(std::string_view blob, Encoding encoding, int width, bool unit, float* vector) {
    size_t size = encoding == Encoding::kFloat16 ? 2 * static_cast<size_t>(width) : 4 + static_cast<size_t>(width);
    if (blob.size() != size) throw Error(std::string("A vector in the index has a wrong length") + kDamaged);
    double tolerance = 0x1p-11 + std::sqrt(width) * 0x1p-25 + 1e-5;
    bool finite = true;
    if (encoding == Encoding::kFloat16) {
        for (int i = 0; i < width; ++i) {
            auto low = static_cast<uint8_t>(blob[2 * i]), high = static_cast<uint8_t>(blob[2 * i + 1]);
            uint16_t half = static_cast<uint16_t>(low | high << 8);
            finite = finite && (half & 0x7c00) != 0x7c00;
            vector[i] = from_half(half);
        }
    } else {
        float scale;
        std::memcpy(&scale, blob.data(), 4);
        finite = std::isfinite(scale);
        for (int i = 0; i < width; ++i) vector[i] = static_cast<float>(static_cast<int8_t>(blob[4 + i])) * scale;
        tolerance = std::min<double>(std::fabs(scale), 1.0 / 127) * std::sqrt(width) / 2 + 1e-5;
    }
    if (!finite) throw Error(std::string("A vector in the index is not finite") + kDamaged);
    double length = unit ? length_of(vector, width) : 0;
    if (length > 0 && std::fabs(length - 1) > tolerance)
        throw Error(std::string("A vector in the index has another length than 1") + kDamaged);
}

std::vector<uint8_t> encode_vector(const float* vector, int width, Encoding encoding) {
    std::vector<uint8_t> blob;
    if (encoding == Encoding::kFloat16) {
        for (int i = 0; i < width; ++i) {
            uint16_t half = to_half(vector[i]);
            blob.push_back(half & 0xff), blob.push_back(half >> 8);
        }
        return blob;
    }
    float largest = 0;
    for (int i = 0; i < width; ++i) {
        if (!std::isfinite(vector[i])) throw Error("a vector holds NaN or infinity");
        largest = std::max(largest, std::fabs(vector[i]));
    }
    float scale = largest / 127;
    blob.resize(4);
    std::memcpy(blob.data(), &scale, 4);
    for (int i = 0; i < width; ++i) {
        double whole = std::nearbyint(vector[i] / (scale > 0 ? static_cast<double>(scale) : 1.0));
        blob.push_back(static_cast<uint8_t>(static_cast<int8_t>(std::clamp(whole, -127.0, 127.0))));
    }
    return blob;
}

void normalize(float* vector, int width) {
    float length = std::max(static_cast<float>(length_of(vector, width)), 1e-12f);
    for (int i = 0; i < width; ++i) vector[i] /= length;
}

double exact_score(const float* query, const float* vector, int width, Similarity kind) {
    double sum = 0;
    for (int i = 0; i < width; ++i) {
        double a = query[i], b = vector[i];
        if (is_product(kind)) sum += a * b;
        else if (kind == Similarity::kManhattan) sum += std::fabs(b - a);
        else sum += (b - a) * (b - a);
    }
    return is_product(kind) ? sum : kind == Similarity::kManhattan ? -sum : -std::sqrt(sum);
}

double rounding(const float* query, int width, double longest, Similarity kind) {
    double length = length_of(query, width);
    double largest = is_product(kind) ? length * longest
                                      : (length + longest) * (kind == Similarity::kManhattan ? std::sqrt(width) : 1);
    return (width + 4) * static_cast<double>(std::numeric_limits<float>::epsilon()) * largest;
}

void Matrix::clear() {
    ids_.clear(), numbers_.clear(), bytes_.clear();
    longest_ = 0;
}

void Matrix::reserve(size_t rows) {
    ids_.reserve(rows), numbers_.reserve(rows * stride());
    if (encoding_ == Encoding::kInt8) bytes_.reserve(rows * width_);
}

void Matrix::add(int64_t id, std::string_view blob) {
    decoded_.resize(std::min<size_t>(width_, blob.size()));  // more numbers than bytes are refused
    decode_vector(blob, encoding_, width_, kind_ == Similarity::kCosine, decoded_.data());
    ids_.push_back(id);
    if (encoding_ == Encoding::kInt8) {
        float scale;
        std::memcpy(&scale, blob.data(), sizeof scale);
        numbers_.push_back(scale);
        auto bytes = reinterpret_cast<const int8_t*>(blob.data() + sizeof scale);
        bytes_.insert(bytes_.end(), bytes, bytes + width_);
    } else {
        numbers_.insert(numbers_.end(), decoded_.begin(), decoded_.end());
    }
    longest_ = std::max(longest_, length_of(decoded_.data(), width_));
}

void Matrix::keep(const std::vector<int64_t>& ids) {
    size_t kept = 0;
    for (size_t place = 0; place < ids_.size(); ++place) {
        if (!std::binary_search(ids.begin(), ids.end(), ids_[place])) continue;
        if (kept != place) {
            std::memmove(&numbers_[kept * stride()], &numbers_[place * stride()], stride() * sizeof(float));
            if (!bytes_.empty()) std::memmove(&bytes_[kept * width_], &bytes_[place * width_], width_);
        }
        ids_[kept++] = ids_[place];
    }
    ids_.resize(kept);
    numbers_.resize(kept * stride());
    bytes_.resize(encoding_ == Encoding::kInt8 ? kept * width_ : 0);
}

const float* Matrix::row(size_t place, float* decoded) const {
    if (encoding_ != Encoding::kInt8) return &numbers_[place * stride()];
    const int8_t* bytes = &bytes_[place * width_];
    for (int i = 0; i < width_; ++i) decoded[i] = bytes[i] * numbers_[place];
    return decoded;
}

float Matrix::dot_of(const float* query, size_t place) const {
    if (encoding_ != Encoding::kInt8) return dot(query, &numbers_[place * stride()], width_);
    return dot(query, &bytes_[place * width_], width_) * numbers_[place];
}

std::vector<double> Matrix::exact(const float* query) const {
    const size_t together = 8;  // sums that do not wait for each other
    std::vector<double> found(ids_.size());
    std::vector<float> decoded(together * width_);
    for (size_t start = 0; start < ids_.size(); start += together) {
        size_t count = std::min(together, ids_.size() - start);
        const float* rows[together];
        for (size_t n = 0; n < count; ++n) rows[n] = row(start + n, &decoded[n * width_]);
        double sums[together] = {};
        if (!is_product(kind_))
            for (size_t n = 0; n < count; ++n) sums[n] = exact_score(query, rows[n], width_, kind_);
        else
            for (int i = 0; i < width_; ++i)
                for (size_t n = 0; n < count; ++n) sums[n] += static_cast<double>(query[i]) * rows[n][i];
        std::copy(sums, sums + count, found.begin() + static_cast<std::ptrdiff_t>(start));
    }
    return found;
}

std::vector<std::pair<double, int64_t>> Matrix::similar(const float* unit, double least) const {
    std::vector<std::pair<double, int64_t>> found;
    std::vector<float> decoded(width_);
    bool lengths = kind_ != Similarity::kCosine;
    double margin = rounding(unit, width_, 2, Similarity::kCosine);
    for (size_t place = 0; place < ids_.size(); ++place) {
        if (!lengths && dot_of(unit, place) < least - margin) continue;
        const float* vector = row(place, decoded.data());
        double cosine = exact_score(unit, vector, width_, Similarity::kCosine);
        if (lengths) cosine /= std::max(length_of(vector, width_), 1e-12);
        if (cosine >= least) found.emplace_back(cosine, ids_[place]);
    }
    return found;
}

Ranking Matrix::nearest(const float* query, size_t count, const std::vector<int64_t>* allowed) const {
    std::vector<size_t> places;
    if (!allowed) {
        places.resize(ids_.size());
        std::iota(places.begin(), places.end(), 0);
    } else {
        for (int64_t id : *allowed)
            if (auto place = std::lower_bound(ids_.begin(), ids_.end(), id); place != ids_.end() && *place == id)
                places.push_back(place - ids_.begin());
    }
    if (is_product(kind_) && places.size() > count) {  // sums in float choose those to compare exactly
        std::vector<float> near(places.size());
        for (size_t i = 0; i < places.size(); ++i) near[i] = dot_of(query, places[i]);
        double least = at_rank(near, count) - 2 * rounding(query, width_, longest_, kind_);
        size_t kept = 0;
        for (size_t i = 0; i < places.size(); ++i)
            if (!(near[i] < least)) places[kept++] = places[i];
        places.resize(kept);
    }
    std::vector<int64_t> ids;
    std::vector<double> scores;
    std::vector<float> decoded(width_);
    for (size_t place : places) {
        ids.push_back(ids_[place]);
        scores.push_back(exact_score(query, row(place, decoded.data()), width_, kind_));
    }
    return best(ids, scores, count);
}

std::vector<double> Matrix::scores(const float* query, const std::vector<int64_t>& ids) const {
    std::vector<double> found;
    std::vector<float> decoded(width_);
    for (int64_t id : ids) {
        auto place = std::lower_bound(ids_.begin(), ids_.end(), id);
        bool there = place != ids_.end() && *place == id;
        found.push_back(there ? exact_score(query, row(place - ids_.begin(), decoded.data()), width_, kind_) : kNoScore);
    }
    return found;
}

}  // namespace minnow
