package com.getbindu.sdk

import java.net.URI
import java.nio.file.Path
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.delay

/** Does what the message says. */
suspend fun obey(turn: Turn): Any {
    val words = turn.text.split(' ')
    return when (words.first()) {
        "slow" -> delay(words[1].toInt().milliseconds).let { turn.text }
        "fail" -> throw IllegalStateException("as I was told")
        "ask" -> HandlerResponse.inputRequired("Which?")
        else -> turn.text
    }
}

/** An agent in a process of its own, so that it can be killed. */
fun main() {
    val url = URI.create(System.getenv("AGENT_URL"))
    bindufy(config(url.port), Options(core = System.getenv("BINDU_CORE"), launch = false), ::obey).join()
}

/** Starts the program [name], and returns as soon as its agent is registered. */
fun startChild(core: String, port: Int, name: String = "com.getbindu.sdk.ChildKt"): Process {
    val classPath = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
    val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
    val builder = ProcessBuilder(java, "-XX:TieredStopAtLevel=1", "-cp", classPath, name)
    builder.environment() += mapOf("AGENT_URL" to "http://127.0.0.1:$port", "BINDU_CORE" to core)
    val child = builder.redirectErrorStream(true).start()
    val said = mutableListOf<String>()
    val lines = child.inputReader().lineSequence().onEach(said::add)
    check(lines.any { it.contains("answers at") }) { "$name did not register:\n${said.joinToString("\n")}" }
    return child
}
