#include "index_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <random>
#include <set>
#include <sstream>

#include "schema.hpp"

namespace minnow {
namespace {

const int kPageSizes[] = {8192, 16384, 32768, 65536};
const int kMostTokens = 256;  // of a chunk

uint32_t fact_checksum(const Database& database, const std::string& name, const std::string& value) {
    Statement row(database, "SELECT ?, ?");
    row.with(name, value).next();
    return checksum_of({"meta", "name, value"}, row, 2);
}

void write_fact(const Database& database, const std::string& name, const std::string& value) {
    Statement(database, "INSERT INTO meta (name, value, checksum) VALUES (?, ?, ?) ON CONFLICT (name) "
                        "DO UPDATE SET value = excluded.value, checksum = excluded.checksum")
        .with(name, value, static_cast<int64_t>(fact_checksum(database, name, value))).run();
}

// Makes the tables of the owner whose first table is named, and their rows of `sums`.
void make_tables(const Database& database, const char* first) {
    for (auto& owner : kOwners) {
        if (std::strcmp(owner.table, first)) continue;
        for (size_t i = 0; i < owner.count; ++i) database.run(owner.statements[i]);
        std::istringstream tables(owner.counted);
        for (std::string table; tables >> table;)
            Statement(database, "INSERT OR REPLACE INTO sums VALUES (?, 0, 0)").with(table).run();
    }
}

bool is_writable(const std::string& path) {
    size_t slash = path.rfind('/');
    std::string parent = slash == path.npos ? "." : path.substr(0, slash + 1);
    return !access(path.c_str(), W_OK) && !access(parent.c_str(), W_OK);
}

std::string uri_of(const std::string& path) {
    std::string uri = "file:";
    const char* digits = "0123456789abcdef";
    for (unsigned char c : path) {
        if (std::isalnum(c) || std::strchr("-_./~", c)) uri += static_cast<char>(c);
        else uri += '%', uri += digits[c >> 4], uri += digits[c & 15];
    }
    return uri;
}

// Opens a file: for writing where possible, as the last writer to close leaves no log.
Database opened(const std::string& path, IndexFile::Mode mode) {
    for (auto* suffix : {"", "-wal", "-shm", "-journal"}) {
        struct stat found;
        bool there = !stat((path + suffix).c_str(), &found);
        if (!there && !*suffix) throw Error("There is no file " + path + ".");
        if (there && !S_ISREG(found.st_mode)) throw Error(path + suffix + " is not a file, but a folder, pipe, socket or device.");
    }
    if (is_writable(path)) return {path, SQLITE_OPEN_READWRITE, path};
    if (mode == IndexFile::Mode::kWrite) throw Error(path + " cannot be written.");
    struct stat log;
    if (!stat((path + "-wal").c_str(), &log) && log.st_size) return {path, SQLITE_OPEN_READONLY, path};
    return {uri_of(path) + "?immutable=1", SQLITE_OPEN_READONLY, path};
}

std::pair<uint64_t, uint64_t> identity_of(const std::string& path) {
    struct stat found;
    if (stat(path.c_str(), &found)) return {};
    return {found.st_dev, found.st_ino};
}

// Returns a statement without white space, which `ALTER TABLE` changes.
std::string plain(const std::string& sql) {
    std::string found;
    std::string rest = sql;
    const std::string optional = "IF NOT EXISTS ";
    for (size_t at; (at = rest.find(optional)) != rest.npos;) rest.erase(at, optional.size());
    for (char c : rest)
        if (!std::isspace(static_cast<unsigned char>(c))) found += c;
    return found;
}

// Returns the name of what a statement creates.
std::string created(const std::string& sql) {
    size_t at = 0;
    std::string word;
    for (;;) {
        size_t end = sql.find_first_of(" (\n", at);
        word = sql.substr(at, end - at);
        static const std::set<std::string> before = {"CREATE", "UNIQUE", "VIRTUAL", "TABLE", "INDEX", "VIEW",
                                                     "TRIGGER", "IF", "NOT", "EXISTS"};
        if (!before.count(word) || end == sql.npos) return word;
        at = end + 1;
    }
}

int page_size(int row) {
    auto slack = [&](int size) {
        int rows = (size - 12) / (row + 10);
        return rows ? 1 - rows * (row + 10.0) / size : 1.0;
    };
    for (int size : kPageSizes)
        if (size != kPageSizes[0] && slack(size) <= 0.03) return size;
    int chosen = kPageSizes[0];
    for (int size : kPageSizes)
        if (slack(size) < slack(chosen)) chosen = size;
    return chosen;
}

}  // namespace

IndexFile::IndexFile(const std::string& path, Mode mode)
    : database(opened(path, mode)),
      path(path),
      fingerprint([&] {
          check();
          try {
              return Fingerprint(parse_json(read_fact("model"), "The model of " + path));
          } catch (const SqliteError&) { throw;
          } catch (const Error& error) { throw Error("The model of " + path + " cannot be read: " + error.what() + "."); }
      }()),
      encoding(read_encoding(read_settings().get<std::string>("encoding"))),
      identity_(identity_of(path)) {
    if (mode == Mode::kWrite) database.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    database.run("PRAGMA foreign_keys = ON");
}

std::string IndexFile::read_fact(const std::string& name) {
    auto found = fact(name);
    if (!found) throw Error(path + " has no " + name + ": the file is damaged.");
    return *found;
}

Json IndexFile::read_settings() { return parse_json(read_fact("settings"), "The settings of " + path); }

void IndexFile::check() {
    if (!*database.number("SELECT count(*) FROM sqlite_master")) throw Error(path + " is empty: indexing was stopped before it began.");
    if (database.number("PRAGMA application_id") != kApplicationId)
        throw Error(path + " is a SQLite file, but not an index of minnow.");
    int64_t version = *database.number("PRAGMA user_version");
    if (version > kMigrating)
        throw Error(path + " is being migrated to another model. Finish with `minnow index migrate`, on a computer.");
    if (version != kVersion)
        throw Error(path + " has version " + std::to_string(version) + "; this minnow reads version " +
                    std::to_string(kVersion) + (version < kVersion ? ". Run `minnow index` on it once." : ". Update minnow."));
    std::vector<std::pair<std::string, std::string>> there;
    Statement rows(database, "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL");
    while (rows.next()) there.emplace_back(rows.text(0), plain(rows.text(1)));
    auto compare = [&](const char* statement) {
        for (auto& [name, sql] : there)
            if (name == created(statement) && sql == plain(statement)) return;
        fail_damaged(created(statement) + " is missing, or is not as minnow makes it");
    };
    for (auto* statement : kBaseSchema) compare(statement);
    for (auto& owner : kOwners)
        if (database.has_table(owner.table))
            for (size_t i = 0; i < owner.count; ++i) compare(owner.statements[i]);
}

void IndexFile::create(const std::string& path, TextModel& model) {
    struct stat found;
    bool empty = stat(path.c_str(), &found) != 0 || (S_ISREG(found.st_mode) && found.st_size == 0);
    if (!empty) return;
    Fingerprint fingerprint = model.fingerprint();
    int max_tokens = std::min(kMostTokens, model.room());
    Database made(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, path);
    if (*made.number("SELECT count(*) FROM sqlite_master")) return;
    made.run("PRAGMA page_size = " + std::to_string(page_size(2 * fingerprint.width)) + "; PRAGMA auto_vacuum = INCREMENTAL");
    made.run("PRAGMA journal_mode = WAL");
    made.run("BEGIN IMMEDIATE");
    if (*made.number("SELECT count(*) FROM sqlite_master")) return made.run("COMMIT");  // by another process
    for (auto* statement : kBaseSchema) made.run(statement);
    make_tables(made, "documents");
    Statement(made, "INSERT OR REPLACE INTO sums VALUES ('chunks_fts', 0, ?)")
        .with(static_cast<int64_t>(keyword_checksum(made))).run();
    std::random_device random;
    std::string id;
    for (int digit = 0; digit < 32; ++digit) id += "0123456789abcdef"[random() % 16];
    std::string settings = "{\"max_tokens\":" + std::to_string(max_tokens) +
                           ",\"overlap\":0,\"encoding\":\"float16\",\"readers\":" + std::to_string(kReaders) + "}";
    write_fact(made, "id", id);
    write_fact(made, "changes", "0");
    write_fact(made, "model", to_json(fingerprint.stated));
    write_fact(made, "settings", settings);
    made.run("PRAGMA application_id = " + std::to_string(kApplicationId));
    made.run("PRAGMA user_version = " + std::to_string(kVersion));
    made.run("COMMIT");
}

IndexFile::Transaction::Transaction(IndexFile& file, bool writes)
    : file_(file), lock_(file.turns_), writes_(writes), outer_(!file.in_transaction_) {
    if (!outer_) return;
    file.database.run(writes ? "BEGIN IMMEDIATE" : "BEGIN");
    file.in_transaction_ = true;
    try {
        file.check_same();
    } catch (...) {
        file.in_transaction_ = false;
        sqlite3_exec(file.database.get(), "ROLLBACK", nullptr, nullptr, nullptr);
        throw;
    }
}

void IndexFile::Transaction::commit() {
    if (outer_) {
        if (writes_) file_.put_fact("changes", std::to_string(file_.changes() + 1));
        file_.database.run("COMMIT");
    }
    done_ = true;
}

IndexFile::Transaction::~Transaction() {
    if (!outer_) return;
    if (!done_) sqlite3_exec(file_.database.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    file_.in_transaction_ = false;
}

void IndexFile::check_same() {
    if (identity_of(path) != identity_) throw Error(path + " was replaced or removed while it was open. Open it again.");
    if (!facts_) facts_.emplace(database, "SELECT value FROM meta WHERE name IN ('id', 'model', 'settings') ORDER BY name");
    std::vector<std::string> now;
    for (facts_->reset(); facts_->next();) now.push_back(facts_->text(0));
    facts_->reset();
    if (opened_for_.empty()) opened_for_ = now;
    if (opened_for_ != now) throw Error(path + " was rebuilt meanwhile, with another model or other settings. Open it again.");
}

std::optional<std::string> IndexFile::fact(const std::string& name) {
    Statement row(database, "SELECT name, value, checksum FROM meta WHERE name = ?");
    if (!row.with(name).next()) return std::nullopt;
    if (!row.is_null(2)) check_row({"meta", "name, value"}, row);
    return row.text(1);
}

void IndexFile::put_fact(const std::string& name, const std::string& value) { write_fact(database, name, value); }

int64_t IndexFile::changes() { return std::strtoll(read_fact("changes").c_str(), nullptr, 10); }

Statement IndexFile::select(const CheckedTable& table, const std::string& end) {
    return {database, std::string("SELECT ") + table.columns + ", checksum FROM " + table.name + " " + end};
}

void IndexFile::check_row(const CheckedTable& table, const Statement& row) const {
    int last = row.columns() - 1;
    if (row.type(last) != SQLITE_INTEGER || row.integer(last) != checksum_of(table, row, last))
        fail_damaged("row " + row.text(0) + " of " + table.name + " has changed");
}

void IndexFile::read_table(const CheckedTable& table, const std::function<void(const Statement&)>& take) {
    int64_t count = 0, total = 0;
    auto rows = select(table, "ORDER BY " + table.key());
    while (rows.next()) {
        check_row(table, rows);
        ++count, total += rows.integer(rows.columns() - 1);
        take(rows);
    }
    if (!table.counted) return;
    Statement sums(database, "SELECT rows, total FROM sums WHERE name = ?");
    if (!sums.with(table.name).next() || sums.integer(0) != count || sums.integer(1) != total)
        fail_damaged(std::string("rows of ") + table.name + " are missing, or there are too many");
}

void IndexFile::write_checksum(const CheckedTable& table, int64_t key) {
    auto row = select(table, "WHERE " + table.key() + " = ?");
    if (!row.with(key).next()) return;
    int64_t sum = checksum_of(table, row, row.columns() - 1);
    row.reset();
    Statement(database, std::string("UPDATE ") + table.name + " SET checksum = ? WHERE " + table.key() + " = ?").with(sum, key).run();
}

void IndexFile::create_tables(const char* first) {
    if (!database.has_table(first)) make_tables(database, first);
}

void IndexFile::check_keywords() {
    auto total = database.number("SELECT total FROM sums WHERE name = 'chunks_fts'");
    if (total && *total != keyword_checksum(database)) fail_damaged("the keyword index has changed");
}

void IndexFile::fail_damaged(const std::string& what) const {
    throw Error(path + " is damaged: " + what + ". `minnow index` repairs what it can; else restore a copy.");
}

void refresh_matrix(Matrix& matrix, IndexFile& file, const CheckedTable& table, const std::vector<int64_t>& ids) {
    if (matrix.ids() == ids) return;
    matrix.keep(ids);
    matrix.reserve(ids.size());
    auto rows = file.select(table, "WHERE id > ? ORDER BY id");
    for (rows.with(matrix.ids().empty() ? int64_t{-1} : matrix.ids().back()); rows.next();) {
        file.check_row(table, rows);
        matrix.add(rows.integer(0), rows.bytes(1));
        if (matrix.ids().size() > ids.size()) break;
    }
    if (matrix.ids() != ids) {
        matrix.clear();
        file.fail_damaged(std::string(table.name) + " lacks vectors, or has too many");
    }
}

std::vector<float> read_vectors(IndexFile& file, const CheckedTable& table, const std::vector<int64_t>& ids) {
    auto width = static_cast<size_t>(file.fingerprint.width);
    bool unit = file.fingerprint.similarity == Similarity::kCosine;
    std::vector<float> found(ids.size() * width);
    auto row = file.select(table, "WHERE id = ?");
    for (size_t i = 0; i < ids.size(); ++i) {
        if (!row.with(ids[i]).next()) file.fail_damaged(std::string(table.name) + " lacks vectors");
        file.check_row(table, row);
        decode_vector(row.bytes(1), file.encoding, file.fingerprint.width, unit, &found[i * width]);
    }
    return found;
}

}  // namespace minnow
