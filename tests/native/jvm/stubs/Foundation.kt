package androidx.compose.foundation

import androidx.compose.ui.Modifier

fun Modifier.clickable(onClick: () -> Unit): Modifier = TODO("$this $onClick")
