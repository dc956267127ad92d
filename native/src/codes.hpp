// Binary codes of the vectors of chunks; they choose the vectors that a search compares: src/minnow/search/binary.py.
#pragma once
#include "index_file.hpp"

namespace minnow {

// The codes of a file, by ascending id of their chunks.
class Codes {
public:
    explicit Codes(int width);
    // Reads the codes of new chunks, and drops those of removed ones; `ids` are those of all chunks, ascending. Codes the
    // vectors of chunks that have no code in the file. Returns whether the file has codes at all.
    bool refresh(IndexFile& file, const std::vector<int64_t>& ids);
    // Chunks that can be the nearest, and their sums of signs, the greatest first.
    struct Candidates {
        std::vector<int64_t> ids;
        std::vector<float> sums;
    };
    // Chooses candidates for a query of `width` floats: more than `count`, where there are more. `allowed` are the ids to
    // choose from, ascending, or null for all.
    Candidates candidates(const float* query, size_t count, const std::vector<int64_t>* allowed) const;

private:
    using Places = std::vector<size_t>;
    void write(const float* vector, uint64_t* code) const;
    Places nearest(const Places& places, const uint64_t* own, size_t count) const;  // by Hamming distance
    Candidates best_signs(const float* query, const Places& places, size_t count) const;  // by sums of the query's numbers

    size_t width_, bytes_, words_;  // of a code
    std::vector<float> centre_;
    std::vector<int64_t> ids_;
    std::vector<uint64_t> codes_;  // those of ids_, words_ each; bits beyond the width are 0
};

// Returns how many candidates to compare with a query before its `count` hits are known; `scores` are those of the first
// ones, which were compared. A line through them predicts the others.
size_t count_to_compare(const std::vector<float>& sums, const std::vector<double>& scores, size_t count);

}  // namespace minnow
