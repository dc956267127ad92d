package dev.minnow

/**
 * A file that the library has open. The embedder, where there is one, stays open during each call.
 *
 * @param kind what messages call the file, such as "index"
 * @param open opens the file with the handle of the embedder, which is 0 without one
 */
internal class OpenFile(
    private val kind: String,
    private val embedder: Embedder?,
    open: (Long) -> Long,
    private val closeHandle: (Long) -> Unit
) : AutoCloseable {
    private var handle = withEmbedder(open)

    /** Calls a function with the handle of the file. */
    fun <T> call(work: (Long) -> T): T = withEmbedder {
        synchronized(this) {
            check(handle != 0L) { "This $kind is closed." }
            work(handle)
        }
    }

    private fun <T> withEmbedder(work: (Long) -> T): T = if (embedder == null) work(0L) else embedder.whileOpen(work)

    @Synchronized
    override fun close() {
        closeHandle(handle)
        handle = 0L
    }
}
