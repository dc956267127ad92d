// Memories in a file: remembered, recalled, forgotten, as src/minnow/memory does.
#pragma once
#include <functional>

#include "mentions.hpp"
#include "search.hpp"
#include "times.hpp"

namespace minnow {

struct MemoryOptions {
    bool writable = true, create = true;
    double duplicate = 0.85;  // closeness from which a text is merged with a memory; above 1, never
    std::function<int64_t()> clock;  // milliseconds since 1970; by default the system's

    static MemoryOptions read(const Json& stated);
};

// Something to remember; times are in milliseconds since 1970.
struct Observation {
    std::string text;
    double importance = 0.5;
    std::optional<int64_t> at;
    std::vector<std::string> tags;
    std::vector<int64_t> sources;
    std::string speaker, session;

    static Observation read(const Json& stated);
    void check() const;
};

struct Item {
    int64_t id;
    std::string text, kind;
    double importance;
    int64_t created, used, times;
    std::vector<std::string> tags, wordings;
    std::vector<int64_t> sources;
    std::string speaker, session;

    Json facts() const;  // those of `Item.facts` in Python
};

struct Recalled {
    Item item;
    double score, similarity;
    std::vector<std::pair<std::string, double>> parts;
    std::vector<Item> before, after;
    std::optional<double> rerank_score;

    Json facts() const;  // those of `Recalled.facts` in Python
};

// Weights of the parts of a score, as `Weights` in Python.
struct Weights {
    double relevance = 1, recency = 0.01, importance = 0.02, context = 0.4, speaker = 0.15, time = 0.2;
    double half_life = 30.0 * kDay;  // in milliseconds
    bool relative = false;

    static Weights read(const Json& stated);  // an object, with half_life in days, or a name: default, park2023
};

// What to recall or to list.
struct RecallOptions {
    Weights weights;
    std::vector<std::string> tags;
    std::optional<std::string> speaker, session;
    std::optional<std::string> where;
    Json params;
    int window = 0;
    std::optional<size_t> limit, candidates;  // of memories that a reranker reads
    bool touch = true;
    std::optional<int64_t> now;
    Zone zone;  // that "yesterday" is a day of

    static RecallOptions read(const Json& stated);
};

// Safe to call from several threads, which take turns.
class Memory {
public:
    // `model` has to live as long; without one, memories are only listed and forgotten.
    Memory(const std::string& file, TextModel* model, const MemoryOptions& options = {});
    std::vector<Item> remember(std::vector<Observation> observations);
    std::vector<Recalled> recall(const std::string& query, size_t k, const RecallOptions& asked = {}, TextRanker* ranker = nullptr);
    std::vector<Item> items(const RecallOptions& asked = {});
    std::vector<Item> forget(const std::vector<int64_t>& ids);
    const Fingerprint& fingerprint() const { return file_.fingerprint; }

private:
    using Ids = std::vector<int64_t>;
    using Places = std::vector<size_t>;  // in rows_
    static constexpr size_t kNone = static_cast<size_t>(-1);  // no place
    // What ranks a memory beside its vector.
    struct Row {
        int64_t id;
        double importance;
        int64_t created, used, session;  // the number of a session, 0 for none, -1 for insights
        size_t label;                    // of a speaker with tags, in labels_
    };
    struct Label {
        std::optional<Speaker> speaker;
        std::set<std::string> tags;  // folded
    };
    struct Ranked {
        size_t place;
        double score, similarity;
        std::vector<std::pair<std::string, double>> parts;
    };
    // A form of a question to compare memories with: its words, and its vector.
    struct Form {
        std::string words;
        std::vector<float> vector;
    };
    // The first is the question as the speaker whom it names would ask it. A second, the question as it was asked, is
    // for memories without a speaker; it is left out where both are the same or every memory has a speaker.
    using Forms = std::vector<Form>;
    // The places of the turn before and of the turn after each memory, or kNone.
    struct Turns {
        Places before, after;
    };
    void refresh();
    void read_all();
    void read_row(const Statement& row, const std::string& speaker, const std::string& session);
    void changed(const std::set<int64_t>& ids);
    void index_words();
    size_t label_of(std::optional<Speaker> speaker, const std::string& tags);
    std::optional<Statement> select_turn();  // none where no memory has a speaker or a session
    std::pair<std::string, std::string> read_turn(std::optional<Statement>& turn, int64_t id) const;  // both may be empty
    Turns find_turns() const;
    Ids window_of(const Places& next, size_t place, int size) const;
    Mentions find_mentions(const std::string& query) const;
    std::vector<Ranked> rank(const Mentions& mentions, const Forms& forms, const std::optional<Period>& period,
                             size_t count, const Ids* allowed, int64_t now, const Weights& weights, const Turns& turns);
    std::optional<Ids> allowed(const RecallOptions& asked);
    std::vector<Item> read_items(const Ids& ids);
    size_t place_of(int64_t id) const;
    double background();
    int64_t add(const Observation& seen, int64_t at, const std::vector<uint8_t>& blob);
    void merge(const Item& item, const Observation& seen, int64_t at);
    void link(int64_t insight, const Ids& sources);
    std::optional<Item> find_repeated(const Observation& seen, int64_t at, const float* vector, double least);
    int64_t now() const;

    IndexFile file_;
    TextModel* model_;
    MemoryOptions options_;
    Matrix matrix_;
    Database words_;
    Keywords keywords_;
    std::vector<Row> rows_;
    std::map<std::string, int64_t> sessions_ = {{"", 0}};
    std::vector<Label> labels_;
    std::map<std::pair<std::pair<std::string, int>, std::string>, size_t> label_places_;
    std::map<int64_t, std::string> texts_;  // what the words index holds
    std::set<int64_t> stale_, indexed_;     // whose words have to be indexed again, and whose are
    int64_t seen_ = -1;
};

// Returns a text without white space around it, as a file can hold it: valid UTF-8, without NUL.
std::string stripped(const std::string& text);
// Returns texts as Python's `json.dumps` writes them into a file.
std::string to_python_json(const std::vector<std::string>& texts);
// Returns whether two texts have the same words in an order that leaves the meaning: src/minnow/memory/wording.py.
bool say_the_same(const std::string& first, const std::string& second, const TermReader& reader);
// Returns the words of a text, folded, with short forms written out.
std::vector<std::string> plain_words_of(const std::string& text);

}  // namespace minnow
