package com.getbindu.sdk

import com.getbindu.grpc.HandleResponse
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.flow.transformWhile

/** A developer's handler, asked in either of the two ways there are. */
internal sealed interface Handler {
    /** The answer in one. */
    suspend fun whole(turn: Turn): HandleResponse

    /** The answer piece by piece; the last piece is marked. */
    fun pieces(turn: Turn): Flow<HandleResponse>

    /** A handler that answers once. */
    class Once(private val handle: suspend (Turn) -> Any?) : Handler {
        override suspend fun whole(turn: Turn): HandleResponse = when (val result = handle(turn)) {
            is Flow<*> -> joined(result)
            else -> result.toResponse()
        }

        override fun pieces(turn: Turn): Flow<HandleResponse> = flow { emit(whole(turn)) }
    }

    /** A handler that answers in pieces. */
    class Streaming(private val handle: (Turn) -> Flow<Any>) : Handler {
        override suspend fun whole(turn: Turn): HandleResponse = joined(handle(turn))

        override fun pieces(turn: Turn): Flow<HandleResponse> = flow {
            var ended = false
            untilResponse(handle(turn)).collect {
                ended = it is HandlerResponse
                emit(it.toResponse(isFinal = ended))
            }
            if (!ended) emit(HandleResponse.newBuilder().setIsFinal(true).build())
        }
    }
}

/** The pieces up to a [HandlerResponse], which is the end wherever it comes. */
private fun untilResponse(pieces: Flow<*>): Flow<Any?> = pieces.transformWhile {
    emit(it)
    it !is HandlerResponse
}

/** A stream as one answer. What a response with a state says stands for the whole. */
private suspend fun joined(pieces: Flow<*>): HandleResponse {
    val all = untilResponse(pieces).toList().map { it.toResponse() }
    val last = all.lastOrNull() ?: return NOTHING
    if (last.state.isNotEmpty()) return last
    return last.toBuilder().setContent(all.joinToString("") { it.content }).build()
}

private val NOTHING = HandleResponse.newBuilder().setIsFinal(true).build()

private fun Any?.toResponse(isFinal: Boolean = true): HandleResponse {
    val response = HandleResponse.newBuilder().setIsFinal(isFinal)
    when (this) {
        // A handler that ends without a value forgot to return one: better said than guessed.
        null, is Unit -> error("the handler returned nothing")
        is HandlerResponse -> response.setContent(content)
            .setState(state.wire)
            .setPrompt(prompt)
            .putAllMetadata(metadata)
        else -> response.setContent(toString())
    }
    return response.build()
}
