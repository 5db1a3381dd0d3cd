package com.getbindu.sdk

import java.io.IOException
import java.net.Socket
import java.nio.file.Path
import java.util.concurrent.Callable
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.runInterruptible
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

/** With the program `bindu` that `BINDU_BIN` names, as callers see it over HTTP. */
class RealCoreTest {
    @TempDir
    lateinit var folder: Path

    private val corePort = freePort()
    private val agentPort = freePort()
    private val agent = A2a("http://127.0.0.1:$agentPort")
    private val processes = mutableListOf<Process>()
    private val senders = Executors.newFixedThreadPool(8)

    // A file keeps the tasks of one agent, over the death of a core.
    private val environment: Map<String, String>
        get() = mapOf(
            "STORAGE_TYPE" to "sqlite",
            "DATABASE_URL" to "sqlite:$folder/tasks.db",
            "GRPC__HOST" to "127.0.0.1",
            "LOGGING__DEFAULT_LEVEL" to "WARNING",
            "WORKER__CONCURRENCY" to "64",
            // So long it takes until a task of a core that was killed is taken up again.
            "WORKER__LEASE_SECONDS" to "6",
            "WORKER__HEARTBEAT_SECONDS" to "2",
        )

    /** Starts a core if there is none. */
    private fun options() = Options(
        core = "127.0.0.1:$corePort",
        binary = binary(),
        directory = folder,
        environment = environment,
        heartbeat = 1.minutes,
    )

    /** A core that belongs to no agent. */
    private fun startCore(storage: String = "sqlite"): Process {
        val builder = ProcessBuilder(binary().toString(), "serve", "--grpc", "--grpc-port", "$corePort")
        builder.environment().putAll(environment + ("STORAGE_TYPE" to storage))
        val core = builder.directory(folder.toFile()).inheritIO().start()
        processes += core
        eventually("a core") { runCatching { Socket("127.0.0.1", corePort).close() }.isSuccess }
        return core
    }

    /** The core that an agent in this process has started. */
    private fun ownCore(): ProcessHandle {
        val program = binary().toRealPath().toString()
        return ProcessHandle.current().children().filter { it.info().command().orElse("") == program }.toList().single()
    }

    /** Sends so many messages side by side; gives the tasks that the agent took. */
    private fun sendMany(count: Int, text: String): List<Future<String?>> = List(count) {
        senders.submit(
            Callable {
                try {
                    agent.send(text)
                } catch (_: IOException) {
                    // Nobody was there to take it.
                    null
                }
            },
        )
    }

    /** Checks that each task has come to one end, and stays there; counts them by it. */
    private fun ends(tasks: List<String>): Map<String?, Int> {
        val first = tasks.associateWith { agent.settled(it) }
        for ((id, task) in first) {
            assertEquals(task.state, agent.task(id).state, "task $id came to two ends")
            assertEquals(task.state == "completed", task.result.isNotEmpty(), "task $id: $task")
        }
        return first.values.groupingBy { it.state }.eachCount()
    }

    @AfterEach
    fun close() {
        senders.shutdownNow()
        processes.forEach { it.destroyForcibly().waitFor() }
    }

    @Test
    fun `an agent answers, asks back and fails`() {
        bindufy(config(agentPort), options(), ::obey).use { served ->
            assertEquals("http://127.0.0.1:$agentPort", served.url)
            val echo = agent.settled(agent.send("hello"))
            assertEquals("completed" to "hello", echo.state to echo.result)

            val task = newId()
            val context = newId()
            agent.send("ask", task, context)
            val asked = agent.settled(task)
            assertEquals("input-required" to "Which?", asked.state to asked.lastMessage)
            agent.send("this one", task, context)
            eventually("the end of the task") { agent.task(task).state == "completed" }
            assertEquals("this one", agent.task(task).result)

            val failed = agent.settled(agent.send("fail"))
            assertEquals("failed", failed.state)
            assertTrue(failed.lastMessage.endsWith("INTERNAL: as I was told"), failed.lastMessage)
        }
    }

    @Test
    fun `pieces reach a caller while the handler is still at work`() {
        val seen = CountDownLatch(1)
        val served = bindufyStreaming(config(agentPort), options()) {
            flow {
                emit("one ")
                runInterruptible { seen.await() }
                emit("two")
            }
        }
        served.use {
            var text = ""
            var pieces = 0
            for (event in agent.stream("go").filter { it["kind"]?.jsonPrimitive?.content == "artifact-update" }) {
                text += event.result
                pieces += 1
                if (text.contains("one")) seen.countDown()
            }
            assertTrue(text.startsWith("one two"), text)
            assertTrue(pieces >= 2, "$pieces pieces")
        }
    }

