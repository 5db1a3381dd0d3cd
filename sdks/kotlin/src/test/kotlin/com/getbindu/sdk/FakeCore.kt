package com.getbindu.sdk

import com.getbindu.grpc.AgentHandlerGrpc
import com.getbindu.grpc.BinduServiceGrpc
import com.getbindu.grpc.ChatMessage as ProtoMessage
import com.getbindu.grpc.HandleRequest
import com.getbindu.grpc.HeartbeatRequest
import com.getbindu.grpc.HeartbeatResponse
import com.getbindu.grpc.RegisterAgentRequest
import com.getbindu.grpc.RegisterAgentResponse
import com.getbindu.grpc.UnregisterAgentRequest
import com.getbindu.grpc.UnregisterAgentResponse
import io.grpc.ManagedChannel
import io.grpc.Metadata
import io.grpc.Server
import io.grpc.ServerCall
import io.grpc.ServerCallHandler
import io.grpc.ServerInterceptor
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder
import io.grpc.stub.StreamObserver
import java.net.InetSocketAddress
import java.util.concurrent.CopyOnWriteArrayList

/** A core in this process, for what the real one does not show: who said what, and when. */
class FakeCore(port: Int = 0) : BinduServiceGrpc.BinduServiceImplBase(), AutoCloseable {
    val registrations = CopyOnWriteArrayList<RegisterAgentRequest>()
    val heartbeats = CopyOnWriteArrayList<HeartbeatRequest>()
    val unregistrations = CopyOnWriteArrayList<UnregisterAgentRequest>()
    val headers = CopyOnWriteArrayList<Metadata>()

    /** Whether the next heartbeats are acknowledged: after a registration, unless changed. */
    @Volatile
    var knows = false

    /** What registrations are refused for. */
    @Volatile
    var refusal = ""

    private val server: Server = NettyServerBuilder.forAddress(InetSocketAddress("127.0.0.1", port))
        .addService(this)
        .intercept(object : ServerInterceptor {
            override fun <Q, R> interceptCall(
                call: ServerCall<Q, R>,
                headers: Metadata,
                next: ServerCallHandler<Q, R>,
            ): ServerCall.Listener<Q> {
                this@FakeCore.headers += headers
                return next.startCall(call, headers)
            }
        })
        .build()
        .start()

    private val channels = CopyOnWriteArrayList<ManagedChannel>()

    val port: Int get() = server.port

    /** Options that lead here, and start nothing. */
    fun options(): Options = Options(core = "127.0.0.1:$port", launch = false, log = {})

    /** A connection to whoever registered last. */
    fun sdk(): ManagedChannel {
        val callback = Address.parse(registrations.last().grpcCallbackAddress)
        val channel = NettyChannelBuilder.forAddress(callback.host, callback.port).usePlaintext().build()
        channels += channel
        return channel
    }

    override fun registerAgent(request: RegisterAgentRequest, observer: StreamObserver<RegisterAgentResponse>) {
        registrations += request
        knows = true
        val response = RegisterAgentResponse.newBuilder()
            .setSuccess(refusal.isEmpty())
            .setError(refusal)
            .setAgentId("53cbcb43-82ef-8a50-ba7c-f79217d463de")
            .setDid("did:bindu:dev_at_example_com:test:53cbcb43-82ef-8a50-ba7c-f79217d463de")
            .setAgentUrl("http://localhost:3773")
        observer.onNext(response.build())
        observer.onCompleted()
    }

    override fun heartbeat(request: HeartbeatRequest, observer: StreamObserver<HeartbeatResponse>) {
        heartbeats += request
        observer.onNext(HeartbeatResponse.newBuilder().setAcknowledged(knows).build())
        observer.onCompleted()
    }

    override fun unregisterAgent(request: UnregisterAgentRequest, observer: StreamObserver<UnregisterAgentResponse>) {
        unregistrations += request
        observer.onNext(UnregisterAgentResponse.newBuilder().setSuccess(true).build())
        observer.onCompleted()
    }

    override fun close() {
        channels.forEach { it.shutdownNow() }
        server.shutdownNow().awaitTermination()
    }
}

fun request(text: String): HandleRequest = HandleRequest.newBuilder()
    .addMessages(ProtoMessage.newBuilder().setRole("user").setContent(text))
    .setTaskId("task")
    .setContextId("context")
    .build()

fun ManagedChannel.handler(): AgentHandlerGrpc.AgentHandlerBlockingStub =
    AgentHandlerGrpc.newBlockingStub(this)
