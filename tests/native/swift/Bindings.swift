import Foundation
import Minnow

/// Calls every function of the bindings with the arguments in given.json, and writes their answers to answers.json.
@main
struct Bindings {
    static func main() async throws {
        let folder = URL(fileURLWithPath: CommandLine.arguments[1])
        let given = try JSONDecoder().decode(Given.self, from: Data(contentsOf: folder.appendingPathComponent("given.json")))
        var answers: [String: Any] = [:]
        let embedder = try await Embedder.openBest(given.folder, record: folder.appendingPathComponent("best.json"))
        answers["width"] = embedder.width
        answers["proven"] = try Embedder.isProven(given.folder)
        for (name, role) in [("none", Role.none), ("query", .query), ("document", .document)] {
            answers[name] = try await embedder.encode(given.texts, role: role)
        }
        try await searched(folder, given, embedder, &answers)
        try await recorded(folder, given, embedder, &answers)
        try await remembered(folder, given, embedder, &answers)
        try await reranked(given, &answers)
        try await wrapped(given, &answers)
        try await downloaded(folder, given, &answers)
        answers["no_bundle"] = await fault { _ = try await Embedder.open(folder.appendingPathComponent("gone 🦊")) }
        answers["no_file"] = await fault { _ = try await Index.open(folder.appendingPathComponent("gone.index")) }
        try await noted(folder, given, &answers)
        try await deviceCheck(folder.appendingPathComponent("phone"))
        let data = try JSONSerialization.data(withJSONObject: answers)
        try data.write(to: folder.appendingPathComponent("answers.json"))
    }
}

struct Given: Decodable {
    struct Text: Decodable {
        let id: String
        let text: String
    }
    struct Seen: Decodable {
        let text: String
        let importance: Double
        let at: String
        let tags: [String]
    }
    let bundle, reranker, query, now, address, sha256, note, shorter: String
    let texts: [String]
    let records: [Text]
    let observations: [Seen]
    let model: [String: JSONValue]
    var folder: URL { URL(fileURLWithPath: bundle) }
    var ranker: URL { URL(fileURLWithPath: reranker) }
}

func searched(_ folder: URL, _ given: Given, _ embedder: Embedder, _ answers: inout [String: Any]) async throws {
    let index = try await Index.open(folder.appendingPathComponent("docs.index"), embedder: embedder)
    answers["size"] = try await index.size()
    answers["hits"] = hits(try await index.search(given.query))
    var options = SearchOptions()
    options.mode = "keyword"
    answers["keyword"] = hits(try await index.search(given.query, k: 2, options: options))
    options = SearchOptions()
    (options.where, options.params, options.fusion, options.context) = ("source LIKE ?", [.text("%fish%")], "rrf", 1)
    answers["filtered"] = hits(try await index.search(given.query, options: options))
    options = SearchOptions()
    options.mode = "vector"
    let vector = try await embedder.encodeQuery(given.query)
    answers["vector"] = hits(try await index.search(given.query, k: 3, options: options, vector: vector))
    options = SearchOptions()
    options.candidates = 3
    let reranker = try await Reranker.open(given.ranker)
    let found = try await index.search(given.query, k: 2, options: options, reranker: reranker)
    answers["reranked"] = hits(found)
    answers["first_ranks"] = found.map { $0.firstRank ?? 0 }
}

func recorded(_ folder: URL, _ given: Given, _ embedder: Embedder, _ answers: inout [String: Any]) async throws {
    let records = given.records.map {
        Record(id: $0.id, text: $0.text, metadata: ["length": .number(Double($0.text.utf16.count)), "of": .array([.text("a"), .null])])
    }
    let notes = try await Index.open(folder.appendingPathComponent("notes.index"), embedder: embedder, create: true)
    answers["put"] = try await steps(notes.putAll(records, collection: "notes", step: 2))
    answers["again"] = try await notes.put(records, collection: "notes")
    answers["removed"] = try await notes.remove([records[0].id, "none"], collection: "notes")
    answers["records"] = hits(try await notes.search(given.query))
    let metadata = try await notes.search(records[1].text)[0].metadata
    answers["metadata"] = try JSONSerialization.jsonObject(with: JSONEncoder().encode(metadata))
}

