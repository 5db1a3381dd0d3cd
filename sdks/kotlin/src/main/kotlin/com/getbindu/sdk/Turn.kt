package com.getbindu.sdk

/**
 * One message of a conversation.
 *
 * @property role `user`, `assistant` or `system`.
 * @property content its text. Files and data arrive as text too.
 */
public data class ChatMessage(val role: String, val content: String)

/**
 * What a handler is asked: a conversation whose last message wants an answer.
 *
 * @property messages the conversation, oldest first. A system prompt may stand before it.
 * @property taskId the task under work, or an empty text if the core did not say.
 * @property contextId the conversation the task belongs to, likewise.
 * @property agentId the agent that was asked, likewise.
 * @property traceparent the caller's place in a trace (W3C Trace Context), if there is one.
 */
public data class Turn(
    val messages: List<ChatMessage>,
    val taskId: String = "",
    val contextId: String = "",
    val agentId: String = "",
    val traceparent: String? = null,
) {
    /** The text of the user's last message, or an empty text if there is none. */
    public val text: String
        get() = messages.lastOrNull { it.role == "user" }?.content.orEmpty()
}

/** How a turn ends, if not with an answer. */
public enum class State(internal val wire: String) {
    /** The task is done, and [HandlerResponse.content] is its result. */
    COMPLETED(""),

    /** The task waits for the caller's next message. */
    INPUT_REQUIRED("input-required"),

    /** The task waits until the caller has signed in somewhere. */
    AUTH_REQUIRED("auth-required"),

    /** The task ends without a result; the content says why. */
    FAILED("failed"),

    /** The agent will not do this; the content says why. */
    REJECTED("rejected"),
}

/**
 * An answer that says more than a text does.
 *
 * @property content the text of the answer.
 * @property state how the turn ends.
 * @property prompt the question, where the task waits for the caller.
 * @property metadata remarks on the answer, kept with the task. The keys `state`, `prompt` and
 *   `content` are not heard.
 */
public data class HandlerResponse(
    val content: String = "",
    val state: State = State.COMPLETED,
    val prompt: String = "",
    val metadata: Map<String, String> = emptyMap(),
) {
    public companion object {
        /** Asks the caller [prompt], and waits for the answer. */
        public fun inputRequired(prompt: String): HandlerResponse =
            HandlerResponse(state = State.INPUT_REQUIRED, prompt = prompt)

        /** Asks the caller to sign in, as [prompt] says, and waits. */
        public fun authRequired(prompt: String): HandlerResponse =
            HandlerResponse(state = State.AUTH_REQUIRED, prompt = prompt)

        /** Ends the task without a result, because of [reason]. */
        public fun failed(reason: String): HandlerResponse = HandlerResponse(reason, State.FAILED)

        /** Refuses the task, because of [reason]. */
        public fun rejected(reason: String): HandlerResponse =
            HandlerResponse(reason, State.REJECTED)
    }
}
