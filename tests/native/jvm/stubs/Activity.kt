package androidx.activity

import android.os.Bundle

open class ComponentActivity {
    protected open fun onCreate(savedInstanceState: Bundle?) = Unit
}

inline fun <reified Model : Any> ComponentActivity.viewModels(): Lazy<Model> = TODO("${Model::class}")
