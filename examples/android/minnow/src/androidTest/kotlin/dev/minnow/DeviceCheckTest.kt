package dev.minnow

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import java.io.File
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** Runs the folder of `minnow device-check` that was pushed to the device; docs/devices.md says how. */
@RunWith(AndroidJUnit4::class)
class DeviceCheckTest {
    @Test
    fun writesTheAnswersOfThisDevice(): Unit = runBlocking {
        val arguments = InstrumentationRegistry.getArguments()
        val folder = File(arguments.getString("folder") ?: "/data/local/tmp/phone")
        assertTrue("Push the folder of minnow device-check to $folder.", File(folder, "probes.json").isFile)
        val own = File(InstrumentationRegistry.getInstrumentation().targetContext.getExternalFilesDir(null), folder.name)
        folder.copyRecursively(own, overwrite = true)
        deviceCheck(own, Options(precision = Mode.valueOf(arguments.getString("precision") ?: "LOW")))
        val output = arguments.getString("additionalTestOutputDir")?.let(::File) ?: return@runBlocking  // Gradle fetches it
        for (name in listOf("answer.json", "answer.f32")) File(own, name).copyTo(File(output, name), overwrite = true)
    }
}
