package dev.minnow

import java.util.concurrent.locks.ReentrantReadWriteLock
import kotlin.concurrent.read
import kotlin.concurrent.write
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * Something open in the library. It is closed once, after the calls that run.
 *
 * @param kind what messages call it, such as "index"
 * @param close frees the pointer
 * @param uses what has to stay open during each call
 */
internal class Handle(
    private val kind: String,
    private var pointer: Long,
    private val close: (Long) -> Unit,
    private val uses: Handle? = null
) : AutoCloseable {
    private val lock = ReentrantReadWriteLock()

    /** Calls a function with the pointer, on a thread that may wait. */
    suspend fun <T> call(work: (Long) -> T): T = withContext(Dispatchers.IO) { use(work) }

    /** Calls a function with the pointer, on this thread. */
    fun <T> use(work: (Long) -> T): T = if (uses == null) locked(work) else uses.use { locked(work) }

    private fun <T> locked(work: (Long) -> T): T = lock.read {
        check(pointer != 0L) { "This $kind is closed." }
        work(pointer)
    }

    override fun close() = lock.write {
        if (pointer != 0L) close(pointer)
        pointer = 0L
    }

    companion object {
        /** Opens something with the pointer of what it uses, 0 for nothing, on a thread that may wait. */
        suspend fun open(kind: String, close: (Long) -> Unit, uses: Handle? = null, open: (Long) -> Long): Handle =
            withContext(Dispatchers.IO) { Handle(kind, if (uses == null) open(0L) else uses.use(open), close, uses) }

        /** Makes something of an app's own function, which is kept as long. */
        suspend fun own(kind: String, close: (Long) -> Unit, make: (Long) -> Long, function: Native.Function): Handle {
            val kept = Native.keep(function)
            try {
                return open(kind, { close(it); Native.release(kept) }) { make(kept) }
            } catch (error: MinnowException) {
                Native.release(kept)
                throw error
            }
        }
    }
}