func remembered(_ folder: URL, _ given: Given, _ embedder: Embedder, _ answers: inout [String: Any]) async throws {
    let file = folder.appendingPathComponent("a.memory")
    let memory = try await Memory.open(file, embedder: embedder)
    let observations = given.observations.map {
        var seen = Observation($0.text, importance: $0.importance)
        (seen.at, seen.tags) = ($0.at, $0.tags)
        return seen
    }
    answers["remembered"] = try await steps(memory.rememberAll(observations, step: 2))
    var insight = Observation("Fish and trains are topics.")
    (insight.sources, insight.at) = ([1, 2], given.now)
    answers["sources"] = try await memory.remember([insight])[0].sources
    var options = RecallOptions()
    (options.now, options.touch) = (given.now, false)
    answers["recalled"] = try await memory.recall(given.query, k: 2, options: options).map { [$0.item.text, $0.score] as [Any] }
    let reranker = try await Reranker.open(given.ranker)
    options.candidates = 3
    let ordered = try await memory.recall(given.query, k: 2, options: options, reranker: reranker)
    answers["reranked_memories"] = ordered.map { [$0.item.text, $0.rerankScore ?? 0] as [Any] }
    options.candidates = nil
    options.tags = ["food"]
    answers["tagged"] = try await memory.recall("what?", options: options).map(\.item.text)
    answers["forgotten"] = try await memory.forget([3]).map(\.text)
    var listed = ItemOptions()
    listed.limit = 2
    answers["items"] = try await memory.items(listed).map(\.text)
    answers["reembedded"] = try await steps(
        Memory.reembed(from: file, into: folder.appendingPathComponent("b.memory"), embedder: embedder))
}

func reranked(_ given: Given, _ answers: inout [String: Any]) async throws {
    let reranker = try await Reranker.openBest(given.ranker, record: URL(fileURLWithPath: given.reranker + ".best.json"))
    answers["labels"] = reranker.labels
    answers["scores"] = try await reranker.predict(given.texts.map { TextPair(given.query, $0) })
    answers["ranked"] = try await reranker.rank(given.query, given.texts, topK: 2).map { [$0.corpusID, $0.score] as [Any] }
}

func wrapped(_ given: Given, _ answers: inout [String: Any]) async throws {
    guard case .number(let width) = given.model["width"] else { throw MinnowError(message: "The model has no width.") }
    let model = String(decoding: try JSONEncoder().encode(given.model), as: UTF8.self)
    let own = try await Embedder.wrap(model: model) { texts, role in
        texts.map { text in (0..<Int(width)).map { $0 == 0 ? Float(text.utf16.count) : Float(role.rawValue) } }
    }
    answers["wrapped"] = try await own.encode(["ab", "abc"], role: .query)
    let scorer = try await Reranker.wrap { query, documents in documents.map { Float((query + $0).utf16.count) } }
    answers["lengths"] = try await scorer.predict([TextPair("a", "bc"), TextPair("", "鱼")])
    let failing = try await Embedder.wrap(model: model) { _, _ in nil }
    answers["own_fault"] = await fault { _ = try await failing.encode(["a"]) }
}

func downloaded(_ folder: URL, _ given: Given, _ answers: inout [String: Any]) async throws {
    let (address, target) = (URL(string: given.address)!, folder.appendingPathComponent("downloaded"))
    answers["wrong_hash"] = await fault {
        _ = try await steps(downloadBundle(from: address, sha256: String(repeating: "0", count: 64), to: target))
    }
    answers["downloaded"] = try await steps(downloadBundle(from: address, sha256: given.sha256, to: target)).last
    answers["downloaded_again"] = try await steps(downloadBundle(from: address, sha256: given.sha256, to: target)).count
}

/// What the sample's own code does, without its screens.
func noted(_ folder: URL, _ given: Given, _ answers: inout [String: Any]) async throws {
    let files = folder.appendingPathComponent("files")
    let notes = try await Notes(files: files, bundle: files.appendingPathComponent("model.minnow"))
    var reported: [[Int]] = []
    try await notes.save(Note(name: "first", text: given.note)) { reported.append([$0.done, $0.total]) }
    answers["saved"] = reported
    reported = []
    try await notes.save(Note(name: "first", text: given.shorter)) { reported.append([$0.done, $0.total]) }
    answers["saved_again"] = reported
    try await notes.save(Note(name: "second", text: "Trains\n\nthe train runs"))
    try await notes.remember("the blue fish are mine")
    let found = try await notes.find(given.query)
    answers["found"] = hits(found.paragraphs)
    answers["said"] = found.memories.map(\.item.text)
    if notes.answers {
        var text = ""
        try await notes.answer("who?", from: found) { text += $0 }
        answers["answered"] = text
        try await notes.remember("mine are green ~")
        text = ""
        try await notes.answer("who?", from: notes.find("what is green?")) { text += $0 }
        answers["answered_otherwise"] = text
        let llm = try await Llm.open(files.appendingPathComponent("llm"))
        for try await piece in llm.answer("who?", hits: found.paragraphs) {
            answers["begun"] = piece
            break
        }
    }
    try await notes.delete(notes.all().last!)
    answers["titles"] = try notes.all().map(\.title)
}

func fault(_ call: @Sendable () async throws -> Void) async -> String? {
    do {
        try await call()
        return nil
    } catch {
        return error.localizedDescription
    }
}

func hits(_ found: [Hit]) -> [[Any]] {
    found.map { ["\($0.source)#\($0.number)", $0.score] }
}

func steps(_ stream: AsyncThrowingStream<StepProgress, any Error>) async throws -> [[Int]] {
    var all: [[Int]] = []
    for try await step in stream { all.append([step.done, step.total]) }
    return all
}
