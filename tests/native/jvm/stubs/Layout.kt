package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp

interface ColumnScope

interface RowScope

@Composable
fun Column(modifier: Modifier = Modifier, content: @Composable ColumnScope.() -> Unit): Unit = TODO("$modifier $content")

@Composable
fun Row(modifier: Modifier = Modifier, content: @Composable RowScope.() -> Unit): Unit = TODO("$modifier $content")

fun Modifier.fillMaxWidth(): Modifier = TODO("$this")

fun Modifier.padding(all: Dp): Modifier = TODO("$this $all")
