// The tables of an index file, as src/minnow writes them.
#pragma once
#include <cstddef>
#include <iterator>

namespace minnow {

// The tables of one part of minnow; a file that has the first has them all.
struct Owner {
    const char* table;
    const char* const* statements;
    size_t count;
    const char* counted;  // the tables whose rows `sums` counts, with spaces between
};

#include "schema.inc"

}  // namespace minnow
