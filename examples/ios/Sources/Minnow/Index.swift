import CMinnow
import Foundation

/// A value of JSON, such as those of a document's metadata.
public enum JSONValue: Codable, Sendable, Equatable {
    case null, bool(Bool), number(Double), text(String), array([JSONValue]), object([String: JSONValue])

    public init(from decoder: Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() { self = .null }
        else if let found = try? value.decode(Bool.self) { self = .bool(found) }
        else if let found = try? value.decode(Double.self) { self = .number(found) }
        else if let found = try? value.decode(String.self) { self = .text(found) }
        else if let found = try? value.decode([JSONValue].self) { self = .array(found) }
        else { self = .object(try value.decode([String: JSONValue].self)) }
    }

    public func encode(to encoder: Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let found): try value.encode(found)
        case .number(let found): try value.encode(found)
        case .text(let found): try value.encode(found)
        case .array(let found): try value.encode(found)
        case .object(let found): try value.encode(found)
        }
    }
}

/// How to search; the names are those of `Index.search` in Python, and nil leaves the default.
public struct SearchOptions: Encodable, Sendable {
    /// "vector", "keyword" or "hybrid".
    public var mode: String?
    /// A condition in SQL, such as `metadata->>'lang' = ?`, with `params` for its question marks.
    public var `where`: String?
    public var params: [JSONValue] = []
    /// Patterns of files, such as "docs/*.md".
    public var paths: [String] = []
    /// A date such as 2024-05-31, 2024-05 or 2024.
    public var since: String?
    public var until: String?
    /// "scores" or "rrf".
    public var fusion: String?
    /// Whether hits that only repeat a better one are left out, and listed in it.
    public var fold = false
    /// How many chunks before and after each hit come along.
    public var context = 0
    /// How many hits a reranker reads.
    public var candidates: Int?
    /// "auto", "codes" or "never": whether binary codes find the nearest vectors of large files.
    public var sidecar: String?

    public init() {}
}

/// A chunk beside a hit; the names are those of `Neighbour` in Python.
public struct Neighbour: Decodable, Sendable, Identifiable {
    public let id: Int64
    public let number: Int
    public let headings: [String]
    public let text: String
}

/// A hit that only repeats a better one; the names are those of `Repeat` in Python.
public struct Repeat: Decodable, Sendable, Identifiable {
    public let id: Int64
    public let source: String
    public let number: Int
    public let score: Double
}

/// A chunk that a search found; the names are those of `Hit` in Python.
public struct Hit: Decodable, Sendable, Identifiable {
    public let rank: Int
    public let id: Int64
    public let score: Double
    public let vectorScore: Double?
    public let keywordScore: Double?
    public let rerankScore: Double?
    public let firstRank: Int?
    public let source: String
    public let number: Int
    public let headings: [String]
    public let text: String
    public let passage: String
    public let metadata: [String: JSONValue]
    public let before: [Neighbour]
    public let after: [Neighbour]
    public let folded: [Repeat]

    private enum CodingKeys: String, CodingKey {
        case rank, id, score, source, number, headings, text, passage, metadata, before, after, folded
        case vectorScore = "vector_score"
        case keywordScore = "keyword_score"
        case rerankScore = "rerank_score"
        case firstRank = "first_rank"
    }
}

/// A text to index, whole; the names are those of `Record` in Python.
public struct Record: Encodable, Sendable, Identifiable {
    public let id: String
    public var text: String
    public var metadata: [String: JSONValue]

    public init(id: String, text: String, metadata: [String: JSONValue] = [:]) {
        self.id = id
        self.text = text
        self.metadata = metadata
    }
}

/// Search in a file of `minnow index`, or in one of records that the app puts in; one call after the other, off the main thread.
public actor Index {
    private let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
    }

    /// Opens a file, and with `create` makes it where there is none, which needs an embedder.
    ///
    /// Without an embedder, search with mode "keyword".
    public static func open(_ file: URL, embedder: Embedder? = nil, create: Bool = false) async throws -> Index {
        let model = embedder?.handle
        let opened = try callNative { message in
            create
                ? minnow_make_index(file.path, model?.pointer, message.0, message.1)
                : minnow_open_index(file.path, model?.pointer, message.0, message.1)
        }
        return Index(Handle(opened, uses: model, close: minnow_close_index))
    }

    /// Returns the number of chunks.
    public func size() throws -> Int {
        try countNative { minnow_count(handle.pointer, $0.0, $0.1) }
    }

    /// Returns the best `k` chunks for a question.
    ///
    /// `vector` is the question's, where the app has it already; a reranker orders the first hits by the question and their texts.
    public func search(
        _ query: String, k: Int = 10, options: SearchOptions = SearchOptions(), vector: [Float]? = nil,
        reranker: Reranker? = nil
    ) throws -> [Hit] {
        let chosen = try encoded(options)
        return try withViews(of: [query]) { views in
            try decoded {
                minnow_search_reranked(
                    handle.pointer, reranker?.handle.pointer, views[0], Int32(k), chosen, vector, vector?.count ?? 0, $0.0, $0.1)
            }
        }
    }

    /// Adds records, or replaces those with the same ids: all of them, or none if that fails. Returns how many were embedded.
    ///
    /// A text that has not changed keeps its vector.
    @discardableResult
    public func put(_ records: [Record], collection: String = "records") throws -> Int {
        let given = try encoded(records)
        return try countNative { minnow_put(handle.pointer, collection, given, $0.0, $0.1) }
    }

    /// Adds many records in steps, and yields how many are on the disk.
    public nonisolated func putAll(_ records: [Record], collection: String = "records", step: Int = 16)
        -> AsyncThrowingStream<StepProgress, any Error>
    {
        progress { report in
            try await inSteps(records, of: step, report) { try await self.put($0, collection: collection) }
        }
    }

    /// Drops records by id, all of the collection by default, and returns how many there were.
    @discardableResult
    public func remove(_ ids: [String]? = nil, collection: String = "records") throws -> Int {
        let given = try ids.map { try encoded($0) }
        return try countNative { minnow_remove(handle.pointer, collection, given, $0.0, $0.1) }
    }
}
