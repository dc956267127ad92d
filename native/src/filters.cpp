// A user's condition in SQL, which may read some tables and change nothing: src/minnow/indexfile/filters.py.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iterator>

#include "index_file.hpp"
#include "schema.hpp"

namespace minnow {
namespace {

const char* const kBehind = "\nTHEN 1 END";  // what follows a condition where it is parsed first

int authorize(void*, int action, const char* first, const char* second, const char*, const char*) {
    auto named = [](const char* name, std::initializer_list<const char*> names) {
        for (auto* one : names)
            if (name && !sqlite3_stricmp(name, one)) return true;
        return false;
    };
    if (action == SQLITE_SELECT) return SQLITE_OK;
    if (action == SQLITE_FUNCTION)
        return named(second, {"load_extension", "fts3_tokenizer", "zeroblob", "randomblob", "printf", "format"}) ? SQLITE_DENY : SQLITE_OK;
    if (action != SQLITE_READ) return SQLITE_DENY;
    if (!first || !*first || named(first, {"json_each"})) return SQLITE_OK;
    for (auto* table : kReadable)
        if (!std::strcmp(table, first)) return SQLITE_OK;
    return SQLITE_DENY;
}

using Clock = std::chrono::steady_clock;

int is_late(void* end) { return Clock::now() > *static_cast<Clock::time_point*>(end); }

void bind_parameter(Statement& statement, int number, const Json& value) {
    if (auto* text = std::get_if<std::string>(&value.value)) statement.bind(number, *text);
    else if (auto* boolean = std::get_if<bool>(&value.value)) statement.bind(number, static_cast<int64_t>(*boolean));
    else if (auto* real = std::get_if<double>(&value.value)) {
        bool whole = *real == std::floor(*real) && std::fabs(*real) < 0x1p53;
        if (whole) statement.bind(number, static_cast<int64_t>(*real));
        else statement.bind(number, *real);
    } else if (value.is<std::nullptr_t>()) statement.bind(number, nullptr);
    else throw Error("values are texts, numbers, booleans and null");
}

void bind_parameters(Statement& statement, const Json& parameters) {
    int wanted = sqlite3_bind_parameter_count(statement.get());
    if (auto* names = std::get_if<Json::Object>(&parameters.value)) {
        for (int number = 1; number <= wanted; ++number) {
            const char* name = sqlite3_bind_parameter_name(statement.get(), number);
            auto& value = parameters[name ? name + 1 : ""];
            bool there = false;
            for (auto& field : *names) there = there || (name && field.first == name + 1);
            if (!there) throw Error(std::string("there is no value for ") + (name ? name : "?"));
            bind_parameter(statement, number, value);
        }
        return;
    }
    Json::Array values = parameters.is<Json::Array>() ? parameters.as<Json::Array>("params") : Json::Array{};
    if (values.size() != static_cast<size_t>(wanted))
        throw Error("it has " + std::to_string(wanted) + " \"?\", and there are " + std::to_string(values.size()) + " values");
    for (int number = 1; number <= wanted; ++number) bind_parameter(statement, number, values[number - 1]);
}

}  // namespace

void narrow(std::optional<std::vector<int64_t>>& allowed, std::vector<int64_t> others) {
    std::sort(others.begin(), others.end());
    if (!allowed) { allowed = std::move(others); return; }
    std::vector<int64_t> both;
    std::set_intersection(allowed->begin(), allowed->end(), others.begin(), others.end(), std::back_inserter(both));
    allowed = std::move(both);
}

std::vector<std::pair<int64_t, int64_t>> select_where(IndexFile& file, const std::string& query, const std::string& where,
                                                      const Json& parameters, const std::string& hint) {
    bool blank = where.find_first_not_of(" \t\r\n") == where.npos;
    if (blank || where.find('\0') != where.npos) throw Error("The filter is empty, or holds a NUL character.");
    auto end = Clock::now() + std::chrono::seconds(10);
    sqlite3* handle = file.database.get();
    struct Guard {
        sqlite3* database;
        int quoted_texts = 0;
        explicit Guard(sqlite3* handle) : database(handle) {  // no text in double quotation marks, which name columns
            sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DML, -1, &quoted_texts);
            sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
        }
        ~Guard() {
            sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DML, quoted_texts, nullptr);
            sqlite3_set_authorizer(database, nullptr, nullptr), sqlite3_progress_handler(database, 0, nullptr, nullptr);
        }
    };
    try {
        Statement(file.database, "SELECT 1 FROM json_each('[]')").run();  // made now: the authorizer would forbid it
        Guard guard{handle};
        sqlite3_set_authorizer(handle, authorize, nullptr);
        sqlite3_progress_handler(handle, 1000, is_late, &end);
        // Parsed twice: text that closes either CASE or the parenthesis early fails.
        Statement(file.database, "EXPLAIN " + query + " WHERE CASE WHEN\n" + where + kBehind);
        Statement rows(file.database, query + " WHERE (\n" + where + "\n)");
        bind_parameters(rows, parameters);
        std::vector<std::pair<int64_t, int64_t>> found;
        while (rows.next()) found.emplace_back(rows.integer(0), rows.integer(1));
        return found;
    } catch (const Error& error) {
        std::string reason = sqlite3_errcode(handle) == SQLITE_INTERRUPT ? "it takes longer than 10 s" : error.what();
        if (auto* of_sqlite = dynamic_cast<const SqliteError*>(&error)) {
            if ((of_sqlite->code & 0xff) == SQLITE_CORRUPT) throw;
            bool forbidden = (of_sqlite->code & 0xff) == SQLITE_AUTH || reason.find("prohibited") != reason.npos;
            if (forbidden) reason = "it may only compare columns";
            bool is_text = reason.find("no such column") != reason.npos && where.find('"') != where.npos;
            if (is_text) reason += "; texts stand in 'single quotation marks'";
            if (reason.find(kBehind) != reason.npos) reason = "a quotation mark has no partner.";
            if (reason.find("near \"THEN\"") != reason.npos) reason = "it ends too early.";
        }
        throw Error("The filter '" + where + "' cannot be used: " + reason + " " + hint);
    }
}

}  // namespace minnow
