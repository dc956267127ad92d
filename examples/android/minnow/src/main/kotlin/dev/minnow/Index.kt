package dev.minnow

import java.io.File
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import org.json.JSONArray
import org.json.JSONObject

/**
 * How to search; the names are those of `Index.search` in Python, and null leaves the default.
 *
 * @property mode "vector", "keyword" or "hybrid"
 * @property where a condition in SQL, such as `metadata->>'lang' = ?`, with [params] for its question marks
 * @property paths patterns of files, such as "docs/`*`.md"
 * @property since a date such as 2024-05-31, 2024-05 or 2024
 * @property fusion "scores" or "rrf"
 * @property fold whether hits that only repeat a better one are left out, and listed in it
 * @property context how many chunks before and after each hit come along
 * @property candidates how many hits a reranker reads
 * @property sidecar "auto", "codes" or "never": whether binary codes find the nearest vectors of large files
 */
data class SearchOptions(
    val mode: String? = null,
    val where: String? = null,
    val params: List<Any?> = emptyList(),
    val paths: List<String> = emptyList(),
    val since: String? = null,
    val until: String? = null,
    val fusion: String? = null,
    val fold: Boolean = false,
    val context: Int = 0,
    val candidates: Int? = null,
    val sidecar: String? = null
) {
    internal fun json(): ByteArray = JSONObject()
        .put("mode", mode).put("where", where).put("params", JSONArray(params)).put("paths", JSONArray(paths))
        .put("since", since).put("until", until).put("fusion", fusion).put("fold", fold).put("context", context)
        .put("candidates", candidates).put("sidecar", sidecar)
        .toString().toByteArray()
}

/** A chunk beside a hit; the names are those of `Neighbour` in Python. */
data class Neighbour(val id: Long, val number: Int, val headings: List<String>, val text: String) {
    internal constructor(facts: JSONObject) : this(
        facts.getLong("id"), facts.getInt("number"), facts.getJSONArray("headings").texts(), facts.getString("text")
    )
}

/** A hit that only repeats a better one; the names are those of `Repeat` in Python. */
data class Repeat(val id: Long, val source: String, val number: Int, val score: Double) {
    internal constructor(facts: JSONObject) : this(
        facts.getLong("id"), facts.getString("source"), facts.getInt("number"), facts.getDouble("score")
    )
}

/** A chunk that a search found; the names are those of `Hit` in Python. */
data class Hit(
    val rank: Int,
    val id: Long,
    val score: Double,
    val vectorScore: Double?,
    val keywordScore: Double?,
    val rerankScore: Double?,
    val firstRank: Int?,
    val source: String,
    val number: Int,
    val headings: List<String>,
    val text: String,
    val passage: String,
    val metadata: JSONObject,
    val before: List<Neighbour>,
    val after: List<Neighbour>,
    val folded: List<Repeat>
) {
    internal constructor(facts: JSONObject) : this(
        facts.getInt("rank"), facts.getLong("id"), facts.getDouble("score"), facts.number("vector_score"),
        facts.number("keyword_score"), facts.number("rerank_score"), facts.number("first_rank")?.toInt(),
        facts.getString("source"), facts.getInt("number"), facts.getJSONArray("headings").texts(),
        facts.getString("text"), facts.getString("passage"), facts.getJSONObject("metadata"),
        facts.getJSONArray("before").objects().map { Neighbour(it) },
        facts.getJSONArray("after").objects().map { Neighbour(it) },
        facts.getJSONArray("folded").objects().map { Repeat(it) }
    )
}

/** A text to index, whole; the names are those of `Record` in Python. The values of [metadata] are those of JSON. */
data class Record(val id: String, val text: String, val metadata: Map<String, Any?> = emptyMap()) {
    internal fun json(): JSONObject =
        JSONObject().put("id", id).put("text", text).put("metadata", JSONObject(metadata))
}

/** How far something is: [done] of [total], in texts or in bytes. */
data class Progress(val done: Long, val total: Long)

/**
 * Search in a file of `minnow index`, or in one of records that the app puts in. Suspending functions leave the
 * calling thread free.
 */
class Index private constructor(private val handle: Handle) : AutoCloseable {
    /** Returns the number of chunks. */
    suspend fun size(): Long = handle.call { Native.count(it) }

    /**
     * Returns the best [k] chunks for a question.
     *
     * @param vector the question's, where the app has it already
     * @param reranker orders the first hits by the question and their texts
     */
    suspend fun search(
        query: String, k: Int = 10, options: SearchOptions = SearchOptions(), vector: FloatArray? = null,
        reranker: Reranker? = null
    ): List<Hit> {
        val asked = query.toByteArray()
        val answer = handle.call { index ->
            if (reranker == null) Native.search(index, 0L, asked, k, options.json(), vector)
            else reranker.handle.use { Native.search(index, it, asked, k, options.json(), vector) }
        }
        return JSONArray(String(answer)).objects().map { Hit(it) }
    }

    /**
     * Adds records, or replaces those with the same ids: all of them, or none if that fails. A text that has not
     * changed keeps its vector.
     *
     * @return how many were embedded
     */
    suspend fun put(records: List<Record>, collection: String = RECORDS): Long {
        val given = JSONArray(records.map { it.json() }).toString().toByteArray()
        return handle.call { Native.put(it, collection.toByteArray(), given) }
    }

    /** Adds many records in steps, and emits how many are on the disk. */
    fun putAll(records: List<Record>, collection: String = RECORDS, step: Int = 16): Flow<Progress> = flow {
        var done = 0L
        for (some in records.chunked(step)) {
            put(some, collection)
            done += some.size
            emit(Progress(done, records.size.toLong()))
        }
    }

    /** Drops records by id, all of the collection by default, and returns how many there were. */
    suspend fun remove(ids: List<String>? = null, collection: String = RECORDS): Long {
        val given = ids?.let { JSONArray(it).toString().toByteArray() }
        return handle.call { Native.remove(it, collection.toByteArray(), given) }
    }

    /** Closes the file; all other functions fail afterwards. */
    override fun close() = handle.close()

    companion object {
        private const val RECORDS = "records"

        /**
         * Opens a file.
         *
         * @param embedder of the model that the file was made with, which has to stay open as long; without one,
         *   search with mode "keyword"
         * @param create whether to make the file where there is none, which needs an embedder
         */
        suspend fun open(file: File, embedder: Embedder? = null, create: Boolean = false): Index = Index(
            Handle.open("index", { Native.closeIndex(it) }, embedder?.handle) { Native.openIndex(file.bytes(), it, create) }
        )
    }
}

internal fun JSONObject.number(name: String): Double? = if (isNull(name)) null else getDouble(name)

internal fun JSONArray.texts(): List<String> = (0 until length()).map { getString(it) }

internal fun JSONArray.objects(): List<JSONObject> = (0 until length()).map { getJSONObject(it) }
