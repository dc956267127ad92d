#include "records.hpp"

#include <cmath>
#include <set>

#include "search.hpp"
#include "sha256.hpp"
#include "unicode.hpp"
#include "words.hpp"

namespace minnow {
namespace {

using Blob = std::vector<uint8_t>;

const size_t kDigestBytes = 16;
const double kLargestExact = 9007199254740992;  // 2^53
const char* const kDocument = "SELECT d.id, d.digest, d.first_chunk, d.chunks FROM documents AS d JOIN files AS f ON f.id = d.file "
                              "WHERE f.path = ? AND d.name = ?";

std::string shown(const Record& record) {
    return record.text.size() > 40 ? "'" + record.id + "' (" + quoted(encode_utf8(decode_utf8(record.text).substr(0, 40))) + "...)"
                                   : "'" + record.id + "'";
}

// Returns the name of a collection in the index: the path of a file that no file can have.
std::string path_of(const std::string& collection) {
    if (collection.empty() || collection.find('#') != collection.npos || clean(collection) != collection)
        throw Error("A collection cannot be called '" + clean(collection) + "'. Use letters and digits.");
    return "collection://" + collection;
}

// Throws Error where a number would be read back as another.
void check_exact(const Json& value, const Record& record) {
    if (auto* number = std::get_if<double>(&value.value); number && std::fabs(*number) > kLargestExact && *number == std::trunc(*number))
        throw Error("The metadata of " + shown(record) + " has a whole number above 2^53, which would be rounded. Write it as a string.");
    if (auto* array = std::get_if<Json::Array>(&value.value))
        for (auto& item : *array) check_exact(item, record);
    if (auto* object = std::get_if<Json::Object>(&value.value))
        for (auto& field : *object) check_exact(field.second, record);
}

void check(const std::vector<Record>& records) {
    std::set<std::string> seen;
    for (auto& record : records) {
        if (record.id.empty() || clean(record.id) != record.id) throw Error("An id should be a string that is not empty, without NUL.");
        if (!seen.insert(record.id).second) throw Error("Two records have the id '" + record.id + "'.");
        check_exact(record.metadata, record);
    }
}

Blob digest_of(const std::string& text) {
    std::string digits = sha256(text);
    Blob found;
    for (size_t i = 0; i < kDigestBytes; ++i) found.push_back(static_cast<uint8_t>(std::stoi(digits.substr(2 * i, 2), nullptr, 16)));
    return found;
}

Blob blob_of(std::string_view bytes) { return {bytes.begin(), bytes.end()}; }

// Writes the rows of documents; within a transaction.
class RecordWriter {
public:
    RecordWriter(IndexFile& file, const std::string& path) : file_(file), database_(file.database), path_(path) {}

    // Returns the vector of a record whose text has not changed; none where it has to be made.
    std::optional<Blob> known(const Record& record) {
        Statement row(database_, kDocument);
        if (!row.with(path_, record.id).next() || blob_of(row.bytes(1)) != digest_of(record.text)) return std::nullopt;
        auto vector = file_.select(kVectors, "WHERE id = ?");
        if (!vector.with(row.integer(2)).next()) return std::nullopt;
        file_.check_row(kVectors, vector);
        return blob_of(vector.bytes(1));
    }

    void put(const Record& record, const Blob& vector) {
        remove(record.id);
        Statement(database_, "INSERT INTO documents (file, name, digest, first_chunk, chunks, metadata) VALUES (?, ?, ?, 0, 0, nullif(?, '{}'))")
            .with(file_id(), record.id, digest_of(record.text), to_json(record.metadata)).run();
        int64_t document = database_.last_id();
        // The triggers of the keyword index read a row's words when it is inserted.
        std::u32string text = decode_utf8(record.text);
        Statement insert(database_, "INSERT INTO chunks (document, body, start, text, words) VALUES (?, 0, 0, ?, ?)");
        insert.with(document, record.text);  // NULL: FTS5 reads the text
        if (!is_plain(text)) insert.with(document, record.text, encode_utf8(divide(text)));
        insert.run();
        int64_t chunk = *database_.number("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'");
        file_.write_checksum(kChunks, chunk);
        Statement(database_, "INSERT INTO vectors VALUES (?, ?, NULL)").with(chunk, vector).run();
        file_.write_checksum(kVectors, chunk);
        Statement(database_, "UPDATE documents SET first_chunk = ?, chunks = 1 WHERE id = ?").with(chunk, document).run();
        file_.write_checksum(kDocuments, document);
    }

