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

    public init(_ text: String) {
        self.text = text
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

    private enum Key: CodingKey {
        case score, similarity, parts, before, after
    }

    public init(from decoder: Decoder) throws {
        item = try Item(from: decoder)
        let facts = try decoder.container(keyedBy: Key.self)
        score = try facts.decode(Double.self, forKey: .score)
        similarity = try facts.decode(Double.self, forKey: .similarity)
        parts = try facts.decode([String: Double].self, forKey: .parts)
        before = try facts.decode([Item].self, forKey: .before)
        after = try facts.decode([Item].self, forKey: .after)
    }
}

/// What to recall; the names are those of `Memory.recall` in Python.
public struct RecallOptions: Encodable, Sendable {
    public var tags: [String] = []
    public var speaker: String?
    public var session: String?
    /// How many turns before and after each memory come along.
    public var window = 0
    /// Whether the memories found count as used now.
    public var touch = true
    /// Minutes that the user's time zone is ahead of UTC.
    public var utcOffset = TimeZone.current.secondsFromGMT() / 60

    private enum CodingKeys: String, CodingKey {
        case tags, speaker, session, window, touch
        case utcOffset = "utc_offset"
    }

    public init() {}
}

private struct ListOptions: Encodable {
    let limit: Int?
    let tags: [String]
}

/// Memories in a file, which is made where there is none; one call after the other, off the main thread.
public actor Memory {
    private let handle: Handle
    private let embedder: Embedder?  // stays open as long

    /// Opens a file; without an embedder, memories can be listed and forgotten.
    public init(file: URL, embedder: Embedder? = nil) throws {
        let opened = try callNative { minnow_open_memory(file.path, embedder?.shared.pointer, nil, $0, $1) }
        handle = Handle(pointer: opened)
        self.embedder = embedder
    }

    deinit {
        minnow_close_memory(handle.pointer)
    }

    /// Remembers texts, all or none; those that repeat a memory are merged with it.
    @discardableResult
    public func remember(_ observations: [Observation]) throws -> [Item] {
        let seen = try encoded(observations)
        return try decoded { minnow_remember(handle.pointer, seen, $0, $1) }
    }

    /// Returns the `k` memories that answer a question, the best first.
    public func recall(_ query: String, k: Int = 5, options: RecallOptions = RecallOptions()) throws -> [Recalled] {
        let chosen = try encoded(options)
        return try withViews(of: [query]) { views in
            try decoded { minnow_recall(handle.pointer, views[0], Int32(k), chosen, $0, $1) }
        }
    }

    /// Returns memories, the newest first.
    public func items(limit: Int? = nil, tags: [String] = []) throws -> [Item] {
        let chosen = try encoded(ListOptions(limit: limit, tags: tags))
        return try decoded { minnow_items(handle.pointer, chosen, $0, $1) }
    }

    /// Deletes memories and returns them.
    @discardableResult
    public func forget(_ ids: [Int64]) throws -> [Item] {
        try decoded { minnow_forget(handle.pointer, ids, ids.count, $0, $1) }
    }
}
