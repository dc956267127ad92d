/* Sentence embeddings and rerankers on MNN, search in index files and memories, for C and languages that call C
 * (Kotlin through JNI, Swift).
 *
 * No function throws or exits. On failure a function writes a message to `error`, truncated to
 * `error_size` bytes; both may be 0. Texts are UTF-8 and may contain any byte.
 */
#ifndef MINNOW_H
#define MINNOW_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MINNOW_API __attribute__((visibility("default")))
#else
#define MINNOW_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct minnow_embedder minnow_embedder;
typedef struct minnow_reranker minnow_reranker;

typedef enum { MINNOW_NO_ROLE = 0, MINNOW_QUERY = 1, MINNOW_DOCUMENT = 2 } minnow_role;
typedef enum { MINNOW_NORMAL = 0, MINNOW_HIGH = 1, MINNOW_LOW = 2 } minnow_mode;

/* Zero in every field means the default. */
typedef struct {
    int32_t backend;      /* MNN's number: 0 CPU, 1 Metal, 3 OpenCL, 5 CoreML, NNAPI or QNN, 7 Vulkan */
    int32_t threads;      /* 0: four */
    int32_t precision;    /* minnow_mode; low computes in half precision where the CPU can */
    int32_t power;        /* minnow_mode */
    int32_t memory;       /* minnow_mode; low keeps int8 weights as they are, vectors are coarser */
    int32_t fixed_shapes; /* not 0: use the encoders that the bundle has for one shape each */
} minnow_options;

typedef struct {
    const char* bytes;
    size_t size;
} minnow_text;

typedef struct {
    minnow_text query, document;
} minnow_pair;

/* A document in its place: its number among the documents, from 0, and its score. */
typedef struct {
    size_t index;
    float score;
} minnow_ranked;

/* Opens a bundle or an mnn-llm directory; returns NULL on failure. `options` may be NULL. */
MINNOW_API minnow_embedder* minnow_open(const char* folder, const minnow_options* options,
                                        char* error, size_t error_size);

/* Opens a bundle on the fastest backend and mode of this device that gives the vectors of the bundle's canaries,
 * texts whose vectors it brings; MNN's default mode stays unless another takes 10 % less time. What was tried is
 * kept in the file `record`, as JSON, and tried again only with another bundle, device, version of MNN or number of
 * threads. Each attempt is recorded before it starts: one that ends the app is not repeated. Without a record (NULL,
 * or a file that cannot be written) only modes of the CPU are tried. Returns NULL where nothing gives the vectors,
 * or on another failure. In `options`, which may be NULL, backend, precision, memory and fixed_shapes have to be 0. */
MINNOW_API minnow_embedder* minnow_open_best(const char* folder, const char* record, const minnow_options* options,
                                             char* error, size_t error_size);

/* Returns 1 if a bundle's manifest proves its vectors in the mode of these options on this kind of processor
 * (`minnow prove`), or the mode computes as the bundle's own proof did; 0 if not; -1 on failure. */
MINNOW_API int32_t minnow_is_proven(const char* folder, const minnow_options* options, char* error, size_t error_size);

/* Writes the SHA-256 of a file as 64 hexadecimal digits and a NUL: those that minnow.json states of every other file of a
 * bundle, for apps that download one. Returns 0, or 1 on failure. */
MINNOW_API int32_t minnow_sha256(const char* file, char* digits, char* error, size_t error_size);

/* Returns the number of floats in a vector. */
MINNOW_API int32_t minnow_width(const minnow_embedder* embedder);

/* Writes count rows of minnow_width() floats. Returns 0, or 1 on failure.
 * Safe to call from several threads, which take turns. */
MINNOW_API int32_t minnow_encode(minnow_embedder* embedder, const minnow_text* texts, size_t count,
                                 int32_t role, float* vectors, char* error, size_t error_size);

/* Frees an embedder; NULL is allowed. */
MINNOW_API void minnow_close(minnow_embedder* embedder);

/* Opens the bundle of a reranker, which scores pairs of texts; returns NULL on failure. */
MINNOW_API minnow_reranker* minnow_open_reranker(const char* folder, const minnow_options* options,
                                                 char* error, size_t error_size);

/* Opens the bundle of a reranker as minnow_open_best opens an embedding model. */
MINNOW_API minnow_reranker* minnow_open_best_reranker(const char* folder, const char* record,
                                                      const minnow_options* options, char* error, size_t error_size);

/* Returns how many scores a pair has; 1 where documents can be ranked. */
MINNOW_API int32_t minnow_labels(const minnow_reranker* reranker);

