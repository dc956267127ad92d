package dev.minnow

import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.withContext
import org.json.JSONArray
import org.json.JSONObject

/** Something to remember; the names are those of `Observation` in Python. [at] is in milliseconds since 1970, null for now. */
data class Observation(
    val text: String,
    val importance: Double = 0.5,
    val at: Long? = null,
    val tags: List<String> = emptyList(),
    val sources: List<Long> = emptyList(),
    val speaker: String = "",
    val session: String = ""
) {
    internal fun json(): JSONObject = JSONObject()
        .put("text", text).put("importance", importance).put("at", at).put("tags", JSONArray(tags))
        .put("sources", JSONArray(sources)).put("speaker", speaker).put("session", session)
}

/** A memory; the names are those of `Item` in Python. Times are in ISO 8601, in UTC. */
data class Item(
    val id: Long,
    val text: String,
    val kind: String,
    val importance: Double,
    val created: String,
    val used: String,
    val times: Int,
    val tags: List<String>,
    val wordings: List<String>,
    val speaker: String,
    val session: String
) {
    internal constructor(facts: JSONObject) : this(
        facts.getLong("id"), facts.getString("text"), facts.getString("kind"), facts.getDouble("importance"),
        facts.getString("created"), facts.getString("used"), facts.getInt("times"),
        facts.getJSONArray("tags").texts(), facts.getJSONArray("wordings").texts(),
        facts.getString("speaker"), facts.getString("session")
    )
}

/** A memory that was recalled, with its score, which is the sum of its [parts]. */
data class Recalled(
    val item: Item,
    val score: Double,
    val similarity: Double,
    val parts: Map<String, Double>,
    val before: List<Item>,
    val after: List<Item>
) {
    internal constructor(facts: JSONObject) : this(
        Item(facts), facts.getDouble("score"), facts.getDouble("similarity"),
        facts.getJSONObject("parts").let { parts -> parts.keys().asSequence().associateWith { parts.getDouble(it) } },
        facts.getJSONArray("before").objects().map { Item(it) }, facts.getJSONArray("after").objects().map { Item(it) }
    )
}

/**
 * Memories in a file, which is made where there is none. Suspending functions leave the calling thread free.
 *
 * @param embedder the model; without one, memories can be listed and forgotten. It has to stay open as long.
 * @throws MinnowException names the file or the text, and the fault
 */
class Memory @JvmOverloads constructor(file: File, embedder: Embedder? = null) : AutoCloseable {
    private val opened = OpenFile(
        "memory", embedder, { Native.openMemory(file.absolutePath.toByteArray(), it, NOTHING) }, { Native.closeMemory(it) }
    )

    /** Remembers texts, all or none; those that repeat a memory are merged with it. */
    suspend fun remember(observations: List<Observation>): List<Item> = withContext(Dispatchers.IO) {
        val seen = JSONArray(observations.map { it.json() }).toString().toByteArray()
        items(opened.call { Native.remember(it, seen) })
    }

    suspend fun remember(observation: Observation): Item = remember(listOf(observation)).first()

    /** Remembers many texts in steps, and emits the memories of each when they are on the disk. */
    fun rememberAll(observations: List<Observation>, step: Int = 16): Flow<List<Item>> = flow {
        for (some in observations.chunked(step)) emit(remember(some))
    }.flowOn(Dispatchers.IO)

    /** Returns the [k] memories that answer a question, the best first. */
    suspend fun recall(
        query: String, k: Int = 5, tags: List<String> = emptyList(), speaker: String? = null, session: String? = null,
        window: Int = 0, touch: Boolean = true
    ): List<Recalled> = withContext(Dispatchers.IO) {
        val offset = java.util.TimeZone.getDefault().getOffset(System.currentTimeMillis()) / 60_000
        val options = JSONObject()
            .put("tags", JSONArray(tags)).put("speaker", speaker).put("session", session)
            .put("window", window).put("touch", touch).put("utc_offset", offset)
        val answer = opened.call { Native.recall(it, query.toByteArray(), k, options.toString().toByteArray()) }
        JSONArray(String(answer)).objects().map { Recalled(it) }
    }

    /** Returns memories, the newest first. */
    suspend fun items(limit: Int? = null, tags: List<String> = emptyList()): List<Item> = withContext(Dispatchers.IO) {
        val options = JSONObject().put("limit", limit).put("tags", JSONArray(tags))
        items(opened.call { Native.items(it, options.toString().toByteArray()) })
    }

    /** Deletes memories and returns them. */
    suspend fun forget(vararg ids: Long): List<Item> = withContext(Dispatchers.IO) { items(opened.call { Native.forget(it, ids) }) }

    private fun items(answer: ByteArray): List<Item> = JSONArray(String(answer)).objects().map { Item(it) }

    /** Closes the file; all other functions fail afterwards. */
    override fun close() = opened.close()

    private companion object {
        val NOTHING = "{}".toByteArray()
    }
}
