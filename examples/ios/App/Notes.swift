import Foundation
import Minnow

/// A note: its first line is its title.
struct Note: Identifiable, Sendable, Equatable {
    let name: String
    var text: String

    var id: String { name }
    var title: String { String(text.prefix { !$0.isNewline }).trimmingCharacters(in: .whitespaces) }
}

/// What is known about a question: paragraphs of notes, and memories.
struct Found: Sendable {
    let paragraphs: [Hit]
    let memories: [Recalled]
}

/// Notes in a folder, a text file each, with an index of their paragraphs and memories of what the user said.
///
/// It knows nothing of SwiftUI; Notes.kt of the Android sample is the same.
final class Notes: Sendable {
    private let folder: URL
    private let llm: URL
    private let index: Index
    private let memory: Memory

    /// Opens the notes in a folder of the app, with a bundle. An LLM may lie in the folder, llm.
    init(files: URL, bundle: URL) async throws {
        llm = files.appendingPathComponent("llm")
        folder = files.appendingPathComponent("notes")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let embedder = try await Embedder.openBest(bundle, record: files.appendingPathComponent("model.json"))
        index = try await Index.open(files.appendingPathComponent("notes.index"), embedder: embedder, create: true)
        memory = try await Memory.open(files.appendingPathComponent("notes.memory"), embedder: embedder)
    }

    /// Returns all notes, by name.
    func all() throws -> [Note] {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "txt" }.sorted { $0.path < $1.path }
            .map { Note(name: $0.deletingPathExtension().lastPathComponent, text: try String(contentsOf: $0, encoding: .utf8)) }
    }

    /// Writes a note and indexes its paragraphs; yields how many are in the index. Those that have not changed keep their vectors.
    func save(_ note: Note, report: (StepProgress) -> Void = { _ in }) async throws {
        let file = file(of: note)
        let before = (try? String(contentsOf: file, encoding: .utf8)).map { paragraphs(Note(name: note.name, text: $0)).count } ?? 0
        try note.text.write(to: file, atomically: true, encoding: .utf8)
        let records = paragraphs(note)
        for try await step in index.putAll(records, collection: note.name) { report(step) }
        if before > records.count {
            try await index.remove((records.count..<before).map(String.init), collection: note.name)
        }
    }

    /// Deletes a note.
    func delete(_ note: Note) async throws {
        try? FileManager.default.removeItem(at: file(of: note))
        try await index.remove(collection: note.name)
    }

    /// Remembers something that the user said.
    func remember(_ text: String) async throws {
        try await memory.remember([Observation(text, importance: 0.8)])
    }

    /// Finds what notes and memories say about a question.
    func find(_ question: String) async throws -> Found {
        var options = SearchOptions()
        options.fold = true
        async let paragraphs = index.search(question, k: 5, options: options)
        async let memories = memory.recall(question, k: 3)
        return try await Found(paragraphs: paragraphs, memories: memories)
    }

    /// Whether there is a language model.
    var answers: Bool { FileManager.default.fileExists(atPath: llm.appendingPathComponent("config.json").path) }

    /// Answers a question from what was found, and reports pieces of the answer. The model is in memory only meanwhile.
    func answer(_ question: String, from found: Found, report: (String) -> Void) async throws {
        let model = try await Llm.open(llm)
        for try await piece in model.answer(question, hits: found.paragraphs, memories: found.memories) { report(piece) }
    }

    private func file(of note: Note) -> URL {
        folder.appendingPathComponent("\(note.name).txt")
    }
}

private let longest = 240

/// Divides a note into paragraphs, and long ones between words, so that each fits the model.
private func paragraphs(_ note: Note) -> [Record] {
    let lines = note.text.split(separator: "\n", omittingEmptySubsequences: false)
    return lines.split { $0.allSatisfy(\.isWhitespace) }.flatMap { pieces($0.joined(separator: " ")) }.enumerated()
        .map { Record(id: String($0.offset), text: $0.element, metadata: ["title": .text(note.title)]) }
}

private func pieces(_ paragraph: String) -> [String] {
    var found: [String] = []
    for word in paragraph.split(whereSeparator: \.isWhitespace) {
        for start in stride(from: 0, to: word.count, by: longest) {
            let part = word.dropFirst(start).prefix(longest)
            if let last = found.last, last.count + 1 + part.count <= longest {
                found[found.count - 1] = "\(last) \(part)"
            } else {
                found.append(String(part))
            }
        }
    }
    return found
}