/* Returns the name of a score, from 0; NULL where there is none. It lives as long as the reranker. */
MINNOW_API const char* minnow_label(const minnow_reranker* reranker, int32_t number);

/* Writes count rows of minnow_labels() scores. Returns 0, or 1 on failure.
 * Safe to call from several threads, which take turns. */
MINNOW_API int32_t minnow_predict(minnow_reranker* reranker, const minnow_pair* pairs, size_t count,
                                  float* scores, char* error, size_t error_size);

/* Scores documents against a query, and writes the best min(top_k, count) rows, the best first.
 * Returns 0, or 1 on failure. Safe to call from several threads, which take turns. */
MINNOW_API int32_t minnow_rank(minnow_reranker* reranker, minnow_text query, const minnow_text* documents,
                               size_t count, size_t top_k, minnow_ranked* rows, char* error, size_t error_size);

/* Frees a reranker; NULL is allowed. */
MINNOW_API void minnow_close_reranker(minnow_reranker* reranker);

/* Runs a folder that `minnow device-check` wrote, and writes answer.json and answer.f32 into it, which `minnow device-check --read`
 * judges on a desktop. `runner` names the program in its report. Returns 0, or 1 on failure. */
MINNOW_API int32_t minnow_device_check(const char* folder, const minnow_options* options, const char* runner,
                                       char* error, size_t error_size);

/* --- Files: indexes of documents, and memories ---
 *
 * Options and answers are JSON in UTF-8, with the names that Python's `Index.search`, `Hit`, `Memory` and `Item` have.
 * Options may be NULL. Free an answer with minnow_free; it is NULL on failure. All functions are safe to call from
 * several threads, which take turns. A file may be open several times, also in other processes. */

typedef struct minnow_index minnow_index;
typedef struct minnow_memory minnow_memory;

/* An app's own way from texts to vectors. */
typedef struct {
    void* context;  /* passed to `encode` */
    /* Writes count rows of floats, as many as the model's width. Returns 0, or another number on failure. */
    int32_t (*encode)(void* context, const minnow_text* texts, size_t count, int32_t role, float* vectors);
} minnow_encoder;

/* Makes an embedder of an app's own function. `model` is the JSON of the fact "model" in index files
 * (docs/index-format.md): what tells the model from others. Returns NULL on failure. */
MINNOW_API minnow_embedder* minnow_wrap(const minnow_encoder* encoder, const char* model, char* error, size_t error_size);

/* An app's own way to score documents against a query. */
typedef struct {
    void* context;  /* passed to `score` */
    /* Writes a score for each document, greater ones for better answers. Returns 0, or another number on failure. */
    int32_t (*score)(void* context, minnow_text query, const minnow_text* documents, size_t count, float* scores);
} minnow_scorer;

/* Makes a reranker of an app's own function, with one label, "score". Returns NULL on failure. */
MINNOW_API minnow_reranker* minnow_wrap_reranker(const minnow_scorer* scorer, char* error, size_t error_size);

/* Opens a file of `minnow index`. The embedder has to be of the same model, and to stay open; without one (NULL),
 * search words, or give vectors. Returns NULL on failure. */
MINNOW_API minnow_index* minnow_open_index(const char* file, minnow_embedder* embedder, char* error, size_t error_size);

/* Opens an index as minnow_open_index, and makes the file where there is none. Returns NULL on failure. */
MINNOW_API minnow_index* minnow_make_index(const char* file, minnow_embedder* embedder, char* error, size_t error_size);

/* Puts records into an index, or replaces those with the same ids, all or none: an array of objects with id, text, and
 * metadata, an object. Each is a chunk of its own, so its text has to fit the model. Records belong to a collection, NULL
 * for "records"; the source of a hit is "collection://" with its name, "#" and the id. Returns how many were embedded, which are
 * those whose text is new, or -1 on failure. */
MINNOW_API int64_t minnow_put(minnow_index* index, const char* collection, const char* records, char* error, size_t error_size);

/* Removes records of a collection by a JSON array of ids, or all where that is NULL. Returns how many there were, or -1 on
 * failure. */
MINNOW_API int64_t minnow_remove(minnow_index* index, const char* collection, const char* ids, char* error, size_t error_size);

/* Returns the number of chunks, or -1 on failure. */
MINNOW_API int64_t minnow_count(minnow_index* index, char* error, size_t error_size);

/* Finds the best k chunks for a question: an array of hits, the best first.
 * Options: mode ("vector", "keyword", "hybrid"), where, params, paths, since, until, fusion ("scores", "rrf"), fold,
 * context; sidecar: "auto" compares with all vectors of fewer than 100 000 chunks and asks the file's binary codes about
 * more, which find nearly all of the nearest; "codes" asks them at any size, "never" compares with all. `vector` is the
 * question's, of `width` floats, if the app has made it, or NULL. */
