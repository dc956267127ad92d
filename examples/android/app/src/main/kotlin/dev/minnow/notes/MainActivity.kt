package dev.minnow.notes

import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.viewModels
import androidx.compose.foundation.clickable
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.Button
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.dp

class MainActivity : ComponentActivity() {
    private val model: NotesModel by viewModels()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContent { MaterialTheme { NotesScreen(model) } }
    }
}

/** A question with what is known about it, or all notes; and an editor of one. */
@Composable
fun NotesScreen(model: NotesModel) {
    var edited by remember { mutableStateOf<Note?>(null) }
    var question by remember { mutableStateOf("") }
    edited?.let { note ->
        NoteEditor(note, { model.save(it); edited = null }, { model.delete(it); edited = null })
        return
    }
    Column(Modifier.fillMaxWidth().padding(16.dp)) {
        OutlinedTextField(
            value = question, onValueChange = { question = it; model.ask(it) }, label = { Text("Ask your notes") },
            modifier = Modifier.fillMaxWidth()
        )
        Row {
            Button(onClick = { edited = Note("${System.currentTimeMillis()}", "") }) { Text("New note") }
            Button(onClick = { model.remember(question) }, enabled = question.isNotBlank()) { Text("Remember this") }
            if (model.answers) Button(onClick = { model.answer(question) }, enabled = model.found != null) { Text("Answer") }
        }
        Text(model.status)
        Text(model.answer)
        model.found?.let { FoundList(it) } ?: NoteList(model.all) { edited = it }
    }
}

@Composable
fun FoundList(found: Found) = LazyColumn {
    items(found.memories) { Text("You said: ${it.item.text}", Modifier.padding(8.dp)) }
    items(found.paragraphs) { hit ->
        Column(Modifier.padding(8.dp)) {
            Text(hit.metadata.optString("title"), style = MaterialTheme.typography.titleMedium)
            Text(hit.passage)
        }
    }
}

@Composable
fun NoteList(notes: List<Note>, open: (Note) -> Unit) = LazyColumn {
    items(notes) { note -> Text(note.title, Modifier.fillMaxWidth().clickable { open(note) }.padding(8.dp)) }
}

@Composable
fun NoteEditor(note: Note, save: (Note) -> Unit, delete: (Note) -> Unit) {
    var text by remember { mutableStateOf(note.text) }
    Column(Modifier.fillMaxWidth().padding(16.dp)) {
        OutlinedTextField(text, { text = it }, label = { Text("Title, empty line, text") }, modifier = Modifier.fillMaxWidth())
        Row {
            Button(onClick = { save(note.copy(text = text)) }, enabled = text.isNotBlank()) { Text("Save") }
            Button(onClick = { delete(note) }) { Text("Delete") }
        }
    }
}
