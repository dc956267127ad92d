// Binary codes of the vectors of chunks, which choose those to compare with: src/minnow/search/binary.py.
#pragma once
#include "index_file.hpp"

namespace minnow {

// The codes of a file, by ascending id of their chunks.
class Codes {
public:
    explicit Codes(int width);
    // Reads codes of new chunks, and drops those of others; `ids` are those of all chunks, ascending. A vector without
    // a code is read and coded. Returns whether the file has codes.
    bool refresh(IndexFile& file, const std::vector<int64_t>& ids);
    // Returns chunks that can be the nearest to a query of `width` floats: more than `count`, where there are more.
    // `allowed` are ids that may be chosen, ascending, or null for all.
    std::vector<int64_t> candidates(const float* query, size_t count, const std::vector<int64_t>* allowed) const;

private:
    using Places = std::vector<size_t>;
    void write(const float* vector, uint64_t* code) const;
    Places nearest(const Places& places, const uint64_t* own, size_t count) const;  // by Hamming distance
    Places best_signs(const float* query, Places places, size_t count) const;       // by sums of the query's numbers

    size_t width_, bytes_, words_;  // of a code
    std::vector<float> centre_;
    std::vector<int64_t> ids_;
    std::vector<uint64_t> codes_;  // those of ids_, words_ each; bits beyond the width are 0
};

}  // namespace minnow
