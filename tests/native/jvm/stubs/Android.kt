// Stands in for the classes of Android that the sample uses; it is only compiled.
package android.app

import android.content.res.AssetManager
import java.io.File

open class Application {
    val filesDir: File get() = TODO()
    val assets: AssetManager get() = TODO()
}
