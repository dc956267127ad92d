// SQLite with errors as exceptions.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace minnow {

// An error of SQLite, with its code.
struct SqliteError : Error {
    SqliteError(const std::string& message, int code) : Error(message), code(code) {}
    int code;
};

class Database;

// A statement; it is reset and takes new values when it is bound again.
class Statement {
public:
    Statement(const Database& database, std::string_view sql);
    // Sets the values of its "?", in order, and starts it again. A blob is a std::vector<uint8_t>.
    template <class... Values> Statement& with(const Values&... values) {
        reset();
        int number = 0;
        (bind(++number, values), ...);
        return *this;
    }
    // Moves to the next row; returns false behind the last.
    bool next();
    void run() { while (next()) {} }

    int64_t integer(int column) const { return sqlite3_column_int64(get(), column); }
    double real(int column) const { return sqlite3_column_double(get(), column); }
    std::string_view bytes(int column) const;  // of a text or a blob, until the next row
    std::string text(int column) const { return std::string(bytes(column)); }
    int type(int column) const { return sqlite3_column_type(get(), column); }
    bool is_null(int column) const { return type(column) == SQLITE_NULL; }
    int columns() const { return sqlite3_column_count(get()); }

    void bind(int number, int64_t value);
    void bind(int number, int value) { bind(number, static_cast<int64_t>(value)); }
    void bind(int number, double value);
    void bind(int number, std::string_view value);
    void bind(int number, const std::string& value) { bind(number, std::string_view(value)); }
    void bind(int number, const char* value) { bind(number, std::string_view(value)); }
    void bind(int number, const std::vector<uint8_t>& blob);
    void bind(int number, std::nullptr_t);
    void reset();
    sqlite3_stmt* get() const { return statement_.get(); }

private:
    void check(int code) const;
    struct Finish { void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); } };
    sqlite3* database_;
    const std::string* name_;
    std::unique_ptr<sqlite3_stmt, Finish> statement_;
};

class Database {
public:
    // Opens a file or a URI with flags of sqlite3_open_v2; `name` names it in messages.
    Database(const std::string& place, int flags, std::string name);
    Database(const Database&) = delete;
    static Database in_memory() { return {":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "The memory"}; }

    void run(const std::string& sql) const;  // one or more statements
    std::optional<int64_t> number(std::string_view sql) const;  // the first column of the first row
    bool has_table(std::string_view name) const;
    int64_t last_id() const { return sqlite3_last_insert_rowid(get()); }
    bool in_transaction() const { return !sqlite3_get_autocommit(get()); }
    const std::string& name() const { return name_; }
    sqlite3* get() const { return database_.get(); }

private:
    struct Close { void operator()(sqlite3* d) const { sqlite3_close_v2(d); } };
    std::unique_ptr<sqlite3, Close> database_;
    std::string name_;
};

// FTS5's tokenizer of the index: the terms that it has of a text. It needs the database that it is made with.
class TermReader {
public:
    explicit TermReader(const Database& database);
    std::vector<std::string> terms(std::string_view text) const;

private:
    fts5_tokenizer methods_;
    std::shared_ptr<Fts5Tokenizer> made_;
};

}  // namespace minnow
