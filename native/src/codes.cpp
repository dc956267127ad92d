#include "codes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

namespace minnow {
namespace {

const int64_t kMostInRow = 1024;
// Codes that are compared by signs, candidates, and those whose vectors are compared in any case: at least, and for each hit.
const size_t kLeastNear = 2000, kNear = 20;
const size_t kLeastCandidates = 512, kCandidates = 8;
const size_t kLeastCompared = 64, kCompared = 2;
const size_t kCodesPerNear = 250;  // in a large file, one of so many codes is compared by signs
const double kErrors = 3;          // standard errors
const size_t kAtATime = 1024;

unsigned count_bits(uint64_t word) {
#if defined(__POPCNT__) || defined(__aarch64__)
    return static_cast<unsigned>(__builtin_popcountll(word));
#else  // Source: Warren, Hacker's Delight, 2nd edition, figure 5-2.
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<unsigned>(word * 0x0101010101010101 >> 56);
#endif
}

std::vector<float> read_centre(IndexFile& file, size_t width) {
    if (!file.database.has_table(kCodes.name)) return {};
    auto row = file.select(kCodes, "WHERE id = 0");
    if (!row.next()) return {};
    file.check_row(kCodes, row);
    auto blob = row.bytes(1);
    auto fail = [&] { file.fail_damaged("the centre of its codes has another shape"); };
    if (blob.empty() || blob.size() != width * sizeof(float)) fail();
    std::vector<float> centre(width);
    std::memcpy(centre.data(), blob.data(), blob.size());
    if (!std::all_of(centre.begin(), centre.end(), [](float x) { return std::isfinite(x); })) fail();
    return centre;
}

}  // namespace

Codes::Codes(int width) : width_(static_cast<size_t>(width)), bytes_((width_ + 7) / 8), words_((bytes_ + 7) / 8) {}

bool Codes::refresh(IndexFile& file, const std::vector<int64_t>& ids) {
    auto centre = read_centre(file, width_);
    if (centre.empty()) return false;
    if (centre != centre_) centre_ = std::move(centre), ids_.clear(), codes_.clear();
    if (ids == ids_) return true;
    std::vector<uint64_t> codes(ids.size() * words_);
    std::vector<char> coded(ids.size());
    size_t place = 0;
    auto put = [&](int64_t id, const void* code, size_t bytes) {  // ids come in order
        while (place < ids.size() && ids[place] < id) ++place;
        if (place == ids.size() || ids[place] != id) return;  // of a chunk that is gone
        std::memcpy(&codes[place * words_], code, bytes);
        coded[place] = true;
    };
    for (size_t i = 0; i < ids_.size(); ++i) put(ids_[i], &codes_[i * words_], words_ * sizeof(uint64_t));
    int64_t known = ids_.empty() ? 0 : ids_.back(), last = 0;
    auto rows = file.select(kCodes, "WHERE id > ? ORDER BY id");
    for (rows.with(std::max<int64_t>(0, known + 1 - kMostInRow)); rows.next();) {
        file.check_row(kCodes, rows);
        int64_t first = rows.integer(0);
        auto blob = rows.bytes(1);
        auto count = static_cast<int64_t>(blob.size() / bytes_);
        if (blob.size() % bytes_ || first <= last || first > INT64_MAX - count)
            file.fail_damaged("row " + rows.text(0) + " of codes has a wrong length");
        for (int64_t n = std::max<int64_t>(0, known + 1 - first); n < count; ++n) put(first + n, blob.data() + static_cast<size_t>(n) * bytes_, bytes_);
        last = first + count - 1;
    }
    std::vector<int64_t> missing;
    Places places;
    for (size_t i = 0; i < ids.size(); ++i)
        if (!coded[i]) missing.push_back(ids[i]), places.push_back(i);
    for (size_t start = 0; start < missing.size(); start += kAtATime) {
        std::vector<int64_t> some(missing.begin() + static_cast<std::ptrdiff_t>(start),
                                  missing.begin() + static_cast<std::ptrdiff_t>(std::min(missing.size(), start + kAtATime)));
        auto vectors = read_vectors(file, kVectors, some);
        for (size_t i = 0; i < some.size(); ++i) write(&vectors[i * width_], &codes[places[start + i] * words_]);
    }
    ids_ = ids, codes_ = std::move(codes);
    return true;
}

void Codes::write(const float* vector, uint64_t* code) const {
    auto bytes = reinterpret_cast<uint8_t*>(code);
    for (size_t i = 0; i < width_; ++i)
        if (vector[i] > centre_[i]) bytes[i / 8] |= static_cast<uint8_t>(0x80 >> i % 8);
}

Codes::Candidates Codes::candidates(const float* query, size_t count, const std::vector<int64_t>* allowed) const {
    Places places;
    for (size_t i = 0, other = 0; i < ids_.size(); ++i) {
        if (allowed) {
            while (other < allowed->size() && (*allowed)[other] < ids_[i]) ++other;
            if (other == allowed->size()) break;
            if ((*allowed)[other] != ids_[i]) continue;
        }
        places.push_back(i);
    }
    size_t enough = std::max({kLeastNear, kNear * count, places.size() / kCodesPerNear});
    if (places.size() > enough) {
        std::vector<uint64_t> own(words_);
        write(query, own.data());
        places = nearest(places, own.data(), enough);
    }
    return best_signs(query, places, std::max(kLeastCandidates, kCandidates * count));
}

size_t count_to_compare(const std::vector<float>& sums, const std::vector<double>& scores, size_t count) {
    size_t done = scores.size();
    if (done == 0 || done == sums.size()) return std::min(sums.size(), std::max(kLeastCompared, kCompared * count));
    auto mean_of = [&](auto& values) { return std::accumulate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(done), 0.0) / static_cast<double>(done); };
    double middle = mean_of(sums), mean = mean_of(scores), spread = 0, product = 0, squares = 0;
    for (size_t i = 0; i < done; ++i) {
        spread += (sums[i] - middle) * (sums[i] - middle);
        product += (sums[i] - middle) * (scores[i] - mean);
    }
    double slope = spread > 0 ? product / spread : 0;
    for (size_t i = 0; i < done; ++i) squares += std::pow(scores[i] - mean - slope * (sums[i] - middle), 2);
    double error = std::sqrt(squares / static_cast<double>(done));
    auto sorted = scores;
    auto last = sorted.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    auto hopeful = std::count_if(sums.begin() + static_cast<std::ptrdiff_t>(done), sums.end(),
                                 [&](float sum) { return mean + slope * (sum - middle) + kErrors * error >= *last; });
    return std::min(done + static_cast<size_t>(hopeful), 2 * done);
}

