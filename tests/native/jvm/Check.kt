package dev.minnow

import dev.minnow.sample.Sentences
import java.io.File

/** Prints what the sample finds for each line. */
fun main(arguments: Array<String>) {
    val embedder = Embedder(File(arguments[0]), Options(threads = 2), File(arguments[0] + ".json"))
    val sentences = Sentences(embedder, arguments.drop(1))
    generateSequence(::readLine).forEach { System.err.println(sentences.search(it).first().sentence) }
    embedder.close()
    try {
        embedder.encode(listOf("a"))
    } catch (error: IllegalStateException) {
        System.err.println(error.message)
    }
}
