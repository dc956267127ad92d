package dev.minnow

import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.trySendBlocking
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.flow.flowOn
import org.json.JSONArray
import org.json.JSONObject

/** A language model for MNN's engine, which answers questions from passages. It takes more memory than all else: close it soon. */
class Llm private constructor(private val handle: Handle) : AutoCloseable {
    /**
     * Answers a question from the texts of hits, and from memories, and emits pieces of the answer. It cites hits by their
     * numbers, as in [1], and memories by those that follow. Who stops collecting stops the model.
     */
    fun answer(question: String, hits: List<Hit>, memories: List<Recalled> = emptyList(), maxTokens: Int = 300): Flow<String> =
        channelFlow {
            val passages = JSONArray()
            for (hit in hits) passages.put(JSONObject().put("source", hit.source).put("text", hit.text))
            for (memory in memories) passages.put(JSONObject().put("text", memory.item.text))
            val given = passages.toString().toByteArray()
            handle.use { pointer ->
                Native.answer(pointer, question.toByteArray(), given, maxTokens) { trySendBlocking(String(it)).isSuccess }
            }
        }.flowOn(Dispatchers.IO)

    /** Frees the memory; [answer] fails afterwards. */
    override fun close() = handle.close()

    companion object {
        /** Opens a folder with config.json and llm.mnn. */
        suspend fun open(folder: File, threads: Int = 4): Llm =
            Llm(Handle.open("LLM", { Native.closeLlm(it) }) { Native.openLlm(folder.bytes(), threads) })
    }
}
