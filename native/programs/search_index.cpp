// Finds the nearest passages in an index of `minnow index`: SQLite and dot products, nothing else.
//
//   minnow-embed bge-small.minnow --role query "how do fish sleep?" | search-index docs.index 5
//
// The vector is a line of JSON on standard input. docs/index-format.md describes the tables; the same
// statements serve Android's SQLiteDatabase and SQLite on iOS.
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "json.hpp"

namespace {

using minnow::Error;
using minnow::Json;
using Floats = std::vector<float>;
using Database = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;
using Scored = std::pair<float, sqlite3_int64>;

constexpr int kApplication = 0x6D6E7731, kVersion = 2, kMigrating = 1000;

// A query on the file, read row by row.
class Rows {
  public:
    Rows(sqlite3* database, const char* sql) : database_(database), statement_(nullptr, sqlite3_finalize) {
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) fail();
        statement_.reset(statement);
    }
    void bind(sqlite3_int64 value) { sqlite3_bind_int64(statement_.get(), 1, value); }
    bool next() {
        int code = sqlite3_step(statement_.get());
        if (code != SQLITE_ROW && code != SQLITE_DONE) fail();
        return code == SQLITE_ROW;
    }
    sqlite3_int64 integer(int column) { return sqlite3_column_int64(statement_.get(), column); }
    std::string text(int column) { return bytes(sqlite3_column_text(statement_.get(), column), column); }
    std::string blob(int column) { return bytes(sqlite3_column_blob(statement_.get(), column), column); }

  private:
    [[noreturn]] void fail() { throw Error(std::string("The index cannot be read: ") + sqlite3_errmsg(database_)); }
    std::string bytes(const void* start, int column) {
        auto size = static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column));
        return start ? std::string(static_cast<const char*>(start), size) : std::string();
    }
    sqlite3* database_;
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
};

struct Facts {
    size_t width;
    bool int8, cosine;
};

Database open_index(const std::string& file) {
    sqlite3* opened = nullptr;
    int code = sqlite3_open_v2(file.c_str(), &opened, SQLITE_OPEN_READONLY, nullptr);
    Database database(opened, sqlite3_close);
    if (code != SQLITE_OK) throw Error(file + " cannot be opened: " + sqlite3_errmsg(opened));
    for (auto [pragma, least, most] : {std::tuple{"PRAGMA application_id", kApplication, kApplication},
                                       std::tuple{"PRAGMA user_version", kVersion, kVersion}}) {
        Rows rows(opened, pragma);
        bool read = rows.next();
        if (read && most == kVersion && rows.integer(0) == kMigrating + kVersion)
            throw Error(file + " is being migrated to another model. Finish that with `minnow index migrate`.");
        if (!read || rows.integer(0) < least || rows.integer(0) > most)
            throw Error(file + " is not an index that this program can read.");
    }
    return database;
}

Facts read_facts(sqlite3* database) {
    Json model, settings;
    Rows rows(database, "SELECT name, value FROM meta WHERE name IN ('model', 'settings')");
    while (rows.next())
        (rows.text(0) == "model" ? model : settings) = minnow::parse_json(rows.text(1), "meta");
    const auto& encoding = settings.get<std::string>("encoding");
    const auto& similarity = model.get<std::string>("similarity");
    if (encoding != "int8" && encoding != "float16") throw Error("Its vectors are " + encoding + ".");
    if (similarity != "cosine" && similarity != "dot") throw Error("It compares by " + similarity + ".");
    auto width = static_cast<size_t>(model["width"].integer("width"));
    return {width, encoding == "int8", similarity == "cosine"};
}

// IEEE 754 half precision; stored values are finite.
float half(const char* bytes) {
    uint16_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent ? std::ldexp(1024.f + static_cast<float>(fraction), exponent - 25)
                          : std::ldexp(static_cast<float>(fraction), -24);
    return bits >> 15 ? -size : size;
}

