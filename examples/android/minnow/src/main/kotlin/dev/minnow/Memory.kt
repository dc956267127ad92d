package dev.minnow

import java.io.File
import java.io.IOException
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import org.json.JSONArray
import org.json.JSONObject

/** Something to remember; the names are those of `Observation` in Python. [at] is a time in ISO 8601, null for now. */
data class Observation(
    val text: String,
    val importance: Double = 0.5,
    val at: String? = null,
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
    val sources: List<Long>,
    val speaker: String,
    val session: String
) {
    internal constructor(facts: JSONObject) : this(
        facts.getLong("id"), facts.getString("text"), facts.getString("kind"), facts.getDouble("importance"),
        facts.getString("created"), facts.getString("used"), facts.getInt("times"),
        facts.getJSONArray("tags").texts(), facts.getJSONArray("wordings").texts(),
        facts.getJSONArray("sources").let { ids -> (0 until ids.length()).map { ids.getLong(it) } },
        facts.getString("speaker"), facts.getString("session")
    )
}

/**
 * A memory that was recalled, with its score, which is the sum of its [parts].
 *
 * @property rerankScore what the reranker gave, which orders what was found; null without one
 */
data class Recalled(
    val item: Item,
    val score: Double,
    val similarity: Double,
    val parts: Map<String, Double>,
    val before: List<Item>,
    val after: List<Item>,
    val rerankScore: Double? = null
) {
    internal constructor(facts: JSONObject) : this(
        Item(facts), facts.getDouble("score"), facts.getDouble("similarity"),
        facts.getJSONObject("parts").let { parts -> parts.keys().asSequence().associateWith { parts.getDouble(it) } },
        facts.getJSONArray("before").objects().map { Item(it) }, facts.getJSONArray("after").objects().map { Item(it) },
        facts.number("rerank_score")
    )
}

/**
 * What to recall; the names are those of `Memory.recall` in Python, and null leaves the default.
 *
 * @property weights weights of the parts of a score by name, such as "recency", and "half_life" in days
 * @property where a condition in SQL, with [params] for its question marks
 * @property window how many turns before and after each memory come along
 * @property candidates how many memories a reranker reads
 * @property touch whether the memories found count as used now
 * @property now a time in ISO 8601
 */
data class RecallOptions(
    val weights: Map<String, Double> = emptyMap(),
    val tags: List<String> = emptyList(),
    val speaker: String? = null,
    val session: String? = null,
    val where: String? = null,
    val params: List<Any?> = emptyList(),
    val window: Int = 0,
    val candidates: Int? = null,
    val touch: Boolean = true,
    val now: String? = null
) {
    internal fun json(): ByteArray = JSONObject()
        .put("weights", JSONObject(weights)).put("tags", JSONArray(tags)).put("speaker", speaker).put("session", session)
        .put("where", where).put("params", JSONArray(params)).put("window", window).put("touch", touch)
        .put("now", now).put("time_zone", "local").put("candidates", candidates)
        .toString().toByteArray()
}

/** Memories in a file, which is made where there is none. Suspending functions leave the calling thread free. */
class Memory private constructor(private val handle: Handle) : AutoCloseable {
    /** Remembers texts, all or none; those that repeat a memory are merged with it. */
    suspend fun remember(observations: List<Observation>): List<Item> {
        val seen = JSONArray(observations.map { it.json() }).toString().toByteArray()
        return items(handle.call { Native.remember(it, seen) })
    }

    suspend fun remember(observation: Observation): Item = remember(listOf(observation)).single()

    /** Remembers many texts in steps, and emits how many are on the disk. */
    fun rememberAll(observations: List<Observation>, step: Int = 16): Flow<Progress> = flow {
        var done = 0L
        for (some in observations.chunked(step)) {
            remember(some)
            done += some.size
            emit(Progress(done, observations.size.toLong()))
        }
    }

    /**
     * Returns the [k] memories that answer a question, the best first.
     *
     * @param reranker orders the first memories by the question and their texts
     */
    suspend fun recall(
        query: String, k: Int = 5, options: RecallOptions = RecallOptions(), reranker: Reranker? = null
    ): List<Recalled> {
        val asked = query.toByteArray()
        val answer = handle.call { memory ->
            if (reranker == null) Native.recall(memory, 0L, asked, k, options.json())
            else reranker.handle.use { Native.recall(memory, it, asked, k, options.json()) }
        }
        return JSONArray(String(answer)).objects().map { Recalled(it) }
    }

    /** Returns memories, the newest first. */
    suspend fun items(
        limit: Int? = null, tags: List<String> = emptyList(), speaker: String? = null, session: String? = null,
        where: String? = null, params: List<Any?> = emptyList()
    ): List<Item> {
        val options = JSONObject()
            .put("limit", limit).put("tags", JSONArray(tags)).put("speaker", speaker).put("session", session)
            .put("where", where).put("params", JSONArray(params))
        return items(handle.call { Native.items(it, options.toString().toByteArray()) })
    }

    /** Deletes memories and returns them. */
    suspend fun forget(vararg ids: Long): List<Item> = items(handle.call { Native.forget(it, ids) })

    /** Closes the file; all other functions fail afterwards. */
    override fun close() = handle.close()

    private fun items(answer: ByteArray): List<Item> = JSONArray(String(answer)).objects().map { Item(it) }

    companion object {
        /**
         * Opens a file.
         *
         * @param embedder the model, which has to stay open as long; without one, memories can be listed and forgotten
         * @param duplicate the closeness from which a text is merged with a memory; above 1, never
         */
        suspend fun open(
            file: File, embedder: Embedder? = null, writable: Boolean = true, create: Boolean = true,
            duplicate: Double = 0.85
        ): Memory {
            val options = JSONObject().put("writable", writable).put("create", create).put("duplicate", duplicate)
            val given = options.toString().toByteArray()
            return Memory(
                Handle.open("memory", { Native.closeMemory(it) }, embedder?.handle) { Native.openMemory(file.bytes(), it, given) }
            )
        }

        /**
         * Remembers the memories of one file in another, which a new model embeds, and emits how many it has. The other
         * file appears when all are in it. Wordings and how often and when memories were used are not taken over; the
         * old file keeps them.
         */
        fun reembed(from: File, into: File, embedder: Embedder, step: Int = 16): Flow<Progress> = flow {
            val staged = File("${into.path}.part")
            for (suffix in listOf("", "-wal", "-shm")) File(staged.path + suffix).delete()
            val old = open(from, writable = false).use { it.items() }.sortedBy { it.id }
            val places = HashMap<Long, Long>()  // of new ids by old ones
            open(staged, embedder, duplicate = 2.0).use { memory ->
                for (some in old.runs(step)) {
                    val observations = some.map {
                        Observation(it.text, it.importance, it.created, it.tags, it.sources.mapNotNull(places::get), it.speaker, it.session)
                    }
                    memory.remember(observations).zip(some) { new, before -> places[before.id] = new.id }
                    emit(Progress(places.size.toLong(), old.size.toLong()))
                }
            }
            if (!staged.renameTo(into)) throw IOException("$staged cannot become $into.")
        }

        /** Divides memories into lists, each of which concludes only from memories of those before it. */
        private fun List<Item>.runs(step: Int): List<List<Item>> {
            val found = mutableListOf<MutableList<Item>>()
            for (item in this) {
                val last = found.lastOrNull()
                if (last == null || last.size >= step || last.any { it.id in item.sources }) found.add(mutableListOf(item))
                else last.add(item)
            }
            return found
        }
    }
}
