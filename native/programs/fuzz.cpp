// A fuzzer of the parsers: minnow-fuzz KIND FILE... [--runs N] [--seed N]
//
// KIND is json, tokenizer, manifest, pattern, query, dates, index, memory or rows; FILEs are sound inputs of it. Each
// run changes bytes of one in a few places; for rows, which takes indexes and memories, it changes values of columns,
// with checksums that fit. The outcome must be an answer or an Error; sanitizers end the program at anything else.
// With Clang, -DMINNOW_LIBFUZZER=ON makes libFuzzer's program of the same function, with KIND in the variable
// MINNOW_FUZZ.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "memory.hpp"
#include "pattern.hpp"
#include "records.hpp"
#include "tokenizer.hpp"
#include "unicode.hpp"

namespace {

std::string kind, folder;  // folder: for inputs that have to be files

// The numbers of a text decide; texts that are alike have vectors that are.
class CountingModel : public minnow::TextModel {
public:
    explicit CountingModel(const minnow::Fingerprint& fingerprint) : fingerprint_(fingerprint) {}
    int width() const override { return fingerprint_.width; }
    minnow::Fingerprint fingerprint() override { return fingerprint_; }
    std::vector<float> encode(const std::vector<std::string>& texts, minnow::Role) override {
        std::vector<float> found(texts.size() * static_cast<size_t>(width()), 0.01f);
        for (size_t n = 0; n < texts.size(); ++n)
            for (unsigned char c : texts[n]) found[n * static_cast<size_t>(width()) + c % static_cast<size_t>(width())] += 1;
        return found;
    }

private:
    minnow::Fingerprint fingerprint_;
};

std::string write_file(const std::string& name, const std::string& bytes) {
    std::string path = folder + "/" + name;
    for (auto* suffix : {"-wal", "-shm", "-journal"}) unlink((path + suffix).c_str());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return path;
}

void search(const std::string& path) {
    minnow::Index index(path);
    minnow::SearchOptions options;
    options.fold = true, options.context = 1, options.mode = "keyword";
    index.search("fish train \"night train\" 冷冻", 5, options);
    options.vector.assign(static_cast<size_t>(index.width()), 1);
    options.mode = "hybrid", options.where = "metadata->>'lang' = 'en' OR number = 1";
    index.search("river", 5, options);
    options.sidecar = "codes";
    index.search("river", 5, options);
    index.size();
    CountingModel model(minnow::IndexFile(path, minnow::IndexFile::Mode::kRead).fingerprint);
    minnow::put_records(path, &model, {minnow::Record::read(minnow::parse_json(R"({"id": "a", "text": "冷冻 fish"})", "A record"))}, "notes");
    minnow::remove_records(path, std::nullopt, "notes");
}

void recall(const std::string& path) {
    minnow::MemoryOptions options;
    options.create = false;
    options.clock = [] { return int64_t{1'764'374'400'000}; };
    minnow::Memory memory(path, nullptr, options);
    memory.items();
    CountingModel model(memory.fingerprint());
    minnow::Memory open(path, &model, options);
    open.recall("what did Tom say about the car last May?", 3);
    minnow::Observation seen;
    seen.text = "Tom: I sold the car.";
    open.remember({seen, seen});
    open.forget({1});
}

void try_input(const std::string& bytes) {
    try {
        if (kind == "json") minnow::to_json(minnow::parse_json(bytes, "The input"));
        if (kind == "tokenizer") {
            minnow::Tokenizer tokenizer(minnow::parse_json(bytes, "The input"), "The input", false, 20);
            for (auto* text : {"", "How do fish sleep? 冷冻 ﬁ [MASK]\xff", "á\u0301  <s>x</s>"}) tokenizer.encode(text), tokenizer.excess(text);
        }
        if (kind == "manifest") {
            write_file("minnow.json", bytes);
            minnow::Fingerprint::of_bundle(folder);
        }
        if (kind == "pattern") minnow::Pattern(bytes, minnow::Pattern::kPython).find(U"In May 2024, Tom's 3rd car");
        if (kind == "query") {
            auto memory = minnow::Database::in_memory();
            minnow::TermReader reader(memory);
            minnow::read_query(bytes, reader);
            minnow::passages_of({bytes, "a " + bytes}, bytes, 5, reader);
            minnow::say_the_same(bytes, "the " + bytes, reader);
        }
        if (kind == "dates") minnow::read_period(bytes, 1'764'374'400'000, 1'764'000'000'000, minnow::Zone(minnow::kHour)), minnow::find_prefix(bytes);
        if (kind == "index") search(write_file("fuzz.index", bytes));
        if (kind == "memory") recall(write_file("fuzz.memory", bytes));
    } catch (const minnow::Error&) {
    }
}

std::string changed(std::string bytes, const std::vector<std::string>& all, std::mt19937_64& random) {
    const std::string interesting[] = {"0", "-1", "1e999", "4294967296", "null", "[]", "{}", "\"", "\\ud83d", "\xff", "\xf0\x9f", std::string(70, '['),
                                       std::string(4, '\0'), "(?:", "{9}", "a couple of ", " 31 February 0000 "};
    auto below = [&](size_t n) { return n ? static_cast<size_t>(random() % n) : 0; };
    for (size_t times = 1 + below(4); times--;) {
        size_t at = below(bytes.size() + 1), length = std::min(below(40), bytes.size() - at);
        switch (below(6)) {
            case 0: if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8)); break;
            case 1: bytes.erase(at, length); break;
            case 2: bytes.insert(at, bytes.substr(at, length)); break;
            case 3: bytes.replace(at, length, interesting[below(std::size(interesting))]); break;
            case 4: for (size_t i = at; i < at + length; ++i) bytes[i] = static_cast<char>(random()); break;
            default: {
                auto& other = all[below(all.size())];
                size_t from = below(other.size() + 1);
                bytes.replace(at, length, other.substr(from, below(200)));
            }
        }
    }
    return bytes;
}