// CRC-32 as in zlib, https://www.rfc-editor.org/rfc/rfc1952#section-8
uint32_t crc32(const std::string& bytes) {
    static const std::vector<uint32_t> table = [] {
        std::vector<uint32_t> made(256);
        for (uint32_t i = 0; i < 256; ++i) {
            made[i] = i;
            for (int bit = 0; bit < 8; ++bit) made[i] = made[i] & 1 ? 0xEDB88320u ^ (made[i] >> 1) : made[i] >> 1;
        }
        return made;
    }();
    uint32_t sum = ~0u;
    for (char byte : bytes) sum = table[(sum ^ static_cast<uint8_t>(byte)) & 255] ^ (sum >> 8);
    return ~sum;
}

// The checksum of a vector's row: of its id, as 8 bytes in little-endian order, and the blob.
void check(sqlite3_int64 id, const std::string& row, sqlite3_int64 checksum) {
    std::string bytes;
    for (int byte = 0; byte < 8; ++byte) bytes += static_cast<char>(static_cast<uint64_t>(id) >> 8 * byte);
    if (crc32(bytes + row) != static_cast<uint64_t>(checksum))
        throw Error("The vector of chunk " + std::to_string(id) + " has changed: the index is damaged.");
}

float dot(const Floats& query, const std::string& row, const Facts& facts) {
    if (row.size() != (facts.int8 ? 4 + facts.width : 2 * facts.width))
        throw Error("A vector has a wrong length: the index is damaged.");
    float sum = 0, scale = 1;
    if (facts.int8) std::memcpy(&scale, row.data(), sizeof scale);
    for (size_t i = 0; i < facts.width; ++i)
        sum += query[i] * (facts.int8 ? static_cast<float>(static_cast<int8_t>(row[4 + i])) : half(&row[2 * i]));
    return scale * sum;
}

Floats read_query(const Facts& facts) {
    std::string line;
    std::getline(std::cin, line);
    Json read = minnow::parse_json(line, "standard input");
    Floats query;
    for (const Json& number : read.as<Json::Array>("vector"))
        query.push_back(static_cast<float>(number.as<double>("vector")));
    if (query.size() != facts.width)
        throw Error("The vector has " + std::to_string(query.size()) + " numbers, and those of the index " +
                    std::to_string(facts.width) + ".");
    double length = 0;
    for (float x : query) length += double(x) * x;
    if (facts.cosine && length > 0)  // stored vectors have length 1 already
        for (float& x : query) x /= static_cast<float>(std::sqrt(length));
    return query;
}

// Best first; equal scores are ordered by id.
std::vector<Scored> nearest(sqlite3* database, const Floats& query, const Facts& facts, size_t count) {
    std::vector<Scored> found;
    Rows rows(database, "SELECT id, vector, checksum FROM vectors");
    while (rows.next()) {
        std::string row = rows.blob(1);
        check(rows.integer(0), row, rows.integer(2));
        found.emplace_back(-dot(query, row, facts), rows.integer(0));
    }
    count = std::min(count, found.size());
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end());
    found.resize(count);
    return found;
}

void print(sqlite3* database, const Scored& hit) {
    Rows rows(database, "SELECT source, number, heading, substr(text, body + 1) FROM passages WHERE id = ?");
    rows.bind(hit.second);
    if (!rows.next()) throw Error("A passage is missing: the index is damaged.");
    std::printf("%.4f  %s, part %lld  %s\n    %s\n", -hit.first, rows.text(0).c_str(),
                static_cast<long long>(rows.integer(1)), rows.text(2).c_str(), rows.text(3).c_str());
}

}  // namespace

int main(int count, char** arguments) {
    char* end = nullptr;
    long most = count == 3 ? std::strtol(arguments[2], &end, 10) : 5;
    if (count < 2 || count > 3 || most < 1 || (end && *end)) {
        std::fputs("Usage: search-index INDEX [COUNT] < VECTOR.json\n", stderr);
        return 2;
    }
    try {
        Database database = open_index(arguments[1]);
        Rows begin(database.get(), "BEGIN");  // reads one state of the file while others write
        begin.next();
        Facts facts = read_facts(database.get());
        Floats query = read_query(facts);
        for (const Scored& hit : nearest(database.get(), query, facts, static_cast<size_t>(most)))
            print(database.get(), hit);
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
