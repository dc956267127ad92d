#include "checksums.hpp"

#include <array>
#include <cstring>

namespace minnow {

const CheckedTable kFiles = {"files", "id, path, sha256", true};
const CheckedTable kDocuments = {"documents", "id, file, name, digest, first_chunk, chunks, metadata", true};
const CheckedTable kChunks = {"chunks", "id, document, body, start, headings, text, words"};
const CheckedTable kVectors = {"vectors", "id, vector", false, true};
const CheckedTable kCodes = {"codes", "id, codes", false, true};
const CheckedTable kMemories = {"memories", "id, text, kind, importance, created, used, times, tags, wordings", true};
const CheckedTable kMemoryVectors = {"memory_vectors", "id, vector", false, true};
const CheckedTable kMemoryLinks = {"memory_links", "insight, source", true};
const CheckedTable kMemoryTurns = {"memory_turns", "id, speaker, session", true};

namespace {

// Appends a column as MessagePack, each number in the shortest form.
void append_packed(std::string& row, const Statement& from, int column) {
    auto number = [&](unsigned head, uint64_t value, int size) {
        row += static_cast<char>(head);
        while (size--) row += static_cast<char>(value >> 8 * size);
    };
    std::string_view bytes;
    int type = from.type(column);
    if (type == SQLITE_NULL) row += '\xc0';
    if (type == SQLITE_FLOAT) {
        double real = from.real(column);
        uint64_t bits;
        std::memcpy(&bits, &real, 8);
        number(0xcb, bits, 8);
    }
    if (type == SQLITE_INTEGER) {
        int64_t value = from.integer(column);
        auto bits = static_cast<uint64_t>(value);
        if (value >= -32 && value < 128) number(bits & 0xff, 0, 0);
        else if (value >= 0) number(value < 1 << 8 ? 0xcc : value < 1 << 16 ? 0xcd : value < 1ll << 32 ? 0xce : 0xcf,
                                    bits, value < 1 << 8 ? 1 : value < 1 << 16 ? 2 : value < 1ll << 32 ? 4 : 8);
        else number(value >= -128 ? 0xd0 : value >= -32768 ? 0xd1 : value >= -(1ll << 31) ? 0xd2 : 0xd3,
                    bits, value >= -128 ? 1 : value >= -32768 ? 2 : value >= -(1ll << 31) ? 4 : 8);
    }
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
        bytes = from.bytes(column);
        bool text = type == SQLITE_TEXT;
        size_t size = bytes.size();
        if (text && size < 32) number(0xa0 | size, 0, 0);
        else if (size < 256) number(text ? 0xd9 : 0xc4, size, 1);
        else if (size < 65536) number(text ? 0xda : 0xc5, size, 2);
        else number(text ? 0xdb : 0xc6, size, 4);
        row += bytes;
    }
}

}  // namespace

std::string CheckedTable::key() const { return std::string(columns).substr(0, std::string_view(columns).find(',')); }

uint32_t checksum_of(const CheckedTable& table, const Statement& row, int columns) {
    if (table.vectors) {
        if (row.type(0) != SQLITE_INTEGER || row.type(1) != SQLITE_BLOB) throw Error("a vector is none");
        auto id = static_cast<uint64_t>(row.integer(0));
        std::string key;
        for (int byte = 0; byte < 8; ++byte) key += static_cast<char>(id >> 8 * byte);
        return crc32(row.bytes(1), crc32(key));
    }
    std::string packed(1, static_cast<char>(0x90 | columns));
    for (int column = 0; column < columns; ++column) append_packed(packed, row, column);
    return crc32(packed);
}

uint32_t keyword_checksum(const Database& database) {
    uint32_t sum = 0;
    for (auto* sql : {"SELECT id, block FROM chunks_fts_data ORDER BY id",
                      "SELECT segid, term, pgno FROM chunks_fts_idx ORDER BY segid, term",
                      "SELECT k, v FROM chunks_fts_config ORDER BY k"}) {
        Statement rows(database, sql);
        while (rows.next()) {
            std::string packed(1, static_cast<char>(0x90 | rows.columns()));
            for (int column = 0; column < rows.columns(); ++column) append_packed(packed, rows, column);
            sum = crc32(packed, sum);
        }
    }
    return sum;
}

uint32_t crc32(std::string_view bytes, uint32_t before) {
    static const auto table = [] {
        std::array<std::array<uint32_t, 256>, 8> made{};
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
            made[0][i] = value;
        }
        for (int slice = 1; slice < 8; ++slice)
            for (int i = 0; i < 256; ++i)
                made[slice][i] = made[0][made[slice - 1][i] & 255] ^ made[slice - 1][i] >> 8;
        return made;
    }();
    uint32_t sum = ~before;
    auto at = reinterpret_cast<const unsigned char*>(bytes.data()), end = at + bytes.size();
    for (; end - at >= 8; at += 8) {
        uint32_t low = sum ^ (at[0] | at[1] << 8 | at[2] << 16 | static_cast<uint32_t>(at[3]) << 24);
        sum = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
              table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
    }
    for (; at != end; ++at) sum = table[0][(sum ^ *at) & 255] ^ sum >> 8;
    return ~sum;
}

}  // namespace minnow
