import CMinnow
import Foundation

/// A query and a document, whose score says how well the document answers.
public struct TextPair: Sendable {
    public let query: String
    public let document: String

    public init(_ query: String, _ document: String) {
        self.query = query
        self.document = document
    }
}

/// A document in its place: its number among the documents, from 0, and its score.
public struct RankedDocument: Sendable {
    public let corpusID: Int
    public let score: Float
}

/// Scores pairs of texts, one call after the other, off the main thread.
public actor Reranker {
    /// The name of each score of a pair; one where documents can be ranked.
    public nonisolated let labels: [String]
    nonisolated let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
        labels = (0..<minnow_labels(handle.pointer)).map { String(cString: minnow_label(handle.pointer, $0)) }
    }

    /// Opens the bundle of a reranker.
    public static func open(_ folder: URL, options: Options = Options()) async throws -> Reranker {
        var given = options.given
        return try opened { minnow_open_reranker(folder.path, &given, $0.0, $0.1) }
    }

    /// Opens it as `Embedder.openBest` does.
    public static func openBest(_ folder: URL, record: URL, options: Options = Options()) async throws -> Reranker {
        var given = options.given
        return try opened { minnow_open_best_reranker(folder.path, record.path, &given, $0.0, $0.1) }
    }

    /// Makes a reranker of an app's own function, which returns a score for each document, or nil if it fails.
    public static func wrap(_ score: @escaping @Sendable (String, [String]) -> [Float]?) async throws -> Reranker {
        let own = OwnScorer(score)
        var given = minnow_scorer(context: Unmanaged.passUnretained(own).toOpaque()) { context, query, documents, count, scores in
            let own = Unmanaged<OwnScorer>.fromOpaque(context!).takeUnretainedValue()
            guard let found = own.score(text(query), texts(documents, count)), found.count == count else { return 1 }
            scores!.update(from: found, count: count)
            return 0
        }
        let pointer = try callNative { minnow_wrap_reranker(&given, $0.0, $0.1) }
        return Reranker(Handle(pointer, uses: own, close: minnow_close_reranker))
    }

    private static func opened(_ open: (Message) -> OpaquePointer?) throws -> Reranker {
        Reranker(Handle(try callNative(open), close: minnow_close_reranker))
    }

    /// Returns the scores of each pair, one for each label.
    public func predict(_ pairs: [TextPair]) throws -> [[Float]] {
        var scores = [Float](repeating: 0, count: pairs.count * labels.count)
        try withViews(of: pairs.flatMap { [$0.query, $0.document] }) { views in
            let given = pairs.indices.map { minnow_pair(query: views[2 * $0], document: views[2 * $0 + 1]) }
            try checkNative { minnow_predict(handle.pointer, given, given.count, &scores, $0.0, $0.1) }
        }
        return pairs.indices.map { Array(scores[$0 * labels.count..<($0 + 1) * labels.count]) }
    }

    /// Returns the best documents first, `topK` at most.
    public func rank(_ query: String, _ documents: [String], topK: Int = .max) throws -> [RankedDocument] {
        let best = min(max(topK, 0), documents.count)
        var rows = [minnow_ranked](repeating: minnow_ranked(), count: documents.count)
        try withViews(of: documents + [query]) { views in
            try checkNative { minnow_rank(handle.pointer, views[documents.count], views, documents.count, best, &rows, $0.0, $0.1) }
        }
        return rows.prefix(best).map { RankedDocument(corpusID: Int($0.index), score: $0.score) }
    }
}

/// What minnow.h calls for the scores of an app.
private final class OwnScorer: Sendable {
    let score: @Sendable (String, [String]) -> [Float]?

    init(_ score: @escaping @Sendable (String, [String]) -> [Float]?) {
        self.score = score
    }
}
