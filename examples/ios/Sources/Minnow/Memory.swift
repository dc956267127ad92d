import CMinnow
import Foundation

/// Something to remember; the names are those of `Observation` in Python.
public struct Observation: Encodable, Sendable {
    public var text: String
    public var importance = 0.5
    /// A time in ISO 8601, or nil for now.
    public var at: String?
    public var tags: [String] = []
    public var sources: [Int64] = []
    public var speaker = ""
    public var session = ""

    public init(_ text: String, importance: Double = 0.5) {
        self.text = text
        self.importance = importance
    }
}

/// A memory; the names are those of `Item` in Python. Times are in ISO 8601, in UTC.
public struct Item: Decodable, Sendable, Identifiable {
    public let id: Int64
    public let text: String
    public let kind: String
    public let importance: Double
    public let created: String
    public let used: String
    public let times: Int
    public let tags: [String]
    public let wordings: [String]
    public let sources: [Int64]
    public let speaker: String
    public let session: String
}

/// A memory that was recalled, with its score, which is the sum of its parts.
public struct Recalled: Decodable, Sendable {
    public let item: Item
    public let score: Double
    public let similarity: Double
    public let parts: [String: Double]
    public let before: [Item]
    public let after: [Item]
    /// What the reranker gave, which orders what was found; nil without one.
    public let rerankScore: Double?

    private enum Key: String, CodingKey {
        case score, similarity, parts, before, after
        case rerankScore = "rerank_score"
    }

    public init(from decoder: Decoder) throws {
        item = try Item(from: decoder)
        let facts = try decoder.container(keyedBy: Key.self)
        score = try facts.decode(Double.self, forKey: .score)
        similarity = try facts.decode(Double.self, forKey: .similarity)
        parts = try facts.decode([String: Double].self, forKey: .parts)
        before = try facts.decode([Item].self, forKey: .before)
        after = try facts.decode([Item].self, forKey: .after)
        rerankScore = try facts.decodeIfPresent(Double.self, forKey: .rerankScore)
    }
}

/// What to recall; the names are those of `Memory.recall` in Python, and nil leaves the default.
public struct RecallOptions: Encodable, Sendable {
    /// Weights of the parts of a score by name, such as "recency", and "half_life" in days.
    public var weights: [String: Double] = [:]
    public var tags: [String] = []
    public var speaker: String?
    public var session: String?
    /// A condition in SQL, with `params` for its question marks.
    public var `where`: String?
    public var params: [JSONValue] = []
    /// How many turns before and after each memory come along.
    public var window = 0
    /// How many memories a reranker reads.
    public var candidates: Int?
    /// Whether the memories found count as used now.
    public var touch = true
    /// A time in ISO 8601.
    public var now: String?
    /// Whose days "yesterday" is one of: "local" for the device's zone.
    public var timeZone = "local"

    private enum CodingKeys: String, CodingKey {
        case weights, tags, speaker, session, `where`, params, window, candidates, touch, now
        case timeZone = "time_zone"
    }

    public init() {}
}

/// Which memories to list; the names are those of `Memory.items` in Python.
public struct ItemOptions: Encodable, Sendable {
    public var limit: Int?
    public var tags: [String] = []
    public var speaker: String?
    public var session: String?
    public var `where`: String?
    public var params: [JSONValue] = []

    public init() {}
}

private struct MemoryOptions: Encodable {
    let writable: Bool
    let create: Bool
    let duplicate: Double
}

