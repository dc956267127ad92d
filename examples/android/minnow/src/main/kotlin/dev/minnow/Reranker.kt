package dev.minnow

import java.io.File

/** A query and a document, whose score says how well the document answers. */
data class TextPair(val query: String, val document: String)

/** A document in its place: its number among the documents, from 0, and its score. */
data class RankedDocument(val corpusId: Int, val score: Float)

/** Scores pairs of texts with the bundle of a reranker. Suspending functions leave the calling thread free. */
class Reranker private constructor(internal val handle: Handle) : AutoCloseable {
    /** The name of each score of a pair; one where documents can be ranked. */
    val labels: List<String> = handle.use { pointer -> Native.labels(pointer).map { String(it) } }

    /** Returns the scores of each pair, one for each label. */
    suspend fun predict(pairs: List<TextPair>): List<FloatArray> {
        val rows = handle.call { Native.predict(it, pairs.map { p -> p.query }.bytes(), pairs.map { p -> p.document }.bytes()) }
        return pairs.indices.map { rows.copyOfRange(it * labels.size, (it + 1) * labels.size) }
    }

    /** Returns the best documents first, [topK] at most. */
    suspend fun rank(query: String, documents: List<String>, topK: Int = documents.size): List<RankedDocument> {
        require(topK >= 0) { "topK should be 0 or more, not $topK." }
        val scores = FloatArray(minOf(topK, documents.size))
        val best = handle.call { Native.rank(it, query.toByteArray(), documents.bytes(), scores) }
        return best.indices.map { RankedDocument(best[it], scores[it]) }
    }

    /** Frees the memory; all functions fail afterwards. */
    override fun close() = handle.close()

    companion object {
        /** Opens the bundle of a reranker. */
        suspend fun open(folder: File, options: Options = Options()): Reranker =
            opened { Native.openReranker(folder.bytes(), options.numbers()) }

        /** Opens it as [Embedder.openBest] does. */
        suspend fun openBest(folder: File, record: File, options: Options = Options()): Reranker =
            opened { Native.openBestReranker(folder.bytes(), record.bytes(), options.numbers()) }

        /** Makes a reranker of an app's own function, which returns a score for each document. */
        suspend fun wrap(score: (String, List<String>) -> FloatArray): Reranker {
            val handle = Handle.own("reranker", { Native.closeReranker(it) }, { Native.wrapReranker(it) }) { query, texts, _ ->
                score(String(query), texts.map { String(it) })
            }
            return Reranker(handle)
        }

        private suspend fun opened(open: (Long) -> Long) =
            Reranker(Handle.open("reranker", { Native.closeReranker(it) }, open = open))
    }
}
