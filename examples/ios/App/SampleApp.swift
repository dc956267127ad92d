import Minnow
import SwiftUI

@main
struct SampleApp: App {
    var body: some Scene {
        WindowGroup { SearchView() }
    }
}

/// A sentence and its similarity to the question: the dot product of two vectors of length 1.
struct Match: Identifiable {
    let id: String
    let score: Float
}

/// Shows a text field and the built-in sentences, the most similar first.
struct SearchView: View {
    @StateObject private var search = Search()
    @State private var question = ""

    var body: some View {
        VStack {
            TextField("Ask something", text: $question).textFieldStyle(.roundedBorder).padding()
            if let fault = search.fault { Text(fault) }
            List(search.matches) { match in
                Text(String(format: "%.2f  ", match.score) + match.id)
            }
        }
        .task(id: question) { await search.ask(question) }
    }
}

@MainActor
final class Search: ObservableObject {
    @Published private(set) var matches: [Match] = []
    @Published private(set) var fault: String?
    private var embedder: Embedder?
    private var vectors: [[Float]] = []

    func ask(_ question: String) async {
        do {
            let embedder = try await opened()
            guard !question.isEmpty else { return }
            let asked = try await embedder.encode([question], role: .query)[0]
            guard !Task.isCancelled else { return }
            let found = zip(sentences, vectors).map { sentence, vector in
                Match(id: sentence, score: zip(asked, vector).reduce(0) { $0 + $1.0 * $1.1 })
            }
            matches = found.sorted { $0.score > $1.score }
        } catch {
            fault = error.localizedDescription
        }
    }

    /// `model.minnow` is a folder reference in the app's resources; MNN reads it in place.
    private func opened() async throws -> Embedder {
        if let embedder { return embedder }
        guard let folder = Bundle.main.url(forResource: "model", withExtension: "minnow") else {
            throw EmbedderError(message: "model.minnow is not in the app's resources.")
        }
        var options = Options()
        options.precision = .low
        let made = try Embedder(folder: folder, options: options)
        vectors = try await made.encode(sentences, role: .document)
        embedder = made
        return made
    }
}

private let sentences = [
    "The library opens at nine on weekdays and at ten on Saturdays.",
    "Whales rest one half of the brain at a time.",
    "To reset the router, hold the button for ten seconds.",
    "The first bridge was built of pine, the second one of stone.",
    "Bread dough rises faster in a warm kitchen.",
    "A return ticket costs less than two single ones.",
    "The museum is closed on the first Monday of the month.",
    "Water the tomatoes in the morning, and not on their leaves.",
]