    @Test
    fun `an agent that is killed and started again under load loses no task`() {
        startCore()
        val core = "127.0.0.1:$corePort"
        val killed = startChild(core, agentPort).also { processes += it }
        val before = sendMany(20, "slow 300").map { it.get() }
        killed.destroyForcibly().waitFor()
        val between = sendMany(20, "slow 20")
        processes += startChild(core, agentPort)
        val after = sendMany(20, "slow 20").map { it.get() }

        val tasks = (before + between.map { it.get() } + after).filterNotNull()
        assertEquals(60, tasks.size, "the agent's listener is the core's, which was there")
        val ends = ends(tasks)
        assertEquals(setOf("completed", "failed"), ends.keys + "failed", "$ends")
        assertEquals(mapOf<String?, Int>("completed" to 20), ends(after.filterNotNull()))
    }

    @Test
    fun `a core that is killed is started again, and tasks in flight come to an end`() {
        bindufy(config(agentPort), options(), ::obey).use { served ->
            val tasks = sendMany(10, "slow 300").mapNotNull { it.get() }
            val core = ownCore()
            core.destroyForcibly()
            core.onExit().get()
            eventually("a new core with the agent") { runCatching { agent.send("hello") }.isSuccess }
            val did = served.did
            assertEquals(mapOf<String?, Int>("completed" to 10), ends(tasks))
            val again = agent.settled(agent.send("hello"))
            assertEquals("completed", again.state)
            assertEquals(did, served.did)
        }
    }

    @Test
    fun `two instances share the work, and one that leaves takes none along`() {
        startCore()
        val running = List(2) { AtomicInteger() }
        val go = CountDownLatch(1)
        val instances = running.map { count ->
            bindufy(config(agentPort), options()) { turn ->
                count.incrementAndGet()
                runInterruptible { go.await() }
                turn.text
            }
        }
        instances.last().use {
            val tasks = sendMany(12, "hello").mapNotNull { it.get() }
            eventually("all tasks at work") { running.sumOf { it.get() } == 12 }
            assertEquals(listOf(6, 6), running.map { it.get() })
            val stop = Thread { instances.first().stop() }.apply { start() }
            go.countDown()
            stop.join()
            assertEquals(mapOf<String?, Int>("completed" to 12), ends(tasks))
            assertEquals("completed", agent.settled(agent.send("hello")).state)
        }
    }

    @Test
    fun `an agent that stops lets its tasks end`() {
        startCore()
        val running = AtomicInteger()
        val served = bindufy(config(agentPort), options()) { turn ->
            running.incrementAndGet()
            delay(1.seconds)
            turn.text
        }
        val tasks = sendMany(10, "hello").mapNotNull { it.get() }
        eventually("all tasks at work") { running.get() == 10 }
        served.stop()
        assertThrows<IOException>("the agent still listens") { agent.send("hello") }

        bindufy(config(agentPort), options(), ::obey).use {
            assertEquals(mapOf<String?, Int>("completed" to 10), ends(tasks))
        }
    }

    @Test
    fun `the examples run, and take their agents away when they are told to end`() {
        startCore("memory")
        for ((example, answer) in listOf("echo.Echo" to "one two", "stream.Stream" to "one two ")) {
            val child = startChild("127.0.0.1:$corePort", agentPort, "com.getbindu.examples.${example}Kt")
            processes += child
            val task = agent.settled(agent.send("one two"))
            assertEquals("completed" to answer, task.state to task.result)
            child.destroy()
            child.waitFor()
            assertThrows<IOException>("the agent still listens") { agent.send("hello") }
        }
    }

    @Test
    fun `a core of somebody else's that is gone for long is replaced`() {
        val found = startCore()
        bindufy(config(agentPort), options().copy(takeOver = 0.seconds), ::obey).use {
            found.destroyForcibly().waitFor()
            eventually("an agent behind another core") { runCatching { agent.send("hello") }.isSuccess }
            assertTrue(ownCore().isAlive)
        }
    }

    @Test
    fun `a core that an agent started ends with it`() {
        val served = bindufy(config(agentPort), options(), ::obey)
        val core = ownCore()
        served.stop()
        assertFalse(core.isAlive)
    }
}