MINNOW_API char* minnow_search(minnow_index* index, minnow_text query, int32_t k, const char* options, const float* vector,
                               size_t width, char* error, size_t error_size);

/* minnow_search in the order of a reranker: it reads the question with the text of each of the first `candidates` hits (an
 * option, by default 50), and the best k of them are the answer. A hit's score is the reranker's then, as `rerank_score`;
 * `first_rank` is its rank before. Without a reranker (NULL) this is minnow_search. */
MINNOW_API char* minnow_search_reranked(minnow_index* index, minnow_reranker* reranker, minnow_text query, int32_t k,
                                        const char* options, const float* vector, size_t width,
                                        char* error, size_t error_size);

/* Closes an index; NULL is allowed. */
MINNOW_API void minnow_close_index(minnow_index* index);

/* Opens a file for memories, and makes it where there is none. Without an embedder, memories can be listed and
 * forgotten. Options: writable, create (both true), duplicate (0.85). Returns NULL on failure. */
MINNOW_API minnow_memory* minnow_open_memory(const char* file, minnow_embedder* embedder, const char* options,
                                             char* error, size_t error_size);

/* Remembers an array of observations, all or none: text, importance (0.5), at (ISO 8601, or milliseconds since 1970; now),
 * tags, sources, speaker, session. Answers the memory of each; those that repeat one are merged with it. */
MINNOW_API char* minnow_remember(minnow_memory* memory, const char* observations, char* error, size_t error_size);

/* Finds the k memories that answer a question, the best first: score, parts, similarity, and the memory.
 * Options: weights (an object, with half_life in days, or "park2023"), tags, speaker, session, where, params, window,
 * touch (true), now (as `at`; the clock's time). "yesterday" is a day of UTC, or of the zone that is utc_offset minutes
 * ahead, or with time_zone "local" of the process's zone, with its changes between summer and winter: that of C's localtime,
 * which is the device's, or that of the variable TZ. The library reads TZ (by tzset) and never changes it. */
MINNOW_API char* minnow_recall(minnow_memory* memory, minnow_text query, int32_t k, const char* options,
                               char* error, size_t error_size);

/* minnow_recall in the order of a reranker: it reads the question with the text of each of the first `candidates` memories
 * (an option, by default 50), behind the name of its speaker, and the best k of them are the answer, each with its
 * `rerank_score`. Without a reranker (NULL) this is minnow_recall. */
MINNOW_API char* minnow_recall_reranked(minnow_memory* memory, minnow_reranker* reranker, minnow_text query, int32_t k,
                                        const char* options, char* error, size_t error_size);

/* Lists memories, the newest first. Options: tags, speaker, session, where, params, limit. */
MINNOW_API char* minnow_items(minnow_memory* memory, const char* options, char* error, size_t error_size);

/* Deletes memories by id and answers them. */
MINNOW_API char* minnow_forget(minnow_memory* memory, const int64_t* ids, size_t count, char* error, size_t error_size);

/* Closes memories; NULL is allowed. */
MINNOW_API void minnow_close_memory(minnow_memory* memory);

/* --- Answers --- */

typedef struct minnow_llm minnow_llm;

/* Takes a piece of an answer, of whole characters. Returns 0 to go on, another number to stop. */
typedef int32_t (*minnow_take)(void* context, minnow_text piece);

/* Opens an LLM for MNN's engine, a folder with config.json and llm.mnn. Returns NULL on failure, and where MNN was built
 * without its LLM part. */
MINNOW_API minnow_llm* minnow_open_llm(const char* folder, int32_t threads, char* error, size_t error_size);

/* Answers a question from passages, an array of hits as minnow_search answers, or of objects with a text alone, such as memories.
 * The prompt is that of `minnow ask`: rules to answer from the passages and to cite them as [1], passages and question. Writes at
 * most max_tokens tokens, the likeliest each. Returns 0, or 1 on failure. */
MINNOW_API int32_t minnow_answer(minnow_llm* llm, minnow_text question, const char* passages, int32_t max_tokens,
                                 minnow_take take, void* context, char* error, size_t error_size);

/* Frees an LLM; NULL is allowed. */
MINNOW_API void minnow_close_llm(minnow_llm* llm);

/* Frees an answer; NULL is allowed. */
MINNOW_API void minnow_free(char* answer);

#ifdef __cplusplus
}
#endif
#endif
