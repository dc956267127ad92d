package dev.minnow

import java.io.File

/** Prints the place of each line among all, ranked by the query, and then its score alone. */
fun main(arguments: Array<String>) {
    val (folder, query) = arguments
    val documents = generateSequence(::readLine).toList()
    val reranker = Reranker(File(folder), Options(threads = 2))
    System.err.println(reranker.labels.single())
    for (row in reranker.rank(query, documents)) System.err.println("${row.index} ${row.score}")
    for (scores in reranker.predict(documents.map { TextPair(query, it) })) System.err.println(scores.single())
    System.err.println(reranker.rank(query, documents, topK = 1).size)
    reranker.close()
    try {
        reranker.rank(query, documents)
    } catch (error: IllegalStateException) {
        System.err.println(error.message)
    }
}
