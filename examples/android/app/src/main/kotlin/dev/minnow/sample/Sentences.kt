package dev.minnow.sample

import dev.minnow.Embedder
import dev.minnow.Role

/** A sentence and its similarity to the question: the dot product of two vectors of length 1. */
data class Match(val sentence: String, val score: Float)

/** Some sentences with their vectors. */
class Sentences(private val embedder: Embedder, private val sentences: List<String>) {
    private val vectors = embedder.encode(sentences, Role.DOCUMENT)

    /** Returns all sentences, the most similar first. */
    fun search(question: String): List<Match> {
        val asked = embedder.encode(listOf(question), Role.QUERY).first()
        return sentences.indices
            .map { Match(sentences[it], product(asked, vectors[it])) }
            .sortedByDescending { it.score }
    }

    companion object {
        /** The sentences of the sample. */
        val BUILT_IN = listOf(
            "The library opens at nine on weekdays and at ten on Saturdays.",
            "Whales rest one half of the brain at a time.",
            "To reset the router, hold the button for ten seconds.",
            "The first bridge was built of pine, the second one of stone.",
            "Bread dough rises faster in a warm kitchen.",
            "A return ticket costs less than two single ones.",
            "The museum is closed on the first Monday of the month.",
            "Water the tomatoes in the morning, and not on their leaves."
        )

        private fun product(a: FloatArray, b: FloatArray): Float {
            var sum = 0f
            for (i in a.indices) sum += a[i] * b[i]
            return sum
        }
    }
}
