package dev.minnow

import dev.minnow.notes.Note
import dev.minnow.notes.Notes
import java.io.File
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.json.JSONArray
import org.json.JSONObject

/** Calls every function of the bindings with the arguments in given.json, and writes their answers to answers.json. */
fun main(arguments: Array<String>) = runBlocking {
    val folder = File(arguments[0])
    val given = JSONObject(File(folder, "given.json").readText())
    val answers = JSONObject()
    val bundle = File(given.getString("bundle"))
    Embedder.openBest(bundle, File(folder, "best.json"), Options(threads = 1)).use { embedder ->
        answers.put("width", embedder.width).put("proven", Embedder.isProven(bundle))
        for (role in Role.entries) {
            answers.put(role.name.lowercase(), numbers(embedder.encode(given.getJSONArray("texts").texts(), role)))
        }
        searched(folder, given, embedder, answers)
        recorded(folder, given, embedder, answers)
        remembered(folder, given, embedder, answers)
    }
    reranked(given, answers)
    wrapped(given, answers)
    downloaded(folder, given, answers)
    refused(folder, given, answers)
    noted(folder, given, answers)
    deviceCheck(File(folder, "phone"), Options(threads = 1))
    File(folder, "answers.json").writeText(answers.toString())
}

suspend fun searched(folder: File, given: JSONObject, embedder: Embedder, answers: JSONObject) {
    val query = given.getString("query")
    Index.open(File(folder, "docs.index"), embedder).use { index ->
        answers.put("size", index.size()).put("hits", hits(index.search(query)))
        answers.put("keyword", hits(index.search(query, 2, SearchOptions(mode = "keyword"))))
        val filtered = SearchOptions(where = "source LIKE ?", params = listOf("%fish%"), fusion = "rrf", context = 1)
        answers.put("filtered", hits(index.search(query, options = filtered)))
        answers.put("vector", hits(index.search(query, 3, SearchOptions(mode = "vector"), embedder.encodeQuery(query))))
        Reranker.open(File(given.getString("reranker"))).use { reranker ->
            val found = index.search(query, 2, SearchOptions(candidates = 3), reranker = reranker)
            answers.put("reranked", hits(found)).put("first_ranks", JSONArray(found.map { it.firstRank }))
        }
    }
}

suspend fun recorded(folder: File, given: JSONObject, embedder: Embedder, answers: JSONObject) {
    val records = given.getJSONArray("records").objects().map {
        Record(it.getString("id"), it.getString("text"), mapOf("length" to it.getString("text").length, "of" to listOf("a", null)))
    }
    Index.open(File(folder, "notes.index"), embedder, create = true).use { notes ->
        answers.put("put", steps(notes.putAll(records, "notes", step = 2))).put("again", notes.put(records, "notes"))
        answers.put("removed", notes.remove(listOf(records[0].id, "none"), "notes"))
        answers.put("records", hits(notes.search(given.getString("query"))))
        answers.put("metadata", notes.search(records[1].text).first().metadata)
    }
}

suspend fun remembered(folder: File, given: JSONObject, embedder: Embedder, answers: JSONObject) {
    val observations = given.getJSONArray("observations").objects().map {
        Observation(it.getString("text"), it.getDouble("importance"), it.getString("at"), it.getJSONArray("tags").texts())
    }
    Memory.open(File(folder, "a.memory"), embedder).use { memory ->
        answers.put("remembered", steps(memory.rememberAll(observations, step = 2)))
        val insight = memory.remember(Observation("Fish and trains are topics.", sources = listOf(1L, 2L), at = given.getString("now")))
        answers.put("sources", JSONArray(insight.sources))
        val options = RecallOptions(now = given.getString("now"), touch = false)
        val found = memory.recall(given.getString("query"), 2, options)
        answers.put("recalled", pairs(found.map { it.item.text to it.score }))
        Reranker.open(File(given.getString("reranker"))).use { reranker ->
            val ordered = memory.recall(given.getString("query"), 2, options.copy(candidates = 3), reranker)
            answers.put("reranked_memories", pairs(ordered.map { it.item.text to it.rerankScore!! }))
        }
        answers.put("tagged", JSONArray(memory.recall("what?", options = options.copy(tags = listOf("food"))).map { it.item.text }))
        answers.put("forgotten", JSONArray(memory.forget(3L).map { it.text }))
        answers.put("items", JSONArray(memory.items(limit = 2).map { it.text }))
    }
    answers.put("reembedded", steps(Memory.reembed(File(folder, "a.memory"), File(folder, "b.memory"), embedder)))
}

