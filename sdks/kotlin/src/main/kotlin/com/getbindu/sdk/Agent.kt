package com.getbindu.sdk

import com.getbindu.grpc.BinduServiceGrpc
import com.getbindu.grpc.BinduServiceGrpc.BinduServiceBlockingStub
import com.getbindu.grpc.HeartbeatRequest
import com.getbindu.grpc.RegisterAgentRequest
import com.getbindu.grpc.RegisterAgentResponse
import com.getbindu.grpc.UnregisterAgentRequest
import io.grpc.ConnectivityState
import io.grpc.ManagedChannel
import io.grpc.Metadata
import io.grpc.Server
import io.grpc.StatusRuntimeException
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder
import io.grpc.stub.MetadataUtils
import java.net.InetSocketAddress
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.runInterruptible
import kotlinx.coroutines.withTimeoutOrNull

/** Threads of the SDK's own, which blocking handlers cannot use up. */
internal val SdkThreads: CoroutineDispatcher = Dispatchers.IO.limitedParallelism(8, "bindu-sdk")

/** How long an answer to a heartbeat may take. */
private val ANSWER = 10.seconds

/** The pauses between attempts to find the core again, and how long it takes to forget them. */
private val FIRST_PAUSE = 100.milliseconds
private val LONGEST_PAUSE = 10.seconds
private val FORGIVEN = 1.minutes

/**
 * Makes an agent of [handler] and returns once it can be reached over HTTP.
 *
 * The handler returns a text, a [HandlerResponse], or a [Flow] of texts, which is sent as one; what
 * else it returns is sent as its `toString()`. What it throws fails the task with the exception's
 * message. It is cancelled when nobody wants its answer any more.
 *
 * @throws BinduException if there is no core and none can be started, or the core refuses.
 */
public fun bindufy(
    config: AgentConfig,
    options: Options = Options(),
    handler: suspend (turn: Turn) -> Any?,
): Agent = Agent(config, options, Handler.Once(handler)).start()

/**
 * Makes an agent of a handler that answers in pieces: whoever follows the task gets each text as it
 * is emitted, and all of them together are the result. A [HandlerResponse] ends the stream.
 *
 * @throws BinduException as [bindufy] does.
 */
public fun bindufyStreaming(
    config: AgentConfig,
    options: Options = Options(),
    handler: (turn: Turn) -> Flow<Any>,
): Agent = Agent(config, options, Handler.Streaming(handler)).start()

/**
 * An agent that is served: a handler in this process, registered with a core.
 *
 * It stays registered, whatever becomes of the core, until [stop] or the end of this process.
 */
