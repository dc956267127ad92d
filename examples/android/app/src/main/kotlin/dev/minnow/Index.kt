package dev.minnow

import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.json.JSONArray
import org.json.JSONObject

/**
 * How to search; the names are those of `Index.search` in Python, and null leaves the default.
 *
 * @property mode "vector", "keyword" or "hybrid"
 * @property where a condition in SQL, such as `metadata->>'lang' = ?`, with [params] for its question marks
 * @property paths patterns of files, such as "docs/`*`.md"
 * @property since a date such as 2024-05-31, 2024-05 or 2024
 * @property fold whether hits that only repeat a better one are left out, and listed in it
 * @property context how many chunks before and after each hit come along
 */
data class SearchOptions(
    val mode: String? = null,
    val where: String? = null,
    val params: List<Any?> = emptyList(),
    val paths: List<String> = emptyList(),
    val since: String? = null,
    val until: String? = null,
    val fold: Boolean = false,
    val context: Int = 0
) {
    internal fun json(): ByteArray = JSONObject()
        .put("mode", mode).put("where", where).put("params", JSONArray(params)).put("paths", JSONArray(paths))
        .put("since", since).put("until", until).put("fold", fold).put("context", context)
        .toString().toByteArray()
}

/** A chunk that a search found; the names are those of `Hit` in Python. */
data class Hit(
    val rank: Int,
    val id: Long,
    val score: Double,
    val vectorScore: Double?,
    val keywordScore: Double?,
    val source: String,
    val number: Int,
    val headings: List<String>,
    val text: String,
    val passage: String,
    val metadata: JSONObject
) {
    internal constructor(facts: JSONObject) : this(
        facts.getInt("rank"), facts.getLong("id"), facts.getDouble("score"), facts.number("vector_score"),
        facts.number("keyword_score"), facts.getString("source"), facts.getInt("number"),
        facts.getJSONArray("headings").texts(), facts.getString("text"), facts.getString("passage"),
        facts.getJSONObject("metadata")
    )
}

/**
 * Search in a file of `minnow index`. Suspending functions leave the calling thread free.
 *
 * @param embedder of the model that the file was made with; without one, search with mode "keyword". It has to stay
 *   open as long as this index.
 * @throws MinnowException names the file and the fault
 */
class Index @JvmOverloads constructor(file: File, embedder: Embedder? = null) : AutoCloseable {
    private val opened = OpenFile(
        "index", embedder, { Native.openIndex(file.absolutePath.toByteArray(), it) }, { Native.closeIndex(it) }
    )

    /** Returns the number of chunks. */
    suspend fun size(): Long = withContext(Dispatchers.IO) { opened.call { Native.count(it) } }

    /** Returns the best [k] chunks for a question. */
    suspend fun search(query: String, k: Int = 10, options: SearchOptions = SearchOptions()): List<Hit> =
        withContext(Dispatchers.IO) {
            val answer = opened.call { Native.search(it, query.toByteArray(), k, options.json()) }
            JSONArray(String(answer)).objects().map { Hit(it) }
        }

    /** Closes the file; all other functions fail afterwards. */
    override fun close() = opened.close()
}

internal fun JSONObject.number(name: String): Double? = if (isNull(name)) null else getDouble(name)

internal fun JSONArray.texts(): List<String> = (0 until length()).map { getString(it) }

internal fun JSONArray.objects(): List<JSONObject> = (0 until length()).map { getJSONObject(it) }
