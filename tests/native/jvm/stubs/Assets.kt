package android.content.res

import java.io.InputStream

class AssetManager {
    fun list(path: String): Array<String>? = TODO(path)
    fun open(path: String): InputStream = TODO(path)
}
