package dev.minnow

import java.io.File

/** A query and a document, whose score says how well the document answers. */
data class TextPair(val query: String, val document: String)

/** A document in its place: its number among the documents, from 0, and its score. */
data class RankedDocument(val index: Int, val score: Float)

/**
 * Scores pairs of texts with the bundle of a reranker. Safe to call from several threads, which take
 * turns. Do not call it from the main thread, which it would block.
 *
 * @param bestRecord a file of the app's own: the fastest backend and mode that gives the bundle's
 *     vectors on this device is taken, and kept there; the options choose threads and power only
 * @throws MinnowException names the file or the text, and the fault
 */
class Reranker @JvmOverloads constructor(
    folder: File,
    options: Options = Options(),
    bestRecord: File? = null
) : AutoCloseable {
    private var handle = folder.absolutePath.toByteArray().let {
        if (bestRecord == null) Native.openReranker(it, options.numbers())
        else Native.openBestReranker(it, bestRecord.absolutePath.toByteArray(), options.numbers())
    }

    /** The name of each score of a pair; one where documents can be ranked. */
    val labels: List<String> = Native.labels(handle).map { String(it) }

    /** Returns the scores of each pair, one for each label. */
    @Synchronized
    fun predict(pairs: List<TextPair>): List<FloatArray> {
        check(handle != 0L) { "This reranker is closed." }
        val queries = Array(pairs.size) { pairs[it].query.toByteArray() }
        val documents = Array(pairs.size) { pairs[it].document.toByteArray() }
        val rows = Native.predict(handle, queries, documents)
        return pairs.indices.map { rows.copyOfRange(it * labels.size, (it + 1) * labels.size) }
    }

    /** Returns the best documents first, [topK] at most. */
    @JvmOverloads
    @Synchronized
    fun rank(query: String, documents: List<String>, topK: Int = documents.size): List<RankedDocument> {
        check(handle != 0L) { "This reranker is closed." }
        require(topK >= 0) { "topK should be 0 or more, not $topK." }
        val scores = FloatArray(minOf(topK, documents.size))
        val bytes = Array(documents.size) { documents[it].toByteArray() }
        val best = Native.rank(handle, query.toByteArray(), bytes, scores)
        return best.indices.map { RankedDocument(best[it], scores[it]) }
    }

    /** Frees the memory; [predict] and [rank] fail afterwards. */
    @Synchronized
    override fun close() {
        Native.closeReranker(handle)
        handle = 0L
    }
}
