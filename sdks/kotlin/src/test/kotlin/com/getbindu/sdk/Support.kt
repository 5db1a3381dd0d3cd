package com.getbindu.sdk

import java.net.InetAddress
import java.net.ServerSocket
import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes
import kotlin.time.TimeSource

/** For what must come sometime. Nothing that works takes nearly as long. */
val LIMIT: Duration = 1.minutes

/** Waits until [condition] holds. */
fun eventually(what: String, condition: () -> Boolean) {
    val since = TimeSource.Monotonic.markNow()
    while (!condition()) {
        check(since.elapsedNow() < LIMIT) { "$what did not happen within $LIMIT" }
        Thread.sleep(10)
    }
}

/** A port that is free. */
fun freePort(): Int = ServerSocket(0, 1, InetAddress.getByName("127.0.0.1")).use { it.localPort }

/** The program under test. */
fun binary(): Path {
    val named = System.getenv("BINDU_BIN")
    check(!named.isNullOrEmpty()) { "BINDU_BIN must name the bindu program that the tests run against" }
    return Path.of(named)
}

/** An agent at a port of this machine. */
fun config(port: Int, agent: String = "kotlin-test"): AgentConfig = agentConfig {
    author = "dev@example.com"
    name = agent
    url = "http://127.0.0.1:$port"
}
