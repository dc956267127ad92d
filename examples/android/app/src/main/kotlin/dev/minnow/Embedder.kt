package dev.minnow

import java.io.File

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
    val threads: Int = 4,
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
 * Turns texts into vectors. Safe to call from several threads, which take turns. Do not call it
 * from the main thread, which it would block.
 *
 * @param bestRecord a file of the app's own: the fastest backend and mode that gives the bundle's
 *     vectors on this device is taken, and kept there; the options choose threads and power only
 * @throws MinnowException names the file or the text, and the fault
 */
class Embedder @JvmOverloads constructor(
    folder: File,
    options: Options = Options(),
    bestRecord: File? = null
) : AutoCloseable {
    private var handle = folder.absolutePath.toByteArray().let {
        if (bestRecord == null) Native.open(it, options.numbers())
        else Native.openBest(it, bestRecord.absolutePath.toByteArray(), options.numbers())
    }

    /** The number of floats in a vector. */
    val width: Int = Native.width(handle)

    /** Returns a vector for each text. */
    @JvmOverloads
    fun encode(texts: List<String>, role: Role = Role.NONE): List<FloatArray> {
        val bytes = Array(texts.size) { texts[it].toByteArray() }
        val rows = whileOpen { Native.encode(it, bytes, role.ordinal) }
        return texts.indices.map { rows.copyOfRange(it * width, (it + 1) * width) }
    }

    /** Calls a function with the handle, which stays open meanwhile. */
    @Synchronized
    internal fun <T> whileOpen(call: (Long) -> T): T {
        check(handle != 0L) { "This embedder is closed." }
        return call(handle)
    }

    /** Frees the memory; [encode] fails afterwards, and so do indexes and memories that use it. */
    @Synchronized
    override fun close() {
        Native.close(handle)
        handle = 0L
    }
}
