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
    // Returns the ids of chunks that can be the nearest to a query of `width` floats: more than `count`, where there are
    // more. `allowed` are the ids to choose from, ascending, or null for all.
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
