package dev.minnow

import java.io.File
import java.io.IOException
import java.net.URL
import java.security.MessageDigest
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import org.json.JSONObject
import kotlin.coroutines.coroutineContext

private const val MANIFEST = "minnow.json"

/**
 * Downloads a bundle from a server that has its folder, and emits how many bytes there are.
 *
 * Every file is compared with its hash. The folder appears when all are there; what a stopped download has is kept in
 * FOLDER.part for the next one. Nothing is downloaded where the folder is that bundle already.
 *
 * @param address of the folder, such as "https://example.org/model.minnow"
 * @param sha256 of its minnow.json, in hexadecimal digits, which the app was built with
 */
fun downloadBundle(address: String, sha256: String, folder: File): Flow<Progress> = flow {
    val known = File(folder, MANIFEST)
    if (known.exists() && sha256Of(known) == sha256) return@flow
    val staged = File("${folder.path}.part")
    staged.mkdirs()
    val manifest = File(staged, MANIFEST)
    fetch("$address/$MANIFEST", manifest, sha256) {}
    val files = JSONObject(manifest.readText()).getJSONObject("files")
    val sizes = files.keys().asSequence().associateWith { files.getJSONObject(it).getLong("size") }
    var done = 0L
    for ((name, size) in sizes) {
        if (name.startsWith("/") || ".." in name.split("/")) throw IOException("$address has a file called $name.")
        val file = File(staged, name)
        val hash = files.getJSONObject(name).getString("sha256")
        if (!file.exists() || sha256Of(file) != hash) {
            file.parentFile?.mkdirs()
            var read = 0L
            fetch("$address/$name", file, hash) { bytes ->
                read += bytes
                if (read > size) throw IOException("$address/$name is longer than $size bytes.")
                emit(Progress(done + read, sizes.values.sum()))
            }
        }
        done += size
    }
    folder.deleteRecursively()
    if (!staged.renameTo(folder)) throw IOException("$staged cannot become $folder.")
    emit(Progress(done, done))
}.flowOn(Dispatchers.IO)

private suspend fun fetch(address: String, file: File, sha256: String, read: suspend (Int) -> Unit) {
    val connection = URL(address).openConnection().apply {
        connectTimeout = 30_000
        readTimeout = 30_000
    }
    connection.getInputStream().use { source ->
        file.outputStream().use { target ->
            val block = ByteArray(1 shl 16)
            while (true) {
                coroutineContext.ensureActive()
                val count = source.read(block)
                if (count < 0) break
                target.write(block, 0, count)
                read(count)
            }
        }
    }
    if (sha256Of(file) != sha256) {
        file.delete()
        throw IOException("$address is not the file that was expected: its SHA-256 differs.")
    }
}

private fun sha256Of(file: File): String {
    val digest = MessageDigest.getInstance("SHA-256")
    file.inputStream().use { source ->
        val block = ByteArray(1 shl 16)
        generateSequence { source.read(block).takeIf { it >= 0 } }.forEach { digest.update(block, 0, it) }
    }
    return digest.digest().joinToString("") { "%02x".format(it) }
}