/// Memories in a file, which is made where there is none; one call after the other, off the main thread.
public actor Memory {
    private let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
    }

    /// Opens a file; without an embedder, memories can be listed and forgotten.
    ///
    /// `duplicate` is the closeness from which a text is merged with a memory; above 1, never.
    public static func open(
        _ file: URL, embedder: Embedder? = nil, writable: Bool = true, create: Bool = true, duplicate: Double = 0.85
    ) async throws -> Memory {
        let chosen = try encoded(MemoryOptions(writable: writable, create: create, duplicate: duplicate))
        let model = embedder?.handle
        let opened = try callNative { minnow_open_memory(file.path, model?.pointer, chosen, $0.0, $0.1) }
        return Memory(Handle(opened, uses: model, close: minnow_close_memory))
    }

    /// Remembers texts, all or none; those that repeat a memory are merged with it.
    @discardableResult
    public func remember(_ observations: [Observation]) throws -> [Item] {
        let seen = try encoded(observations)
        return try decoded { minnow_remember(handle.pointer, seen, $0.0, $0.1) }
    }

    /// Remembers many texts in steps, and yields how many are on the disk.
    public nonisolated func rememberAll(_ observations: [Observation], step: Int = 16) -> AsyncThrowingStream<StepProgress, any Error> {
        progress { report in
            try await inSteps(observations, of: step, report) { try await self.remember($0) }
        }
    }

    /// Returns the `k` memories that answer a question, the best first; a reranker orders the first by the question and their texts.
    public func recall(
        _ query: String, k: Int = 5, options: RecallOptions = RecallOptions(), reranker: Reranker? = nil
    ) throws -> [Recalled] {
        let chosen = try encoded(options)
        return try withViews(of: [query]) { views in
            try decoded {
                minnow_recall_reranked(handle.pointer, reranker?.handle.pointer, views[0], Int32(k), chosen, $0.0, $0.1)
            }
        }
    }

    /// Returns memories, the newest first.
    public func items(_ options: ItemOptions = ItemOptions()) throws -> [Item] {
        let chosen = try encoded(options)
        return try decoded { minnow_items(handle.pointer, chosen, $0.0, $0.1) }
    }

    /// Deletes memories and returns them.
    @discardableResult
    public func forget(_ ids: [Int64]) throws -> [Item] {
        try decoded { minnow_forget(handle.pointer, ids, ids.count, $0.0, $0.1) }
    }

    /// Remembers the memories of one file in another, which a new model embeds, and yields how many it has.
    ///
    /// The other file appears when all are in it. Wordings and how often and when memories were used are not taken over; the old
    /// file keeps them.
    public static func reembed(from: URL, into: URL, embedder: Embedder, step: Int = 16) -> AsyncThrowingStream<StepProgress, any Error> {
        progress { report in
            let staged = URL(fileURLWithPath: into.path + ".part")
            for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: staged.path + suffix) }
            let old = try await Memory.open(from, writable: false).items().sorted { $0.id < $1.id }
            try await copy(old, to: staged, embedder: embedder, step: step, report)
            try FileManager.default.moveItem(at: staged, to: into)
        }
    }

    private static func copy(
        _ old: [Item], to file: URL, embedder: Embedder, step: Int, _ report: @Sendable (StepProgress) -> Void
    ) async throws {
        let memory = try await Memory.open(file, embedder: embedder, duplicate: 2)
        var places: [Int64: Int64] = [:]  // of new ids by old ones
        for some in runs(of: old, step: step) {
            try Task.checkCancellation()
            let made = try await memory.remember(some.map { Observation(again: $0, sources: $0.sources.compactMap { places[$0] }) })
            for (new, before) in zip(made, some) { places[before.id] = new.id }
            report(StepProgress(done: places.count, total: old.count))
        }
    }

    /// Divides memories into arrays, each of which concludes only from memories of those before it.
    private static func runs(of items: [Item], step: Int) -> [[Item]] {
        items.reduce(into: []) { found, item in
            let last = found.last ?? []
            let fits = !last.isEmpty && last.count < step && !last.contains { item.sources.contains($0.id) }
            if fits { found[found.count - 1].append(item) } else { found.append([item]) }
        }
    }
}

extension Observation {
    fileprivate init(again item: Item, sources: [Int64]) {
        self.init(item.text, importance: item.importance)
        (at, tags, self.sources, speaker, session) = (item.created, item.tags, sources, item.speaker, item.session)
    }
}