public class Agent internal constructor(
    config: AgentConfig,
    private val options: Options,
    handler: Handler,
) : AutoCloseable {
    private val address = Address.parse(options.core)
    private val skills = config.skills.map { it.toProto() }
    private val service = HandlerService(config, skills, handler, options)
    private val configJson = Json.write(config.keys)
    private val wake = Channel<Unit>(Channel.CONFLATED)
    private val core = Core(address, options) { wake.trySend(Unit) }
    private val keeper = CoroutineScope(SdkThreads).launch(start = CoroutineStart.LAZY) { keep() }
    private val stopped = AtomicBoolean()
    private val ended = CountDownLatch(1)
    private val hook = thread(start = false, name = "bindu-stop") { stop() }
    private val server: Server = NettyServerBuilder
        .forAddress(InetSocketAddress(options.callbackHost, options.callbackPort))
        .addService(service)
        .intercept(HandlerService.Headers)
        .maxInboundMessageSize(options.maxMessageBytes)
        .build()
    private val channel: ManagedChannel = NettyChannelBuilder.forAddress(address.host, address.port)
        .usePlaintext()
        .maxInboundMessageSize(options.maxMessageBytes)
        .build()

    @Volatile
    private var registration = RegisterAgentResponse.getDefaultInstance()
    private var pause = FIRST_PAUSE
    private var found = TimeSource.Monotonic.markNow()

    /** The agent's id: a UUID. */
    public val id: String get() = registration.agentId

    /** The agent's DID. */
    public val did: String get() = registration.did

    /** Where the agent is reached over HTTP. */
    public val url: String get() = registration.agentUrl

    /** Where the core reaches this process. */
    public val callback: String get() = Address(options.callbackHost, server.port).toString()

    internal fun start(): Agent {
        try {
            Runtime.getRuntime().addShutdownHook(hook)
            server.start()
            runBlocking {
                core.ensure()
                register()
            }
        } catch (@Suppress("TooGenericExceptionCaught") error: Throwable) {
            stop()
            throw if (error is BinduException) error else BinduException("the agent cannot be started", error)
        }
        watch()
        keeper.start()
        options.log("Agent $id ($did) answers at $url")
        return this
    }

    /** Blocks until the agent is stopped. */
    public fun join(): Unit = ended.await()

    /**
     * Takes the agent away. Turns that run may end, for [Options.grace]; then a core that was
     * started by this agent is ended. Blocks until all of that is done.
     */
    public fun stop() {
        if (!stopped.compareAndSet(false, true)) return join()
        // Joined, so that nothing registers after this.
        runBlocking { keeper.cancelAndJoin() }
        service.isStopping = true
        // The core first: it holds new turns back, where we could only let them fail.
        if (id.isNotEmpty()) unregister()
        server.shutdown()
        if (!server.awaitTermination(options.grace.inWholeMilliseconds, TimeUnit.MILLISECONDS)) {
            service.cancel()
            server.shutdownNow().awaitTermination(1, TimeUnit.SECONDS)
        }
        channel.shutdownNow()
        core.stop()
        try {
            Runtime.getRuntime().removeShutdownHook(hook)
        } catch (_: IllegalStateException) {
            // We are in it.
        }
        ended.countDown()
    }

    override fun close(): Unit = stop()

    private fun stub(timeout: Duration): BinduServiceBlockingStub {
        val headers = Metadata()
        headers.put(header("x-bindu-callback"), callback)
        val token = options.environment[TOKEN] ?: System.getenv(TOKEN)
        if (!token.isNullOrEmpty()) headers.put(header("authorization"), "Bearer $token")
        return BinduServiceGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
            .withDeadlineAfter(timeout.inWholeMilliseconds, TimeUnit.MILLISECONDS)
    }

    private suspend fun register() {
        val request = RegisterAgentRequest.newBuilder()
            .setConfigJson(configJson)
            .addAllSkills(skills)
            .setGrpcCallbackAddress(callback)
            .build()
        // Without this, it may be minutes until a core that was gone is tried again.
        channel.resetConnectBackoff()
        val response = runInterruptible(SdkThreads) { stub(options.registerTimeout).registerAgent(request) }
        if (!response.success) throw BinduException(response.error)
        registration = response
    }

    private fun unregister() {
        val request = UnregisterAgentRequest.newBuilder().setAgentId(id).build()
        try {
            // The core lets turns end before it answers.
            stub(options.grace + 1.seconds).unregisterAgent(request)
        } catch (_: StatusRuntimeException) {
            // A core that is gone knows no agent.
        }
    }

    /** Keeps the agent registered. */
    private suspend fun keep() {
        while (true) {
            withTimeoutOrNull(options.heartbeat) { wake.receive() }
            val request = HeartbeatRequest.newBuilder().setAgentId(id).setTimestamp(System.currentTimeMillis())
            val isKnown = try {
                runInterruptible(SdkThreads) { stub(ANSWER).heartbeat(request.build()).acknowledged }
            } catch (_: StatusRuntimeException) {
                false
            }
            if (!isKnown) recover()
        }
    }

    /** Registers the agent again, with a core that may first have to be started. */
    private suspend fun recover() {
        if (found.elapsedNow() >= FORGIVEN) pause = FIRST_PAUSE
        val lost = TimeSource.Monotonic.markNow()
        while (true) {
            try {
                if (core.isOurs || lost.elapsedNow() >= options.takeOver) core.ensure()
                register()
                options.log("Agent $id is registered again")
                found = TimeSource.Monotonic.markNow()
                return
            } catch (error: StatusRuntimeException) {
                options.log("Bindu core lost: ${error.status.code}")
            } catch (error: BinduException) {
                options.log("Bindu core lost: ${error.message}")
            }
            delay(pause)
            pause = minOf(pause * 2, LONGEST_PAUSE)
        }
    }

    /** Looks after the core at once when the connection to it breaks. */
    private fun watch() {
        val state = channel.getState(false)
        if (state == ConnectivityState.SHUTDOWN) return
        channel.notifyWhenStateChanged(state) {
            if (state == ConnectivityState.READY) wake.trySend(Unit)
            watch()
        }
    }

    private companion object {
        const val TOKEN = "GRPC__AUTH_TOKEN"
    }
}
