package dev.minnow.notes

import android.app.Application
import android.content.res.AssetManager
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.setValue
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.viewModelScope
import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** What the screen shows, and what its buttons do. */
class NotesModel(application: Application) : AndroidViewModel(application) {
    var all by mutableStateOf(emptyList<Note>())
        private set
    var found by mutableStateOf<Found?>(null)
        private set
    var answer by mutableStateOf("")
        private set
    var status by mutableStateOf("Opening the model ...")
        private set
    private var notes: Notes? = null
    private var asking: Job? = null

    init {
        report {
            val files = getApplication<Application>().filesDir
            withContext(Dispatchers.IO) { getApplication<Application>().assets.copyTo("model.minnow", File(files, "model.minnow")) }
            notes = Notes.open(files)
            show()
        }
    }

    /** Finds what is known about a question, once the user stops typing. */
    fun ask(question: String) {
        asking?.cancel()
        asking = report {
            delay(200)
            answer = ""
            found = if (question.isBlank()) null else notes?.find(question)
        }
    }

    /** Whether [answer] has anything to answer with. */
    val answers: Boolean get() = notes?.answers == true

    /** Lets the language model answer from what was found, until the user types on. */
    fun answer(question: String) {
        val (notes, found) = (notes ?: return) to (found ?: return)
        asking?.cancel()
        asking = report {
            answer = ""
            notes.answer(question, found).collect { answer += it }
        }
    }

    fun save(note: Note) = report {
        notes?.save(note)?.collect { status = "Indexed ${it.done} of ${it.total} paragraphs" }
        show()
    }

    fun delete(note: Note) = report {
        notes?.delete(note)
        show()
    }

    fun remember(text: String) = report {
        notes?.remember(text)
        status = "Remembered."
    }

    override fun onCleared() {
        notes?.close()
    }

    private fun show() {
        all = notes?.all().orEmpty()
        status = ""
    }

    private fun report(work: suspend () -> Unit): Job = viewModelScope.launch {
        try {
            work()
        } catch (error: Exception) {
            if (error is kotlinx.coroutines.CancellationException) throw error
            status = error.message ?: error.toString()
        }
    }
}

/** Copies assets to files once, since MNN reads only files. The manifest comes last and marks a complete copy. */
private fun AssetManager.copyTo(path: String, target: File) {
    if (File(target, "minnow.json").exists()) return
    val names = list(path).orEmpty().sortedBy { it == "minnow.json" }
    if (names.isNotEmpty()) {
        target.mkdirs()
        names.forEach { copyTo("$path/$it", File(target, it)) }
        return
    }
    open(path).use { source -> target.outputStream().use { source.copyTo(it) } }
}