suspend fun reranked(given: JSONObject, answers: JSONObject) {
    val texts = given.getJSONArray("texts").texts()
    Reranker.openBest(File(given.getString("reranker")), File(given.getString("reranker") + ".best.json")).use { reranker ->
        answers.put("labels", JSONArray(reranker.labels))
        answers.put("scores", numbers(reranker.predict(texts.map { TextPair(given.getString("query"), it) })))
        val ranked = reranker.rank(given.getString("query"), texts, topK = 2)
        answers.put("ranked", pairs(ranked.map { it.corpusId to it.score.toDouble() }))
    }
}

suspend fun wrapped(given: JSONObject, answers: JSONObject) {
    val model = given.getJSONObject("model")
    val own = Embedder.wrap(model.toString()) { texts, role ->
        texts.map { text -> FloatArray(model.getInt("width")) { if (it == 0) text.length.toFloat() else role.ordinal.toFloat() } }
    }
    own.use { answers.put("wrapped", numbers(it.encode(listOf("ab", "abc"), Role.QUERY))) }
    Reranker.wrap { query, documents -> FloatArray(documents.size) { (query + documents[it]).length.toFloat() } }.use {
        answers.put("lengths", numbers(it.predict(listOf(TextPair("a", "bc"), TextPair("", "鱼")))))
    }
    Embedder.wrap(model.toString()) { _, _ -> error("the app's own fault") }.use {
        answers.put("own_fault", fault { it.encode(listOf("a")) })
    }
}

suspend fun downloaded(folder: File, given: JSONObject, answers: JSONObject) {
    val (address, sha256) = given.getString("address") to given.getString("sha256")
    val target = File(folder, "downloaded")
    answers.put("wrong_hash", fault { downloadBundle(address, "0".repeat(64), target).toList() })
    val steps = downloadBundle(address, sha256, target).toList()
    answers.put("downloaded", JSONArray(listOf(steps.last().done, steps.last().total)))
    answers.put("downloaded_again", downloadBundle(address, sha256, target).toList().size)
}

/** What the sample's own code does, without its screens. */
suspend fun noted(folder: File, given: JSONObject, answers: JSONObject) {
    Notes.open(File(folder, "files")).use { notes ->
        val note = Note("first", given.getString("note"))
        answers.put("saved", steps(notes.save(note)))
        answers.put("saved_again", steps(notes.save(note.copy(text = given.getString("shorter")))))
        notes.save(Note("second", "Trains\n\nthe train runs")).toList()
        notes.remember("the blue fish are mine")
        val found = notes.find(given.getString("query"))
        answers.put("found", hits(found.paragraphs)).put("said", JSONArray(found.memories.map { it.item.text }))
        if (notes.answers) {
            answers.put("answered", notes.answer("who?", found).toList().joinToString(""))
            notes.remember("mine are green ~")
            answers.put("answered_otherwise", notes.answer("who?", notes.find("what is green?")).toList().joinToString(""))
            answers.put("begun", Llm.open(File(folder, "files/llm")).use { it.answer("who?", found.paragraphs).first() })
        }
        notes.delete(notes.all().last())
        answers.put("titles", JSONArray(notes.all().map { it.title }))
    }
}

suspend fun refused(folder: File, given: JSONObject, answers: JSONObject) {
    answers.put("no_bundle", fault { Embedder.open(File(folder, "gone 🦊")) })
    answers.put("no_file", fault { Index.open(File(folder, "gone.index")) })
    val closed = Embedder.open(File(given.getString("bundle")))
    closed.close()
    closed.close()
    answers.put("closed", fault { closed.encode(listOf("a")) })
}

suspend fun fault(call: suspend () -> Unit): String? = try {
    call()
    null
} catch (error: Exception) {
    error.message
}

fun numbers(rows: List<FloatArray>) = JSONArray(rows.map { row -> JSONArray(row.map { it.toDouble() }) })

fun pairs(all: List<Pair<Any, Any>>) = JSONArray(all.map { JSONArray(listOf(it.first, it.second)) })

fun hits(found: List<Hit>) = pairs(found.map { "${it.source}#${it.number}" to it.score })

suspend fun steps(flow: Flow<Progress>) = pairs(flow.toList().map { it.done to it.total })
