import CMinnow
import Foundation

/// A document in its place: its number among the documents, from 0, and its score.
public struct RankedDocument: Sendable {
    public let index: Int
    public let score: Float
}

/// Scores pairs of texts, one call after the other, off the main thread.
public actor Reranker {
    /// The name of each score of a pair; one where documents can be ranked.
    public nonisolated let labels: [String]
    private let handle: OpaquePointer

    /// Opens the bundle of a reranker; with `bestRecord` as `Embedder` does.
    public init(folder: URL, options: Options = Options(), bestRecord: URL? = nil) throws {
        var given = options.given
        let opened: OpaquePointer = try callNative { message, size in
            guard let record = bestRecord else { return minnow_open_reranker(folder.path, &given, message, size) }
            return minnow_open_best_reranker(folder.path, record.path, &given, message, size)
        }
        handle = opened
        labels = (0..<minnow_labels(opened)).map { String(cString: minnow_label(opened, $0)) }
    }

    deinit {
        minnow_close_reranker(handle)
    }

    /// Returns the scores of each pair, one for each label.
    public func predict(_ pairs: [(query: String, document: String)]) throws -> [[Float]] {
        var scores = [Float](repeating: 0, count: pairs.count * labels.count)
        var message = [CChar](repeating: 0, count: 1000)
        let failed = withViews(of: pairs.flatMap { [$0.query, $0.document] }) { views in
            let given = pairs.indices.map {
                minnow_pair(query: views[2 * $0], document: views[2 * $0 + 1])
            }
            return minnow_predict(
                handle, given, given.count, &scores, &message, message.count)
        }
        if failed != 0 {
            throw EmbedderError(message: String(cString: message))
        }
        return pairs.indices.map { Array(scores[$0 * labels.count..<($0 + 1) * labels.count]) }
    }

    /// Returns the best documents first, `top` at most.
    public func rank(_ query: String, _ documents: [String], top: Int = .max) throws
        -> [RankedDocument]
    {
        var rows = [minnow_ranked](repeating: minnow_ranked(), count: documents.count)
        var message = [CChar](repeating: 0, count: 1000)
        let best = min(max(top, 0), documents.count)
        let failed = withViews(of: [query] + documents) { views in
            minnow_rank(
                handle, views[0], Array(views.dropFirst()), documents.count, best, &rows, &message,
                message.count)
        }
        if failed != 0 {
            throw EmbedderError(message: String(cString: message))
        }
        return rows.prefix(best).map { RankedDocument(index: Int($0.index), score: $0.score) }
    }
}
