package com.getbindu.examples.echo

import com.getbindu.sdk.HandlerResponse
import com.getbindu.sdk.Options
import com.getbindu.sdk.agentConfig
import com.getbindu.sdk.bindufy

// An agent that answers, asks back and refuses.
//
//     mvn -q test-compile exec:java -Dexec.classpathScope=test -Dexec.mainClass=com.getbindu.examples.echo.EchoKt

fun main() {
    val config = agentConfig {
        author = "dev@example.com"
        name = "kotlin-echo"
        description = "Says what it hears."
        url = System.getenv("AGENT_URL") ?: "http://localhost:3773"
        skill("examples/skills/echo")
    }
    val options = Options(core = System.getenv("BINDU_CORE") ?: "localhost:3774")
    val agent = bindufy(config, options) { turn ->
        when (val text = turn.text.trim()) {
            "" -> HandlerResponse.inputRequired("What shall I say?")
            "shut up" -> HandlerResponse.rejected("That is not what I am for.")
            else -> text
        }
    }
    agent.join()
}
