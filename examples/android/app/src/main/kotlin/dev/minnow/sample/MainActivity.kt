package dev.minnow.sample

import android.app.Activity
import android.content.res.AssetManager
import android.os.Bundle
import android.text.Editable
import android.text.TextWatcher
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.ArrayAdapter
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ListView
import dev.minnow.Embedder
import dev.minnow.MinnowException
import dev.minnow.Mode
import dev.minnow.Options
import java.io.File
import java.util.concurrent.Executors

/** Shows a text field and the built-in sentences, the most similar first. */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val rows = mutableListOf<String>()
    private lateinit var list: ArrayAdapter<String>
    @Volatile private var latest = ""
    private var embedder: Embedder? = null
    private var sentences: Sentences? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        list = ArrayAdapter(this, android.R.layout.simple_list_item_1, rows)
        val field = EditText(this)
        field.hint = "Ask something"
        field.addTextChangedListener(object : TextWatcher {
            override fun beforeTextChanged(text: CharSequence, start: Int, count: Int, after: Int) = Unit
            override fun onTextChanged(text: CharSequence, start: Int, before: Int, count: Int) = Unit
            override fun afterTextChanged(text: Editable) = ask(text.toString())
        })
        val found = ListView(this)
        found.adapter = list
        val all = LinearLayout(this)
        all.orientation = LinearLayout.VERTICAL
        all.addView(field, MATCH_PARENT, WRAP_CONTENT)
        all.addView(found, MATCH_PARENT, MATCH_PARENT)
        setContentView(all)
        worker.execute { open() }
    }

    override fun onDestroy() {
        worker.execute { embedder?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun open() {
        try {
            val folder = File(filesDir, BUNDLE)
            if (!File(folder, MANIFEST).exists()) assets.copyTo(BUNDLE, folder)
            val opened = Embedder(folder, Options(precision = Mode.LOW, threads = 2))
            embedder = opened
            sentences = Sentences(opened, Sentences.BUILT_IN)
            show(Sentences.BUILT_IN)
        } catch (error: MinnowException) {
            show(listOf(error.message ?: "The bundle cannot be opened."))
        }
    }

    /** Searches only the latest input while the worker is busy. */
    private fun ask(question: String) {
        latest = question
        worker.execute {
            if (question == latest && question.isNotBlank()) {
                sentences?.let { all -> show(all.search(question).map { "%.2f  %s".format(it.score, it.sentence) }) }
            }
        }
    }

    private fun show(lines: List<String>) = runOnUiThread {
        rows.clear()
        rows.addAll(lines)
        list.notifyDataSetChanged()
    }

    private companion object {
        const val BUNDLE = "model.minnow"
        const val MANIFEST = "minnow.json"
    }
}

/** Copies the assets to files, since MNN reads only files. The manifest comes last and marks a complete copy. */
private fun AssetManager.copyTo(path: String, target: File) {
    val names = list(path).orEmpty().sortedBy { it == "minnow.json" }
    if (names.isNotEmpty()) {
        target.mkdirs()
        names.forEach { copyTo("$path/$it", File(target, it)) }
        return
    }
    open(path).use { source -> target.outputStream().use { source.copyTo(it) } }
}
