package androidx.compose.material3

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

class TextStyle

class Typography {
    val titleMedium = TextStyle()
}

object MaterialTheme {
    val typography = Typography()
}

@Composable
fun MaterialTheme(content: @Composable () -> Unit): Unit = TODO("$content")

@Composable
fun Text(text: String, modifier: Modifier = Modifier, style: TextStyle = TextStyle()): Unit = TODO("$text $modifier $style")

@Composable
fun Button(onClick: () -> Unit, modifier: Modifier = Modifier, enabled: Boolean = true, content: @Composable () -> Unit): Unit =
    TODO("$onClick $modifier $enabled $content")

@Composable
fun OutlinedTextField(
    value: String, onValueChange: (String) -> Unit, modifier: Modifier = Modifier, enabled: Boolean = true,
    label: (@Composable () -> Unit)? = null
): Unit = TODO("$value $onValueChange $modifier $enabled $label")