    bool remove(const std::string& id) {
        Statement row(database_, kDocument);
        if (!row.with(path_, id).next()) return false;
        int64_t document = row.integer(0);
        row.reset();
        Statement(database_, "DELETE FROM documents WHERE id = ?").with(document).run();
        return true;
    }

    std::vector<std::string> ids() {
        std::vector<std::string> found;
        Statement rows(database_, "SELECT d.name FROM documents AS d JOIN files AS f ON f.id = d.file WHERE f.path = ?");
        for (rows.with(path_); rows.next();) found.push_back(rows.text(0));
        return found;
    }

private:
    int64_t file_id() {
        Statement row(database_, "SELECT id FROM files WHERE path = ?");
        if (row.with(path_).next()) return row.integer(0);
        Statement(database_, "INSERT INTO files (path, sha256) VALUES (?, x'')").with(path_).run();
        int64_t id = database_.last_id();
        file_.write_checksum(kFiles, id);
        return id;
    }

    IndexFile& file_;
    Database& database_;
    std::string path_;
};

void check_lengths(const std::vector<Record>& records, TextModel& model) {
    for (auto& record : records)
        if (size_t excess = model.excess(record.text))
            throw Error("The text of " + shown(record) + " has " + std::to_string(excess) + " tokens more than the model takes. Split it "
                        "first: texts are not truncated, and nothing was written.");
}

}  // namespace

Record Record::read(const Json& stated) {
    Record found;
    for (auto& [name, value] : stated.as<Json::Object>("record")) {
        if (name == "id") found.id = value.as<std::string>(name);
        else if (name == "text") found.text = clean(value.as<std::string>(name));
        else if (name == "metadata") value.as<Json::Object>(name), found.metadata = value;
        else throw Error("There is no field " + name + " of a record.");
    }
    return found;
}

size_t put_records(const std::string& file, TextModel* model, const std::vector<Record>& records, const std::string& collection) {
    std::string path = path_of(collection);
    check(records);
    IndexFile open(file, IndexFile::Mode::kWrite);
    if (model) open.fingerprint.check(model->fingerprint(), file);
    RecordWriter writer(open, path);
    std::vector<std::optional<Blob>> vectors;
    std::vector<Record> missing;
    std::vector<std::string> texts;
    open.reading([&] {
        for (auto& record : records) {
            vectors.push_back(writer.known(record));
            if (!vectors.back()) missing.push_back(record), texts.push_back(record.text);
        }
    });
    std::vector<float> made;
    if (!missing.empty()) {
        if (model) check_lengths(missing, *model);
        made = encode_with(model, open, texts, Role::kDocument);
    }
    open.writing([&] {
        size_t next = 0, width = static_cast<size_t>(open.fingerprint.width);
        for (size_t n = 0; n < records.size(); ++n) {
            bool embedded = !vectors[n];
            if (embedded) vectors[n] = encode_vector(&made[width * next++], static_cast<int>(width), open.encoding);
            writer.put(records[n], *vectors[n]);
        }
    });
    return missing.size();
}

size_t remove_records(const std::string& file, const std::optional<std::vector<std::string>>& ids, const std::string& collection) {
    IndexFile open(file, IndexFile::Mode::kWrite);
    RecordWriter writer(open, path_of(collection));
    return open.writing([&] {
        size_t count = 0;
        for (auto& id : ids ? *ids : writer.ids()) count += writer.remove(id);
        return count;
    });
}

}  // namespace minnow