// Puts values that minnow never writes into some rows, and searches and recalls then.
void try_rows(const std::string& bytes, std::mt19937_64& random) {
    struct Column { const minnow::CheckedTable* table; const char* name; };
    const Column columns[] = {
        {&minnow::kChunks, "body"}, {&minnow::kChunks, "start"}, {&minnow::kChunks, "headings"}, {&minnow::kChunks, "text"},
        {&minnow::kChunks, "words"}, {&minnow::kChunks, "document"}, {&minnow::kDocuments, "first_chunk"}, {&minnow::kDocuments, "chunks"},
        {&minnow::kDocuments, "metadata"}, {&minnow::kDocuments, "file"}, {&minnow::kFiles, "path"}, {&minnow::kVectors, "vector"}, {&minnow::kCodes, "codes"},
        {&minnow::kMemories, "text"}, {&minnow::kMemories, "kind"}, {&minnow::kMemories, "importance"}, {&minnow::kMemories, "created"},
        {&minnow::kMemories, "used"}, {&minnow::kMemories, "times"}, {&minnow::kMemories, "tags"}, {&minnow::kMemories, "wordings"},
        {&minnow::kMemoryTurns, "speaker"}, {&minnow::kMemoryTurns, "session"}, {&minnow::kMemoryVectors, "vector"}};
    const char* const values[] = {"-1", "0", "9223372036854775807", "-9223372036854775808", "1e308", "'x'", "''", "NULL", "'[]'", "'{}'",
                                  "'[1, null]'", "'[\"a\"]'", "'{\"a\": [1]}'", "x'ff00'", "CAST(x'c328' AS TEXT)", "zeroblob(52)", "'Tom: a'"};
    std::string path = write_file("fuzz.rows", bytes);
    try {
        minnow::IndexFile file(path, minnow::IndexFile::Mode::kWrite);
        file.writing([&] {
            for (int times = 1 + static_cast<int>(random() % 4); times--;) {
                auto& column = columns[random() % std::size(columns)];
                if (!file.database.has_table(column.table->name)) continue;
                auto key = file.database.number(std::string("SELECT id FROM ") + column.table->name + " ORDER BY random() LIMIT 1");
                if (!key) continue;
                minnow::Statement(file.database, std::string("UPDATE OR IGNORE ") + column.table->name + " SET " + column.name + " = " +
                                                     values[random() % std::size(values)] + " WHERE id = ?").with(*key).run();
                file.write_checksum(*column.table, *key);
            }
        });
    } catch (const minnow::Error&) {
        return;
    }
    for (auto* use : {search, recall}) try { use(path); } catch (const minnow::Error&) {}
}

void make_folder() {
    char name[] = "/tmp/minnow-fuzz-XXXXXX";
    if (!mkdtemp(name)) std::abort();
    folder = name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (folder.empty()) {
        make_folder();
        kind = std::getenv("MINNOW_FUZZ") ? std::getenv("MINNOW_FUZZ") : "json";
    }
    try_input({reinterpret_cast<const char*>(data), size});
    return 0;
}

#if !MINNOW_LIBFUZZER
int main(int count, char** arguments) {
    std::vector<std::string> all;
    unsigned long runs = 1000, seed = 1;
    for (int i = 1; i < count; ++i) {
        std::string word = arguments[i];
        if (word == "--runs" && i + 1 < count) runs = std::strtoul(arguments[++i], nullptr, 10);
        else if (word == "--seed" && i + 1 < count) seed = std::strtoul(arguments[++i], nullptr, 10);
        else if (kind.empty()) kind = word;
        else {
            std::ifstream file(word, std::ios::binary);
            all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        }
    }
    if (all.empty()) return std::cerr << "minnow-fuzz KIND FILE... [--runs N] [--seed N]\n", 2;
    make_folder();
    std::mt19937_64 random(seed);
    for (unsigned long run = 0; run < runs; ++run) {
        std::string input = changed(all[random() % all.size()], all, random);
        std::ofstream(folder + "/last", std::ios::binary | std::ios::trunc) << input;  // what to look at after a crash
        if (kind == "rows") try_rows(all[random() % all.size()], random);
        else try_input(input);
    }
    std::cout << runs << " runs of " << kind << "; the last input is " << folder << "/last\n";
}
#endif
