// Search in an index file: src/minnow/search.
#pragma once
#include "codes.hpp"
#include "keyword.hpp"

namespace minnow {

// Encodes texts, and checks that there is a model and that its vectors fit; those compared by cosine get length 1.
std::vector<float> encode_with(TextModel* model, const IndexFile& file, const std::vector<std::string>& texts, Role role);

// How to search; the names and defaults are those of `Index.search` in Python.
struct SearchOptions {
    std::string mode;  // vector, keyword or hybrid; empty for what the file stores, else hybrid
    std::optional<std::string> where;
    Json params;
    std::vector<std::string> paths;
    std::string since, until, fusion = "scores";
    std::string sidecar = "auto";  // or codes, never: as `Index.open` in Python takes it
    bool fold = false;
    int context = 0;
    std::optional<size_t> candidates;  // texts that a reranker reads
    std::vector<float> vector;  // the question's, if the caller made it

    static SearchOptions read(const Json& stated);  // throws Error where a name is unknown
};

struct Chunk {
    int64_t id, number;
    std::vector<std::string> headings;
    std::string text;
    size_t body, start;  // in characters
};

struct Hit : Chunk {
    double score;
    std::optional<double> vector_score, keyword_score, rerank_score;
    std::optional<size_t> first_rank;  // before the reranker, from 1
    std::string source, passage;
    Json metadata;
    std::vector<Chunk> before, after;
    std::vector<Hit> folded;
    Json facts(size_t rank) const;  // those of `Hit.facts` in Python
};

// Safe to call from several threads, which take turns.
class Index {
public:
    // `model` embeds questions, and has to live as long; without one, questions bring their vectors, or are words.
    explicit Index(const std::string& file, TextModel* model = nullptr);
    std::vector<Hit> search(const std::string& query, size_t k, const SearchOptions& options, TextRanker* ranker = nullptr);
    size_t size();  // the number of chunks
    int width() const { return matrix_.width(); }

private:
    using Ids = std::vector<int64_t>;
    std::vector<Hit> find(const std::string& query, const float* vector, size_t k, const SearchOptions& asked,
                          const std::string& mode);
    std::string mode_of(const SearchOptions& asked);
    std::optional<Ids> allowed(const SearchOptions& asked);
    void check_documents();
    void check_keywords();
    Ids chunk_ids();
    Ranking nearest(const float* vector, size_t count, const Ids* allowed, const std::string& sidecar);
    std::vector<double> compare(const float* vector, const Ids& ids);  // compares with some chunks
    void append_range(int64_t first, int64_t count, Ids& ids);  // a document's chunks, which the file can have
    std::vector<Hit> read_hits(const Ranking& ranking, const std::string& query, const Ranking* vectors, const Ranking* words);
    Hit read_chunk(int64_t id);
    void add_neighbours(Hit& hit, int count);

    IndexFile file_;
    TextModel* model_;
    Keywords keywords_;
    Matrix matrix_;
    Codes codes_;
    Ids ids_;  // of all chunks
    std::string checked_;
    int64_t seen_ = -1, keywords_seen_ = -1, last_chunk_ = 0, most_chunks_ = 0;
    std::optional<Statement> chunks_, passages_;
};

// Returns hits without those that repeat a better one, which has them in `folded`.
std::vector<Hit> fold_hits(std::vector<Hit> hits);
// Returns how many texts to find, so that a reranker can choose k of them; without one, k. Throws Error for a choice that
// is out of range.
size_t count_candidates(const TextRanker* ranker, std::optional<size_t> candidates, size_t k);
// Returns the best k hits in a reranker's order.
std::vector<Hit> rerank(TextRanker& ranker, const std::string& query, std::vector<Hit> hits, size_t k);
// Returns the part of each text with most words of a query, of about so many words; none for a text without any.
std::vector<std::optional<std::string>> passages_of(const std::vector<std::string>& texts, const std::string& query,
                                                    size_t words, const TermReader& reader);

}  // namespace minnow
