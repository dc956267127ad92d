package dev.minnow.notes

import dev.minnow.Embedder
import dev.minnow.Hit
import dev.minnow.Index
import dev.minnow.Llm
import dev.minnow.Memory
import dev.minnow.Observation
import dev.minnow.Options
import dev.minnow.Progress
import dev.minnow.Recalled
import dev.minnow.Record
import dev.minnow.SearchOptions
import java.io.File
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow

/** A note: its first line is its title. */
data class Note(val name: String, val text: String) {
    val title: String get() = text.lineSequence().first().trim()
}

/** What is known about a question: paragraphs of notes, and memories. */
data class Found(val paragraphs: List<Hit>, val memories: List<Recalled>)

/**
 * Notes in a folder, a text file each, with an index of their paragraphs and memories of what the user said. It knows
 * nothing of Android; Notes.swift of the iOS sample is the same.
 */
class Notes private constructor(
    private val files: File,
    private val embedder: Embedder,
    private val index: Index,
    private val memory: Memory
) : AutoCloseable {
    private val folder = File(files, "notes")

    /** Whether there is a language model. */
    val answers: Boolean get() = File(files, "llm/config.json").exists()

    /** Returns all notes, by name. */
    fun all(): List<Note> =
        folder.listFiles { file -> file.extension == "txt" }.orEmpty().sorted().map { Note(it.nameWithoutExtension, it.readText()) }

    /** Writes a note and indexes its paragraphs; emits how many are in the index. Those that have not changed keep their vectors. */
    fun save(note: Note): Flow<Progress> = flow {
        val file = File(folder, "${note.name}.txt")
        val before = if (file.exists()) paragraphs(Note(note.name, file.readText())).size else 0
        file.writeText(note.text)
        val records = paragraphs(note)
        emitAll(index.putAll(records, note.name))
        index.remove((records.size until before).map { "$it" }, note.name)
    }

    /** Deletes a note. */
    suspend fun delete(note: Note) {
        File(folder, "${note.name}.txt").delete()
        index.remove(collection = note.name)
    }

    /** Remembers something that the user said. */
    suspend fun remember(text: String) {
        memory.remember(Observation(text, importance = 0.8))
    }

    /** Finds what notes and memories say about a question. */
    suspend fun find(question: String): Found = Found(
        index.search(question, k = 5, SearchOptions(fold = true)),
        memory.recall(question, k = 3)
    )

    /** Answers a question from what was found, and emits pieces of the answer. The model is in memory only meanwhile. */
    fun answer(question: String, found: Found): Flow<String> = flow {
        Llm.open(File(files, "llm")).use { emitAll(it.answer(question, found.paragraphs, found.memories)) }
    }

    override fun close() {
        memory.close()
        index.close()
        embedder.close()
    }

    companion object {
        /** Opens the notes in a folder of the app. The bundle lies there, model.minnow, and may have an LLM beside it, llm. */
        suspend fun open(files: File): Notes {
            File(files, "notes").mkdirs()
            val embedder = Embedder.openBest(File(files, "model.minnow"), File(files, "model.json"), Options(threads = 2))
            val index = Index.open(File(files, "notes.index"), embedder, create = true)
            return Notes(files, embedder, index, Memory.open(File(files, "notes.memory"), embedder))
        }

        private const val LONGEST = 240

        /** Divides a note into paragraphs, and long ones between words, so that each fits the model. */
        private fun paragraphs(note: Note): List<Record> =
            note.text.split(Regex("\\n\\s*\\n")).flatMap { pieces(it) }
                .mapIndexed { number, text -> Record("$number", text, mapOf("title" to note.title)) }

        private fun pieces(paragraph: String): List<String> {
            val found = mutableListOf<String>()
            for (word in Regex("\\S{1,$LONGEST}").findAll(paragraph)) {
                val joined = "${found.lastOrNull().orEmpty()} ${word.value}".trim()
                if (found.isEmpty() || joined.length > LONGEST) found.add(word.value) else found[found.lastIndex] = joined
            }
            return found
        }
    }
}
