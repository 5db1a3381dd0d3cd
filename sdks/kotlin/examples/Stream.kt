package com.getbindu.examples.stream

import com.getbindu.sdk.Options
import com.getbindu.sdk.agentConfig
import com.getbindu.sdk.bindufyStreaming
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.flow

// An agent that answers word by word. Whoever calls message/stream sees each word as it comes.
//
//     mvn -q test-compile exec:java -Dexec.classpathScope=test -Dexec.mainClass=com.getbindu.examples.stream.StreamKt

fun main() {
    val config = agentConfig {
        author = "dev@example.com"
        name = "kotlin-stream"
        description = "Takes its time."
        url = System.getenv("AGENT_URL") ?: "http://localhost:3773"
    }
    val options = Options(core = System.getenv("BINDU_CORE") ?: "localhost:3774")
    val agent = bindufyStreaming(config, options) { turn ->
        flow {
            for (word in turn.text.split(' ')) {
                emit("$word ")
                delay(200.milliseconds)
            }
        }
    }
    agent.join()
}
