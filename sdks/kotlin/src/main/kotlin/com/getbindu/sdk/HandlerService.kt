package com.getbindu.sdk

import com.getbindu.grpc.AgentHandlerGrpc
import com.getbindu.grpc.GetCapabilitiesRequest
import com.getbindu.grpc.GetCapabilitiesResponse
import com.getbindu.grpc.HandleRequest
import com.getbindu.grpc.HandleResponse
import com.getbindu.grpc.HealthCheckRequest
import com.getbindu.grpc.HealthCheckResponse
import com.getbindu.grpc.SkillDefinition
import io.grpc.Context
import io.grpc.Contexts
import io.grpc.Metadata
import io.grpc.ServerCall
import io.grpc.ServerCallHandler
import io.grpc.ServerInterceptor
import io.grpc.Status
import io.grpc.stub.ServerCallStreamObserver
import io.grpc.stub.StreamObserver
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch

/** How much of an exception's message is passed on: trailers of HTTP/2 have little room. */
private const val MAX_DETAILS = 1000

/** What the core asks this process for. Each turn runs in a coroutine, which ends with the call. */
internal class HandlerService(
    private val config: AgentConfig,
    private val skills: List<SkillDefinition>,
    private val handler: Handler,
    options: Options,
) : AgentHandlerGrpc.AgentHandlerImplBase() {
    private val scope = CoroutineScope(SupervisorJob() + options.dispatcher)

    /** Whether new work is welcome. */
    @Volatile
    var isStopping = false

    override fun handleMessages(request: HandleRequest, observer: StreamObserver<HandleResponse>) {
        val turn = request.toTurn()
        answer(observer) { send -> send(handler.whole(turn)) }
    }

    override fun handleMessagesStream(request: HandleRequest, observer: StreamObserver<HandleResponse>) {
        val turn = request.toTurn()
        answer(observer) { send -> handler.pieces(turn).collect(send) }
    }

    override fun getCapabilities(
        request: GetCapabilitiesRequest,
        observer: StreamObserver<GetCapabilitiesResponse>,
    ) {
        val response = GetCapabilitiesResponse.newBuilder()
            .setName(config.name)
            .setDescription(config.keys["description"]?.toString().orEmpty())
            .setVersion(config.keys["version"]?.toString().orEmpty())
            .setSupportsStreaming(handler is Handler.Streaming)
            .addAllSkills(skills)
        observer.onNext(response.build())
        observer.onCompleted()
    }

    override fun healthCheck(request: HealthCheckRequest, observer: StreamObserver<HealthCheckResponse>) {
        val response = HealthCheckResponse.newBuilder()
            .setHealthy(!isStopping)
            .setMessage(if (isStopping) "stopping" else "OK")
        observer.onNext(response.build())
        observer.onCompleted()
    }

    /** Cancels the turns that still run. */
    fun cancel() = scope.cancel()

    // Started even if the agent stops at this moment: each call is closed by its coroutine.
    @OptIn(DelicateCoroutinesApi::class)
    private fun answer(
        observer: StreamObserver<HandleResponse>,
        work: suspend (send: suspend (HandleResponse) -> Unit) -> Unit,
    ) {
        val call = observer as ServerCallStreamObserver<HandleResponse>
        val ready = Channel<Unit>(Channel.CONFLATED)
        val turn = scope.launch(start = CoroutineStart.ATOMIC) {
            val failure = try {
                work { response ->
                    // A reader that is slower than the handler holds the handler back.
                    while (!call.isReady) ready.receive()
                    call.onNext(response)
                }
                null
            } catch (error: CancellationException) {
                // A handler's own time-out is a failure like any other.
                if (isActive) internal(error) else Status.CANCELLED.withDescription("the SDK is stopping")
            } catch (@Suppress("TooGenericExceptionCaught") error: Throwable) {
                internal(error)
            }
            if (failure == null) call.onCompleted() else call.onError(failure.asRuntimeException())
        }
        call.setOnReadyHandler { ready.trySend(Unit) }
        call.setOnCancelHandler { turn.cancel() }
    }

    private fun internal(error: Throwable): Status {
        val details = error.message?.takeIf { it.isNotBlank() } ?: error::class.java.simpleName
        return Status.INTERNAL.withDescription(details.take(MAX_DETAILS))
    }

    private fun HandleRequest.toTurn(): Turn {
        val headers = HEADERS.get()
        return Turn(
            messages = messagesList.map { ChatMessage(it.role, it.content) },
            taskId = taskId.ifEmpty { headers?.get(TASK_ID).orEmpty() },
            contextId = contextId.ifEmpty { headers?.get(CONTEXT_ID).orEmpty() },
            agentId = headers?.get(AGENT_ID).orEmpty(),
            traceparent = headers?.get(TRACEPARENT),
        )
    }

    /** Makes the headers of a call known to its method. */
    object Headers : ServerInterceptor {
        override fun <Q, R> interceptCall(
            call: ServerCall<Q, R>,
            headers: Metadata,
            next: ServerCallHandler<Q, R>,
        ): ServerCall.Listener<Q> =
            Contexts.interceptCall(Context.current().withValue(HEADERS, headers), call, headers, next)
    }
}

private val HEADERS = Context.key<Metadata>("headers")
private val TASK_ID = header("x-bindu-task-id")
private val CONTEXT_ID = header("x-bindu-context-id")
private val AGENT_ID = header("x-bindu-agent-id")
private val TRACEPARENT = header("traceparent")

/** A header whose value is text. */
internal fun header(name: String): Metadata.Key<String> =
    Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER)
