package com.getbindu.sdk

import java.io.File
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.Socket
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.delay
import kotlinx.coroutines.runInterruptible

/** What each line of the core's output begins with. */
private const val PREFIX = "[bindu-core] "

/** How often the port is tried. */
private val BEAT = 50.milliseconds

/** How long one connection may take to be made. */
private val CONNECT = 1.seconds

/**
 * The core: one that is there, or else a process of our own.
 *
 * [onExit] is called when a process of our own has ended, on a thread of the JDK's.
 */
internal class Core(
    private val address: Address,
    private val options: Options,
    private val onExit: () -> Unit,
) {
    @Volatile
    private var process: Process? = null
    private var isClosed = false

    /** Whether we started a core, be it alive or not. */
    val isOurs: Boolean
        get() = process != null

    /** Returns when a core answers. Starts one if none does and one may be started. */
    suspend fun ensure() {
        if (answers()) {
            if (!isOurs) options.log("Bindu core already running on $address")
            return
        }
        var started = process?.takeIf { it.isAlive }
        if (started == null && options.launch && address.isLocal) started = start()
        val since = TimeSource.Monotonic.markNow()
        while (!answers()) {
            if (started != null && !started.isAlive && !answers()) {
                throw BinduException("bindu ended with code ${started.exitValue()} before it answered on $address")
            }
            if (since.elapsedNow() >= options.startTimeout) {
                throw BinduException("no Bindu core answered on $address within ${options.startTimeout}")
            }
            delay(BEAT)
        }
        // Somebody else was faster: then ours finds the port taken, and ends.
        if (started != null && !started.isAlive) process = null
    }

    @Synchronized
    private fun start(): Process {
        if (isClosed) throw BinduException("the agent is stopped")
        val program = findBinary(options.binary, System.getenv())
        val command = listOf(program.toString(), "serve", "--grpc", "--grpc-port", address.port.toString())
        options.log("Starting Bindu core: ${command.joinToString(" ")}")
        val builder = ProcessBuilder(command).redirectErrorStream(true)
        options.directory?.let { builder.directory(it.toFile()) }
        builder.environment().putAll(options.environment)
        val started = try {
            builder.start()
        } catch (error: IOException) {
            throw BinduException("$program cannot be started", error)
        }
        started.outputStream.close()
        thread(isDaemon = true, name = "bindu-core-output") { forward(started) }
        started.onExit().thenRun { onExit() }
        process = started
        return started
    }

    private fun forward(started: Process) {
        try {
            started.inputReader().forEachLine { options.log(PREFIX + it) }
        } catch (_: IOException) {
            // The stream is closed under the reader when the process is destroyed.
        }
    }

    /** Ends a core that we started; another one is left alone. Blocks, twice the grace at most. */
    fun stop() {
        synchronized(this) { isClosed = true }
        val started = process ?: return
        started.destroy()
        val grace = options.grace.inWholeMilliseconds
        if (!started.waitFor(grace, TimeUnit.MILLISECONDS)) {
            started.destroyForcibly().waitFor(grace, TimeUnit.MILLISECONDS)
        }
    }

    private suspend fun answers(): Boolean = runInterruptible(SdkThreads) {
        val resolved = try {
            InetAddress.getAllByName(address.host)
        } catch (_: IOException) {
            emptyArray()
        }
        resolved.any { host ->
            try {
                val timeout = CONNECT.inWholeMilliseconds.toInt()
                Socket().use { it.connect(InetSocketAddress(host, address.port), timeout) }
                true
            } catch (_: IOException) {
                false
            }
        }
    }
}

/** The program: as named, else `BINDU_BIN`, else `bindu` in a folder of `PATH`. */
internal fun findBinary(named: Path?, environment: Map<String, String>): Path {
    fun isProgram(path: Path) = Files.isRegularFile(path) && Files.isExecutable(path)
    val chosen = named ?: environment["BINDU_BIN"]?.takeIf { it.isNotEmpty() }?.let(Path::of)
    if (chosen != null) {
        if (isProgram(chosen)) return chosen
        throw BinduException("$chosen is no program (${if (named != null) "binary" else "BINDU_BIN"})")
    }
    val folders = environment["PATH"].orEmpty().split(File.pathSeparatorChar).filter { it.isNotEmpty() }
    return folders.flatMap { listOf(Path.of(it, "bindu"), Path.of(it, "bindu.exe")) }.firstOrNull(::isProgram)
        ?: throw BinduException("the program bindu is not installed: put it on the PATH, or name it in BINDU_BIN")
}
