// Keyword search by BM25, in the index of a file or of memories: src/minnow/indexfile/keyword.py.
#pragma once
#include <map>
#include <set>

#include "index_file.hpp"

namespace minnow {

// A term of the index, and the word that FTS5 reads as it; terms that begin with it may count too.
struct Term {
    std::string text, spelled;
    bool beginning = false;
    std::string question() const;  // in FTS5's query language
    auto key() const { return std::tie(text, spelled, beginning); }
    bool operator<(const Term& other) const { return key() < other.key(); }
    bool operator==(const Term& other) const { return key() == other.key(); }
};

// One term, or the pairs of a word in a script without spaces.
using Terms = std::vector<Term>;

// Words that have to follow each other.
struct Phrase {
    std::vector<Term> terms;
    std::string question;
};

struct KeywordQuery {
    std::vector<Terms> words;
    std::vector<Term> terms;  // the different ones of all words
    std::vector<Phrase> phrases;
};

// Divides any text into words, and into phrases in quotation marks.
KeywordQuery read_query(const std::string& query, const TermReader& reader);

// Makes a table `texts (text)` in memory, tokenized as the index is.
void make_words_table(const Database& database);

// A keyword index, and the view `(id, text)` of what it reads.
struct KeywordTable {
    const char *name, *words, *count;  // `count` is SQL for the number of texts
};
extern const KeywordTable kChunkKeywords, kMemoryKeywords;

class Keywords {
public:
    // `file`: whose texts are checked before FTS5 reads them, or null. `ignored`: words that weigh nothing beside others.
    Keywords(const Database& database, const KeywordTable& table, IndexFile* file, std::set<std::string> ignored = {});
    // Ranks texts that have words of a query; words are alternatives, and those of phrases have to follow each other.
    Ranking search(const std::string& query, size_t count, const std::vector<int64_t>* allowed);
    const TermReader& reader() const { return reader_; }

private:
    using Ids = std::vector<int64_t>;
    using Chosen = std::vector<std::pair<Term, int64_t>>;  // terms with the number of texts that have each
    Chosen rarest(const KeywordQuery& asked);
    int64_t number(const Term& term);
    Ids candidates(const Chosen& chosen, const KeywordQuery& asked, const Ids* allowed);
    Ids having(const Term& term, const Ids* allowed);
    Ids with_phrases(const Ids& candidates, const std::vector<Phrase>& phrases, size_t count);
    Ids with_whole_words(const Ids& candidates, const std::vector<Terms>& words, const Chosen& chosen);
    Ranking bm25(const Chosen& chosen, const Ids& candidates, size_t count);
    std::string words_of(int64_t id);

    const Database& database_;
    const KeywordTable& table_;
    IndexFile* file_;
    std::set<std::string> ignored_;
    TermReader reader_;
    std::string terms_, places_;
    std::optional<Statement> words_;
};

}  // namespace minnow
