package com.getbindu.sdk

import com.getbindu.grpc.AgentHandlerGrpc
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** What the core is told, and when. */
class RegistrationTest {
    private val callbackHeader = header("x-bindu-callback")

    @Test
    fun `an agent registers, says that it lives, and takes its leave`() {
        FakeCore().use { core ->
            val config = agentConfig {
                author = "dev@example.com"
                name = "test"
                url = "http://localhost:3773"
                skill("examples/skills/echo")
                skill(Skill.Inline("inline", "Said here.", tags = listOf("a")))
            }
            val agent = bindufy(config, core.options().copy(heartbeat = 20.milliseconds)) { it.text }
            assertEquals("53cbcb43-82ef-8a50-ba7c-f79217d463de", agent.id)
            assertEquals("http://localhost:3773", agent.url)
            eventually("a second heartbeat") { core.heartbeats.size >= 2 }
            agent.stop()
            agent.join()

            val registration = core.registrations.single()
            assertEquals(Json.write(config.keys), registration.configJson)
            assertEquals(listOf("echo", "inline"), registration.skillsList.map { it.name })
            assertEquals(listOf("text/plain"), registration.getSkills(1).inputModesList)
            assertEquals(agent.id, core.heartbeats.first().agentId)
            assertTrue(core.heartbeats.first().timestamp > 0)
            assertEquals(agent.id, core.unregistrations.single().agentId)
            assertEquals(registration.grpcCallbackAddress, core.headers.last().get(callbackHeader))
        }
    }

    @Test
    fun `a refusal is told to who asked`() {
        FakeCore().use { core ->
            core.refusal = "Registration failed: no"
            val error = assertThrows<BinduException> { bindufy(config(1), core.options()) { "" } }
            assertEquals("Registration failed: no", error.message)
        }
    }

    @Test
    fun `a core that is not there is told, within the time for its start`() {
        val options = Options(core = "127.0.0.1:${freePort()}", launch = false, startTimeout = 1.milliseconds, log = {})
        val error = assertThrows<BinduException> { bindufy(config(1), options) { "" } }
        assertTrue(error.message!!.contains(options.core), error.message)
    }

    @Test
    fun `an agent that the core does not know registers again`() {
        FakeCore().use { core ->
            bindufy(config(1), core.options().copy(heartbeat = 20.milliseconds)) { "" }.use {
                core.knows = false
                eventually("another registration") { core.registrations.size == 2 }
                assertEquals(1, core.registrations.map { it.grpcCallbackAddress }.distinct().size)
            }
        }
    }

    @Test
    fun `a core that was gone is registered with as soon as it is back, whatever the heartbeat`() {
        val first = FakeCore()
        bindufy(config(1), first.options().copy(heartbeat = 10.minutes)) { "" }.use {
            val port = first.port
            first.close()
            FakeCore(port).use { second ->
                eventually("a registration with the new core") { second.registrations.isNotEmpty() }
            }
        }
    }

    @Test
    fun `a turn that runs may end while the agent stops, and one that does not end is cancelled`() {
        for (ends in listOf(true, false)) {
            FakeCore().use { core ->
                val running = CountDownLatch(1)
                val go = CountDownLatch(1)
                val grace = if (ends) 1.minutes else 100.milliseconds
                val agent = bindufy(config(1), core.options().copy(grace = grace)) {
                    running.countDown()
                    if (ends) go.await() else kotlinx.coroutines.awaitCancellation()
                    "done"
                }
                val call = AgentHandlerGrpc.newFutureStub(core.sdk()).handleMessages(request(""))
                assertTrue(running.await(LIMIT.inWholeSeconds, TimeUnit.SECONDS))
                val stop = Thread { agent.stop() }.apply { start() }
                eventually("leave was taken") { core.unregistrations.isNotEmpty() }
                go.countDown()
                val result = runCatching { call.get(LIMIT.inWholeSeconds, TimeUnit.SECONDS).content }
                assertEquals(ends, result.getOrNull() == "done", result.toString())
                stop.join()
            }
        }
    }
}
