package dev.minnow

import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * Runs a folder that `minnow device-check` wrote, and writes answer.json and answer.f32 into it, which
 * `minnow device-check --read` judges on a desktop.
 */
suspend fun deviceCheck(folder: File, options: Options = Options()): Unit =
    withContext(Dispatchers.IO) { Native.deviceCheck(folder.bytes(), options.numbers(), "Kotlin".toByteArray()) }
