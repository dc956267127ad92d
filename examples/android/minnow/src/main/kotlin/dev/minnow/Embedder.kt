package dev.minnow

import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** The role of a text; a model may have a prompt for each. */
enum class Role { NONE, QUERY, DOCUMENT }

/** MNN's modes. As [Options.precision], LOW computes in half precision if the CPU supports it. */
enum class Mode { NORMAL, HIGH, LOW }

/** MNN's backends; NN is CoreML, NNAPI or QNN, whichever MNN was built with. */
enum class Backend(internal val number: Int) { CPU(0), OPENCL(3), NN(5), VULKAN(7) }

/**
 * Options to run a model.
 *
 * @property fixedShapes use the bundle's fixed-shape encoders
 */
data class Options(
    val backend: Backend = Backend.CPU,
    val threads: Int = 2,
    val precision: Mode = Mode.NORMAL,
    val power: Mode = Mode.NORMAL,
    val memory: Mode = Mode.NORMAL,
    val fixedShapes: Boolean = false
) {
    internal fun numbers() = intArrayOf(
        backend.number, threads, precision.ordinal, power.ordinal, memory.ordinal, if (fixedShapes) 1 else 0
    )
}

/**
 * Turns texts into vectors. Suspending functions leave the calling thread free. Every function of this package
 * throws [MinnowException], whose message names the file or the text, and the fault.
 */
class Embedder private constructor(internal val handle: Handle) : AutoCloseable {
    /** The number of floats in a vector. */
    val width: Int = handle.use { Native.width(it) }

    /** Returns a vector for each text. */
    suspend fun encode(texts: List<String>, role: Role = Role.NONE): List<FloatArray> {
        val rows = handle.call { Native.encode(it, texts.bytes(), role.ordinal) }
        return texts.indices.map { rows.copyOfRange(it * width, (it + 1) * width) }
    }

    /** Returns the vector of a question. */
    suspend fun encodeQuery(text: String): FloatArray = encode(listOf(text), Role.QUERY).single()

    /** Returns the vectors of documents. */
    suspend fun encodeDocument(texts: List<String>): List<FloatArray> = encode(texts, Role.DOCUMENT)

    /** Frees the memory; all functions fail afterwards, and so do those of indexes and memories that use it. */
    override fun close() = handle.close()

    companion object {
        /** Opens a bundle, or an mnn-llm directory. */
        suspend fun open(folder: File, options: Options = Options()): Embedder =
            opened { Native.open(folder.bytes(), options.numbers()) }

        /**
         * Opens a bundle on the fastest backend and mode that gives its vectors on this device.
         *
         * @param record a file of the app's own, which keeps what was tried
         * @param options choose threads and power only
         */
        suspend fun openBest(folder: File, record: File, options: Options = Options()): Embedder =
            opened { Native.openBest(folder.bytes(), record.bytes(), options.numbers()) }

        /**
         * Makes an embedder of an app's own function.
         *
         * @param model the JSON of the fact "model" of index files (docs/index-format.md)
         * @param encode returns a vector for each text; an exception of it reaches who called
         */
        suspend fun wrap(model: String, encode: (List<String>, Role) -> List<FloatArray>): Embedder {
            val handle = Handle.own("embedder", { Native.close(it) }, { Native.wrap(it, model.toByteArray()) }) { _, texts, role ->
                encode(texts.map { String(it) }, Role.entries[role]).flatMap { it.asIterable() }.toFloatArray()
            }
            return Embedder(handle)
        }

        /** Returns whether the bundle's manifest proves its vectors with these options on this kind of processor. */
        suspend fun isProven(folder: File, options: Options = Options()): Boolean =
            withContext(Dispatchers.IO) { Native.isProven(folder.bytes(), options.numbers()) }

        private suspend fun opened(open: (Long) -> Long) =
            Embedder(Handle.open("embedder", { Native.close(it) }, open = open))
    }
}

internal fun File.bytes(): ByteArray = absolutePath.toByteArray()

internal fun List<String>.bytes(): Array<ByteArray> = Array(size) { get(it).toByteArray() }
