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
    /// Whether hits that only repeat a better one are left out.
    public var fold = false
    /// How many chunks before and after each hit come along.
    public var context = 0

    public init() {}
}

/// A chunk that a search found; the names are those of `Hit` in Python.
public struct Hit: Decodable, Sendable, Identifiable {
    public let rank: Int
    public let id: Int64
    public let score: Double
    public let vectorScore: Double?
    public let keywordScore: Double?
    public let source: String
    public let number: Int
    public let headings: [String]
    public let text: String
    public let passage: String
    public let metadata: [String: JSONValue]

    private enum CodingKeys: String, CodingKey {
        case rank, id, score, source, number, headings, text, passage, metadata
        case vectorScore = "vector_score"
        case keywordScore = "keyword_score"
    }
}

/// Search in a file of `minnow index`, one call after the other, off the main thread.
public actor Index {
    private let handle: Handle
    private let embedder: Embedder?  // stays open as long

    /// Opens a file; without an embedder, search with mode "keyword".
    public init(file: URL, embedder: Embedder? = nil) throws {
        let opened = try callNative { minnow_open_index(file.path, embedder?.shared.pointer, $0, $1) }
        handle = Handle(pointer: opened)
        self.embedder = embedder
    }

    deinit {
        minnow_close_index(handle.pointer)
    }

    /// Returns the number of chunks.
    public func size() throws -> Int64 {
        var message = [CChar](repeating: 0, count: 1000)
        let count = minnow_count(handle.pointer, &message, message.count)
        if count < 0 {
            throw EmbedderError(message: String(cString: message))
        }
        return count
    }

    /// Returns the best `k` chunks for a question.
    public func search(_ query: String, k: Int = 10, options: SearchOptions = SearchOptions()) throws -> [Hit] {
        let chosen = try encoded(options)
        return try withViews(of: [query]) { views in
            try decoded { minnow_search(handle.pointer, views[0], Int32(k), chosen, nil, 0, $0, $1) }
        }
    }
}

/// Returns a value as JSON.
func encoded(_ value: some Encodable) throws -> String {
    String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
}

/// Calls a function that answers with JSON, and returns what that says.
func decoded<Value: Decodable>(
    _ call: (UnsafeMutablePointer<CChar>?, Int) -> UnsafeMutablePointer<CChar>?
) throws -> Value {
    let answer = try callNative(call)
    defer { minnow_free(answer) }
    return try JSONDecoder().decode(Value.self, from: Data(bytes: answer, count: strlen(answer)))
}
