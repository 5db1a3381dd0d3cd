package com.getbindu.sdk

import com.getbindu.grpc.AgentHandlerGrpc
import com.getbindu.grpc.GetCapabilitiesRequest
import com.getbindu.grpc.HandleResponse
import com.getbindu.grpc.HealthCheckRequest
import io.grpc.Metadata
import io.grpc.Status
import io.grpc.StatusRuntimeException
import io.grpc.stub.MetadataUtils
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOf
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** What the core gets for what it asks. */
class HandlerTest {
    private val core = FakeCore()

    @AfterEach
    fun close() = core.close()

    private fun <T> served(handler: suspend (Turn) -> Any?, ask: (AgentHandlerGrpc.AgentHandlerBlockingStub) -> T): T =
        bindufy(config(1), core.options(), handler).use { ask(core.sdk().handler()) }

    private fun failure(handler: suspend (Turn) -> Any?): Status = served(handler) { sdk ->
        assertThrows<StatusRuntimeException> { sdk.handleMessages(request("")) }.status
    }

    private fun sent(build: HandleResponse.Builder.() -> Unit): HandleResponse =
        HandleResponse.newBuilder().apply(build).build()

    @Test
    fun `a handler sees the conversation and where it stands`() {
        val headers = Metadata()
        headers.put(header("x-bindu-agent-id"), "agent")
        headers.put(header("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        var seen: Turn? = null
        val answer = served({ turn -> turn.text.uppercase().also { seen = turn } }) { sdk ->
            sdk.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers)).handleMessages(request("hello"))
        }
        assertEquals(sent { setContent("HELLO").setIsFinal(true) }, answer)
        val trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assertEquals(Turn(listOf(ChatMessage("user", "hello")), "task", "context", "agent", trace), seen)
    }

    @Test
    fun `an answer may ask back`() {
        val response = HandlerResponse("", State.INPUT_REQUIRED, "Which?", mapOf("step" to "1"))
        val expected = sent {
            setState("input-required").setPrompt("Which?").setIsFinal(true).putMetadata("step", "1")
        }
        assertEquals(expected, served({ response }) { it.handleMessages(request("")) })
    }

    @Test
    fun `what a handler throws is the status, in a size that fits`() {
        val thrown = failure { throw IllegalStateException("no such city") }
        assertEquals(Status.Code.INTERNAL to "no such city", thrown.code to thrown.description)
        assertEquals("StackOverflowError", failure { throw StackOverflowError() }.description)
        assertEquals(1000, failure { error("x".repeat(100_000)) }.description!!.length)
        assertEquals("the handler returned nothing", failure { }.description)
        assertTrue(failure { withTimeout(1) { awaitCancellation() } }.description!!.contains("1 ms"))
    }

    @Test
    fun `a flow of an ordinary handler is sent as one text`() {
        val answer = served({ flowOf("a", "b") }) { it.handleMessages(request("")) }
        assertEquals(sent { setContent("ab").setIsFinal(true) }, answer)
    }

    @Test
    fun `pieces are sent one by one and the last is marked`() {
        bindufyStreaming(config(1), core.options()) { turn ->
            when (turn.text) {
                "ask" -> flowOf("hm ", HandlerResponse.inputRequired("Which?"), "never")
                else -> flowOf("a", "b")
            }
        }.use {
            val sdk = core.sdk().handler()
            assertTrue(sdk.getCapabilities(GetCapabilitiesRequest.getDefaultInstance()).supportsStreaming)
            assertEquals(
                listOf(sent { setContent("a") }, sent { setContent("b") }, sent { setIsFinal(true) }),
                sdk.handleMessagesStream(request("")).asSequence().toList(),
            )
            val question = sent { setState("input-required").setPrompt("Which?").setIsFinal(true) }
            assertEquals(
                listOf(sent { setContent("hm ") }, question),
                sdk.handleMessagesStream(request("ask")).asSequence().toList(),
            )
            assertEquals(question, sdk.handleMessages(request("ask")))
            assertEquals(sent { setContent("ab").setIsFinal(true) }, sdk.handleMessages(request("")))
        }
    }

    @Test
    fun `a handler is held back by a reader that does not read`() {
        val emitted = AtomicInteger()
        val piece = "x".repeat(100_000)
        bindufyStreaming(config(1), core.options()) {
            flow {
                repeat(200) {
                    emit(piece)
                    emitted.incrementAndGet()
                }
            }
        }.use {
            val pieces = core.sdk().handler().handleMessagesStream(request(""))
            assertEquals(piece, pieces.next().content)
            assertTrue(emitted.get() < 150, "${emitted.get()} of 200 pieces were emitted for one that was read")
            assertEquals(200, 1 + pieces.asSequence().count { it.content.isNotEmpty() })
        }
    }

    @Test
    fun `a call that is cancelled cancels the handler`() {
        val running = CountDownLatch(1)
        val cancelled = CountDownLatch(1)
        val handler: suspend (Turn) -> Any? = {
            try {
                running.countDown()
                awaitCancellation()
            } finally {
                cancelled.countDown()
            }
        }
        served(handler) {
            val call = AgentHandlerGrpc.newFutureStub(core.sdk()).handleMessages(request(""))
            assertTrue(running.await(LIMIT.inWholeSeconds, TimeUnit.SECONDS))
            call.cancel(true)
            assertTrue(cancelled.await(LIMIT.inWholeSeconds, TimeUnit.SECONDS))
        }
    }

    @Test
    fun `capabilities and health are told`() {
        served({ "" }) { sdk ->
            val capabilities = sdk.getCapabilities(GetCapabilitiesRequest.getDefaultInstance())
            assertEquals("kotlin-test" to "1.0.0", capabilities.name to capabilities.version)
            assertFalse(capabilities.supportsStreaming)
            val health = sdk.healthCheck(HealthCheckRequest.getDefaultInstance())
            assertEquals(true to "OK", health.healthy to health.message)
        }
    }
}
