// The checksums of an index file: src/minnow/indexfile/checksums.py.
#pragma once
#include "sqlite.hpp"

namespace minnow {

uint32_t crc32(std::string_view bytes, uint32_t before = 0);  // that of zlib

// A table whose last column is a checksum of the row.
struct CheckedTable {
    const char* name;
    const char* columns;  // what a checksum covers, the key first
    bool counted = false;  // `sums` has its number of rows and their total
    bool vectors = false;  // its rows are an id and a vector

    std::string key() const;  // the first column
};

extern const CheckedTable kFiles, kDocuments, kChunks, kVectors, kCodes, kMemories, kMemoryVectors, kMemoryLinks, kMemoryTurns;

// Returns the checksum of the first columns of a row.
uint32_t checksum_of(const CheckedTable& table, const Statement& row, int columns);
// Returns the checksum of the keyword index: of all its blocks, then of its other rows.
uint32_t keyword_checksum(const Database& database);

}  // namespace minnow