// Returns at least `count` places, where there are as many, and at most twice as many.
Codes::Places Codes::nearest(const Places& places, const uint64_t* own, size_t count) const {
    std::vector<uint16_t> distances;
    std::vector<size_t> with(width_ + 1);  // codes at each distance
    distances.reserve(places.size());
    for (size_t place : places) {
        const uint64_t* code = &codes_[place * words_];
        unsigned distance = 0;
        for (size_t word = 0; word < words_; ++word) distance += count_bits(code[word] ^ own[word]);
        distances.push_back(static_cast<uint16_t>(distance));
        ++with[distance];
    }
    size_t border = 0, inner = 0;
    while (border < width_ && inner + with[border] < count) inner += with[border++];
    Places found;
    size_t room = 2 * count - inner;  // at the border
    for (size_t i = 0; i < places.size(); ++i)
        if (distances[i] < border || (distances[i] == border && room && room--)) found.push_back(places[i]);
    return found;
}

Codes::Candidates Codes::best_signs(const float* query, const Places& places, size_t count) const {
    std::vector<float> table(bytes_ * 256);  // the sum for each value of each byte
    for (size_t byte = 0; byte < bytes_; ++byte) {
        float* sums = &table[byte * 256];
        for (size_t bit = 0; bit < 8; ++bit) {
            size_t number = 8 * byte + 7 - bit, value = size_t{1} << bit;
            float difference = number < width_ ? query[number] - centre_[number] : 0;
            for (size_t rest = 0; rest < value; ++rest) sums[value + rest] = difference + sums[rest];
        }
    }
    std::vector<std::pair<float, size_t>> order;  // the negative sum, so that the first are the best
    for (size_t place : places) {
        auto code = reinterpret_cast<const uint8_t*>(&codes_[place * words_]);
        float sum = 0;
        for (size_t byte = 0; byte < bytes_; ++byte) sum += table[byte * 256 + code[byte]];
        order.emplace_back(-sum, place);
    }
    count = std::min(count, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end());
    Candidates found;
    for (size_t i = 0; i < count; ++i) {
        found.ids.push_back(ids_[order[i].second]);
        found.sums.push_back(-order[i].first);
    }
    return found;
}

}  // namespace minnow
