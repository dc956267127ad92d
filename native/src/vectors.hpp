// The vectors of a table in memory, and exact search in them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minnow {

enum class Similarity { kCosine, kDot, kEuclidean, kManhattan };
enum class Encoding { kFloat16, kInt8 };

Similarity read_similarity(const std::string& name);
Encoding read_encoding(const std::string& name);

// Rows with their scores, the best first; equal scores in the order of ids.
struct Ranking {
    std::vector<int64_t> ids;
    std::vector<double> scores;
    size_t size() const { return ids.size(); }
};

const double kNoScore = -std::numeric_limits<double>::infinity();

// Returns the `count`-th largest of some numbers; the smallest where there are fewer.
template <class Number> Number at_rank(std::vector<Number> numbers, size_t count) {
    auto place = numbers.begin() + (numbers.size() > count ? numbers.size() - count : 0);
    std::nth_element(numbers.begin(), place, numbers.end());
    return *place;
}
// Returns up to `count` rows with the largest scores; rows with kNoScore are left out.
Ranking best(const std::vector<int64_t>& ids, const std::vector<double>& scores, size_t count);
// Returns the scores of ids in a ranking, 0 for those that are not in it.
std::vector<double> scores_of(const Ranking& ranking, const std::vector<int64_t>& ids);
// Returns the sums of scaled scores, from 0 to 1: src/minnow/indexfile/fusion.py.
std::vector<double> hybrid_scores(std::vector<double> nearness, const std::vector<double>& keywords, Similarity kind);
// Fuses two rankings by reciprocal rank.
Ranking fuse_ranks(const Ranking& vectors, const Ranking& words, size_t count);

// Decodes a stored vector into `width` floats; throws Error where it cannot be one. `unit`: it has length 1, or 0.
void decode_vector(std::string_view blob, Encoding encoding, int width, bool unit, float* vector);
std::vector<uint8_t> encode_vector(const float* vector, int width, Encoding encoding);
void normalize(float* vector, int width);
// Compares two vectors in double, in one order of additions.
double exact_score(const float* query, const float* vector, int width, Similarity kind);
// Returns how far a score in float may be from the exact one.
double rounding(const float* query, int width, double longest, Similarity kind);

// The vectors of rows, by ascending id: those of float16 as floats, those of int8 as they are stored.
class Matrix {
public:
    Matrix(int width, Similarity kind, Encoding encoding) : width_(width), kind_(kind), encoding_(encoding) {}
    void clear();
    void reserve(size_t rows);
    // Adds a stored vector, whose id is greater than all others; throws Error where it cannot be one.
    void add(int64_t id, std::string_view blob);
    void keep(const std::vector<int64_t>& ids);  // drops all other rows

    // Returns the nearest rows to a query of `width` floats, exactly; `allowed` are ids, ascending, or null for all.
    Ranking nearest(const float* query, size_t count, const std::vector<int64_t>* allowed) const;
    // Compares a query with some rows; kNoScore for those that are not there.
    std::vector<double> scores(const float* query, const std::vector<int64_t>& ids) const;
    // Compares with all rows exactly.
    std::vector<double> exact(const float* query) const;
    // Returns the rows whose cosine with a vector of length 1 is at least that, with it; equal to exact sums.
    std::vector<std::pair<double, int64_t>> similar(const float* unit, double least) const;

    const std::vector<int64_t>& ids() const { return ids_; }
    double longest() const { return longest_; }
    int width() const { return width_; }
    Similarity kind() const { return kind_; }

private:
    size_t stride() const { return encoding_ == Encoding::kInt8 ? 1 : static_cast<size_t>(width_); }  // of numbers_
    // Returns a row in floats; `decoded` has room for one.
    const float* row(size_t place, float* decoded) const;
    float dot_of(const float* query, size_t place) const;

    int width_;
    Similarity kind_;
    Encoding encoding_;
    std::vector<int64_t> ids_;
    std::vector<float> numbers_;  // of int8, the scale of each row
    std::vector<int8_t> bytes_;   // of int8
    std::vector<float> decoded_;  // the row that was added last
    double longest_ = 0;
};

}  // namespace minnow
