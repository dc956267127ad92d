package androidx.lifecycle

import android.app.Application
import kotlinx.coroutines.CoroutineScope

open class AndroidViewModel(private val application: Application) {
    @Suppress("UNCHECKED_CAST")
    fun <T : Application> getApplication(): T = application as T
    protected open fun onCleared() = Unit
}

val AndroidViewModel.viewModelScope: CoroutineScope get() = TODO()
