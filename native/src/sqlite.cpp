#include "sqlite.hpp"

#include "schema.hpp"

namespace minnow {
namespace {

[[noreturn]] void fail(sqlite3* database, const std::string& name) {
    int code = database ? sqlite3_errcode(database) : SQLITE_NOMEM;
    std::string reason = database ? sqlite3_errmsg(database) : "there is no memory";
    throw SqliteError(name + " cannot be read or written: " + reason + ".", code);
}

}  // namespace

Database::Database(const std::string& place, int flags, std::string name) : name_(std::move(name)) {
    sqlite3* opened = nullptr;
    int code = sqlite3_open_v2(place.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, nullptr);
    database_.reset(opened);
    if (code != SQLITE_OK) fail(opened, name_);
    sqlite3_extended_result_codes(opened, 1);
    sqlite3_busy_timeout(opened, 60'000);
}

void Database::run(const std::string& sql) const {
    if (sqlite3_exec(get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail(get(), name_);
}

std::optional<int64_t> Database::number(std::string_view sql) const {
    Statement statement(*this, sql);
    if (!statement.next() || statement.is_null(0)) return std::nullopt;
    return statement.integer(0);
}

bool Database::has_table(std::string_view table) const {
    return Statement(*this, "SELECT 1 FROM sqlite_master WHERE name = ?").with(table).next();
}

Statement::Statement(const Database& database, std::string_view sql) : database_(database.get()), name_(&database.name()) {
    sqlite3_stmt* made = nullptr;
    int code = sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &made, nullptr);
    statement_.reset(made);
    if (code != SQLITE_OK) fail(database_, *name_);
}

void Statement::check(int code) const {
    if (code != SQLITE_OK) fail(database_, *name_);
}

bool Statement::next() {
    int code = sqlite3_step(get());
    if (code != SQLITE_ROW && code != SQLITE_DONE) fail(database_, *name_);
    return code == SQLITE_ROW;
}

void Statement::reset() {
    sqlite3_reset(get());  // the error of the last step, which was thrown
}

std::string_view Statement::bytes(int column) const {
    auto start = static_cast<const char*>(sqlite3_column_blob(get(), column));
    return {start ? start : "", static_cast<size_t>(sqlite3_column_bytes(get(), column))};
}

void Statement::bind(int number, int64_t value) { check(sqlite3_bind_int64(get(), number, value)); }
void Statement::bind(int number, double value) { check(sqlite3_bind_double(get(), number, value)); }
void Statement::bind(int number, std::nullptr_t) { check(sqlite3_bind_null(get(), number)); }
void Statement::bind(int number, std::string_view value) {
    check(sqlite3_bind_text64(get(), number, value.data() ? value.data() : "", value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}
void Statement::bind(int number, const std::vector<uint8_t>& blob) {
    check(sqlite3_bind_blob64(get(), number, blob.data() ? static_cast<const void*>(blob.data()) : "", blob.size(), SQLITE_TRANSIENT));
}

TermReader::TermReader(const Database& database) {
    fts5_api* api = nullptr;
    Statement asked(database, "SELECT fts5(?)");
    sqlite3_bind_pointer(asked.get(), 1, &api, "fts5_api_ptr", nullptr);
    asked.next();
    void* context = nullptr;
    if (!api || api->xFindTokenizer(api, "porter", &context, &methods_) != SQLITE_OK)
        throw Error("This SQLite lacks FTS5, which searches words. Build with one that has it.");
    const char* options[] = {"unicode61", "remove_diacritics", "2", "categories", "L* N* Co Mn Mc"};
    Fts5Tokenizer* made = nullptr;
    if (methods_.xCreate(context, options, 5, &made) != SQLITE_OK) throw Error("FTS5 cannot make its tokenizer.");
    made_.reset(made, methods_.xDelete);
}

std::vector<std::string> TermReader::terms(std::string_view text) const {
    std::vector<std::string> found;
    auto take = [](void* into, int, const char* term, int size, int, int) {
        static_cast<std::vector<std::string>*>(into)->emplace_back(term, size);
        return SQLITE_OK;
    };
    methods_.xTokenize(made_.get(), &found, FTS5_TOKENIZE_DOCUMENT, text.data(), static_cast<int>(text.size()), take);
    return found;
}

}  // namespace minnow
