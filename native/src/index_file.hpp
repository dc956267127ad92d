// An index file of docs/index-format.md: opened, checked, read and written in transactions.
#pragma once
#include <functional>
#include <mutex>

#include "checksums.hpp"
#include "text_model.hpp"

namespace minnow {

// An open index file. Its methods may be called from several threads, which take turns.
class IndexFile {
public:
    enum class Mode { kRead, kWrite };
    // Opens a file. Throws Error where it is none, is damaged, or from a newer minnow.
    IndexFile(const std::string& path, Mode mode);
    // Makes a file without documents for a model, with float16 vectors, where there is none or an empty one.
    static void create(const std::string& path, TextModel& model);

    // Calls a function in a transaction that sees one state of the file, or that writes all or nothing.
    template <class Body> auto reading(Body body) {
        Transaction open(*this, false);
        if constexpr (std::is_void_v<decltype(body())>) { body(); open.commit(); }
        else { auto found = body(); open.commit(); return found; }
    }
    template <class Body> auto writing(Body body) {
        Transaction open(*this, true);
        if constexpr (std::is_void_v<decltype(body())>) { body(); open.commit(); }
        else { auto found = body(); open.commit(); return found; }
    }

    // All of these are called within a transaction.
    std::optional<std::string> fact(const std::string& name);
    void put_fact(const std::string& name, const std::string& value);
    int64_t changes();
    Statement select(const CheckedTable& table, const std::string& end = "");  // the columns and the checksum
    void check_row(const CheckedTable& table, const Statement& row) const;     // throws Error where it has changed
    // Reads and checks a whole table by key, and the number of its rows where that is recorded.
    void read_table(const CheckedTable& table, const std::function<void(const Statement&)>& take);
    void write_checksum(const CheckedTable& table, int64_t key);
    void create_tables(const char* first);  // of the owner of a table, unless they are there
    void check_keywords();  // against the checksum of the keyword index, where that was written
    [[noreturn]] void fail_damaged(const std::string& what) const;

    Database database;
    const std::string path;
    const Fingerprint fingerprint;
    const Encoding encoding;

private:
    class Transaction {
    public:
        Transaction(IndexFile& file, bool writes);
        ~Transaction();
        void commit();
    private:
        IndexFile& file_;
        std::unique_lock<std::recursive_mutex> lock_;
        bool writes_, outer_, done_ = false;
    };
    void check();         // the version and the tables
    void check_same();    // that it is the file, the model and the settings that were opened
    Json read_settings();
    std::string read_fact(const std::string& name);

    std::recursive_mutex turns_;
    bool in_transaction_ = false;
    std::vector<std::string> opened_for_;
    std::pair<uint64_t, uint64_t> identity_;
    std::optional<Statement> facts_;
};

// Reads new vectors of a table into a matrix, and drops others; `ids` are those of all its rows, ascending.
void refresh_matrix(Matrix& matrix, IndexFile& file, const CheckedTable& table, const std::vector<int64_t>& ids);

// Returns the vectors of some ids of a table, a row of floats each; one that is missing is damage.
std::vector<float> read_vectors(IndexFile& file, const CheckedTable& table, const std::vector<int64_t>& ids);

// Intersects allowed ids, ascending, with others in any order; without a value, all ids were allowed before.
void narrow(std::optional<std::vector<int64_t>>& allowed, std::vector<int64_t> others);

// Runs SQL of a user's condition on its columns; it may read some tables and change nothing, for at most 10 s.
// `parameters` is a JSON array or object, or null.
std::vector<std::pair<int64_t, int64_t>> select_where(IndexFile& file, const std::string& query,
                                                      const std::string& where, const Json& parameters,
                                                      const std::string& hint);

}  // namespace minnow
