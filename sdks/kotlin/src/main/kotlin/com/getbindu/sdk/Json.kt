package com.getbindu.sdk

/**
 * Writes maps, lists, texts, numbers, truth values and null as JSON.
 *
 * The SDK writes one object and reads none, which is not worth a library.
 */
internal object Json {
    fun write(value: Any?): String = buildString { put(value) }

    private fun StringBuilder.put(value: Any?): StringBuilder = when (value) {
        null -> append("null")
        is Boolean -> append(value.toString())
        is Double -> number(value.isFinite(), value)
        is Float -> number(value.isFinite(), value)
        is Number -> append(value.toString())
        is Map<*, *> -> join('{', '}', value.entries) { (key, item) ->
            quote(key.toString()).append(':').put(item)
        }
        is Iterable<*> -> join('[', ']', value) { put(it) }
        is Array<*> -> join('[', ']', value.asIterable()) { put(it) }
        is Enum<*> -> quote(value.name)
        is CharSequence -> quote(value)
        else -> throw IllegalArgumentException("${value::class.simpleName} has no place in JSON")
    }

    private fun StringBuilder.number(finite: Boolean, value: Number): StringBuilder {
        require(finite) { "$value has no place in JSON" }
        return append(value.toString())
    }

    private fun <T> StringBuilder.join(
        open: Char,
        close: Char,
        items: Iterable<T>,
        write: StringBuilder.(T) -> Unit,
    ): StringBuilder {
        append(open)
        items.forEachIndexed { index, item ->
            if (index > 0) append(',')
            write(item)
        }
        return append(close)
    }

    private fun StringBuilder.quote(text: CharSequence): StringBuilder {
        append('"')
        for (char in text) {
            when {
                char == '"' -> append("\\\"")
                char == '\\' -> append("\\\\")
                char < ' ' -> append("\\u%04x".format(char.code))
                else -> append(char)
            }
        }
        return append('"')
    }
}
