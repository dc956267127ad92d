// Stands in for kotlinx.coroutines where Kotlin is only compiled.
package kotlinx.coroutines.flow

import kotlin.coroutines.CoroutineContext

interface FlowCollector<in T> {
    suspend fun emit(value: T)
}

interface Flow<out T>

fun <T> flow(block: suspend FlowCollector<T>.() -> Unit): Flow<T> = object : Flow<T> {}

fun <T> Flow<T>.flowOn(context: CoroutineContext): Flow<T> = this
