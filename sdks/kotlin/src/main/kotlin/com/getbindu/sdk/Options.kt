package com.getbindu.sdk

import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers

/**
 * How the SDK reaches the core. The defaults fit a program that runs on its own machine.
 *
 * @property core where the core answers: `host:port`, or `[v6]:port`.
 * @property launch whether to start a core if none answers. Only done for this machine.
 * @property binary the program to start; else the environment's `BINDU_BIN`, else `bindu` from
 *   the `PATH`.
 * @property directory the folder a core is started in, where it keeps its keys and reads `.env`;
 *   else that of this process.
 * @property environment variables for a core that is started, besides those of this process.
 * @property callbackHost where the core reaches this process. It is listened on there, too.
 * @property callbackPort the port for that; 0 takes a free one.
 * @property heartbeat how often the core is told that this process lives.
 * @property startTimeout how long a core may take until it answers.
 * @property registerTimeout how long it may take to register the agent.
 * @property grace how long turns may run on after a stop, and then how long a core that was
 *   started may take to end.
 * @property takeOver how long a core that somebody else started may be gone before one is started
 *   in its place.
 * @property maxMessageBytes the limit of one gRPC message, in both directions.
 * @property dispatcher where handlers run. The default lets them block.
 * @property log where lines for people go, those of the core among them.
 */
public data class Options(
    val core: String = "localhost:3774",
    val launch: Boolean = true,
    val binary: Path? = null,
    val directory: Path? = null,
    val environment: Map<String, String> = emptyMap(),
    val callbackHost: String = "127.0.0.1",
    val callbackPort: Int = 0,
    val heartbeat: Duration = 30.seconds,
    val startTimeout: Duration = 30.seconds,
    val registerTimeout: Duration = 60.seconds,
    val grace: Duration = 5.seconds,
    val takeOver: Duration = 10.seconds,
    val maxMessageBytes: Int = 4 * 1024 * 1024,
    val dispatcher: CoroutineDispatcher = Dispatchers.IO,
    val log: (String) -> Unit = ::println,
)

/** What went wrong between this process and the core. */
public class BinduException(message: String, cause: Throwable? = null) :
    RuntimeException(message, cause)

/** A host and a port. */
internal data class Address(val host: String, val port: Int) {
    override fun toString(): String = if (':' in host) "[$host]:$port" else "$host:$port"

    /** Whether it is on this machine, so that a core may be started there. */
    val isLocal: Boolean
        get() = host == "localhost" || host == "::1" || host.startsWith("127.")

    companion object {
        fun parse(text: String): Address {
            val colon = text.lastIndexOf(':')
            val host = text.take(maxOf(colon, 0))
            val port = text.drop(colon + 1).toIntOrNull()
            val bare = if (host.startsWith("[") && host.endsWith("]")) host.drop(1).dropLast(1) else host
            val bracketed = bare != host
            if (port == null || port !in 1..65535 || bare.isEmpty() || (':' in bare) != bracketed) {
                throw BinduException("\"$text\" is no address such as localhost:3774")
            }
            return Address(bare, port)
        }
    }
}
