import Minnow
import SwiftUI

@main
struct NotesApp: App {
    @StateObject private var model = NotesModel()

    var body: some Scene {
        WindowGroup { NavigationView { NotesScreen().environmentObject(model) } }
    }
}

/// What the screen shows, and what its buttons do.
@MainActor
final class NotesModel: ObservableObject {
    @Published private(set) var all: [Note] = []
    @Published private(set) var found: Found?
    @Published private(set) var answer = ""
    @Published private(set) var status = "Opening the model ..."
    private var notes: Notes?

    init() {
        report { model in
            guard let bundle = Bundle.main.url(forResource: "model", withExtension: "minnow") else {
                throw MinnowError(message: "model.minnow is not in the app's resources.")
            }
            let files = try FileManager.default.url(for: .documentDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
            model.notes = try await Notes(files: files, bundle: bundle)
            try model.show()
        }
    }

    /// Finds what is known about a question; the screen's task ends when the user types on.
    func ask(_ question: String) async {
        do {
            try await Task.sleep(nanoseconds: 200_000_000)
            let found = question.isEmpty ? nil : try await notes?.find(question)
            if !Task.isCancelled { (self.found, answer) = (found, "") }
        } catch is CancellationError {
        } catch {
            status = error.localizedDescription
        }
    }

    /// Whether `answer(_:)` has anything to answer with.
    var answers: Bool { notes?.answers == true }

    /// Lets the language model answer from what was found.
    func answer(_ question: String) {
        guard let found else { return }
        report { model in
            model.answer = ""
            try await model.notes?.answer(question, from: found) { model.answer += $0 }
        }
    }

    func save(_ note: Note) {
        report { model in
            try await model.notes?.save(note) { model.status = "Indexed \($0.done) of \($0.total) paragraphs" }
            try model.show()
        }
    }

    func delete(_ note: Note) {
        report { model in
            try await model.notes?.delete(note)
            try model.show()
        }
    }

    func remember(_ text: String) {
        report { model in
            try await model.notes?.remember(text)
            model.status = "Remembered."
        }
    }

    private func show() throws {
        all = try notes?.all() ?? []
        status = ""
    }

    private func report(_ work: @escaping @MainActor (NotesModel) async throws -> Void) {
        Task {
            do {
                try await work(self)
            } catch {
                status = error.localizedDescription
            }
        }
    }
}

/// A question with what is known about it, or all notes.
struct NotesScreen: View {
    @EnvironmentObject private var model: NotesModel
    @State private var question = ""

    var body: some View {
        VStack {
            TextField("Ask your notes", text: $question).textFieldStyle(.roundedBorder).padding(.horizontal)
            HStack {
                NavigationLink("New note") { NoteEditor(note: Note(name: String(Int(Date().timeIntervalSince1970 * 1000)), text: "")) }
                Button("Remember this") { model.remember(question) }.disabled(question.isEmpty)
                if model.answers { Button("Answer") { model.answer(question) }.disabled(model.found == nil) }
            }
            Text(model.status)
            Text(model.answer)
            List {
                if let found = model.found {
                    ForEach(found.memories, id: \.item.id) { Text("You said: \($0.item.text)") }
                    ForEach(found.paragraphs) { hit in
                        VStack(alignment: .leading) {
                            if case .text(let title) = hit.metadata["title"] { Text(title).font(.headline) }
                            Text(hit.passage)
                        }
                    }
                } else {
                    ForEach(model.all) { note in
                        NavigationLink(note.title) { NoteEditor(note: note) }
                    }
                }
            }
        }
        .task(id: question) { await model.ask(question) }
        .navigationTitle("Notes")
    }
}

/// An editor of one note.
struct NoteEditor: View {
    @EnvironmentObject private var model: NotesModel
    @Environment(\.dismiss) private var dismiss
    @State var note: Note

    var body: some View {
        TextEditor(text: $note.text)
            .padding()
            .toolbar {
                Button("Save") {
                    model.save(note)
                    dismiss()
                }
                .disabled(note.text.isEmpty)
                Button("Delete", role: .destructive) {
                    model.delete(note)
                    dismiss()
                }
            }
    }
}
