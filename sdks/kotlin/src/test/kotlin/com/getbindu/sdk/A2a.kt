package com.getbindu.sdk

import java.io.IOException
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse.BodyHandlers
import java.time.Duration
import java.util.UUID
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import kotlinx.serialization.json.putJsonObject

/** Who calls an agent. */
class A2a(url: String) {
    private val address = URI.create(url)
    private val http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()

    /** Sends a message; gives the id of the task, which may still be at work. */
    fun send(text: String, task: String = newId(), context: String = newId()): String {
        val result = call("message/send", message(text, task, context))
        return result.getValue("id").jsonPrimitive.content
    }

    /** Sends a message and gives the events of the stream as they come. */
    fun stream(text: String): Sequence<JsonObject> {
        val body = envelope("message/stream", message(text, newId(), newId()))
        val response = http.send(post(body), BodyHandlers.ofLines())
        check(response.statusCode() == 200) { "message/stream: ${response.statusCode()}" }
        val data = response.body().iterator().asSequence().filter { it.startsWith("data:") }
        return data.map { Json.parseToJsonElement(it.removePrefix("data:").trim()).jsonObject }
            .map { it["result"]?.jsonObject ?: it }
    }

    fun task(id: String): JsonObject = call("tasks/get", buildJsonObject { put("taskId", id) })

    /** Waits until nothing happens to a task by itself any more. */
    fun settled(id: String): JsonObject {
        var task: JsonObject? = null
        eventually("an end of task $id (${task?.state})") {
            task = try {
                task(id)
            } catch (_: IOException) {
                // The core is between two lives.
                null
            }
            task?.state in SETTLED
        }
        return task!!
    }

    private fun message(text: String, task: String, context: String) = buildJsonObject {
        putJsonObject("message") {
            put("role", "user")
            put("kind", "message")
            put("messageId", newId())
            put("taskId", task)
            put("contextId", context)
            putJsonArray("parts") {
                add(buildJsonObject { put("kind", "text"); put("text", text) })
            }
        }
        putJsonObject("configuration") {
            put("blocking", false)
            putJsonArray("acceptedOutputModes") { add(JsonPrimitive("text/plain")) }
        }
    }

    private fun call(method: String, params: JsonObject): JsonObject {
        val response = http.send(post(envelope(method, params)), BodyHandlers.ofString())
        val answer = Json.parseToJsonElement(response.body()).jsonObject
        return answer["result"]?.jsonObject ?: error("$method: ${response.statusCode()} ${response.body()}")
    }

    private fun envelope(method: String, params: JsonObject) = buildJsonObject {
        put("jsonrpc", "2.0")
        put("id", newId())
        put("method", method)
        put("params", params)
    }

    private fun post(body: JsonObject) = HttpRequest.newBuilder(address)
        .header("content-type", "application/json")
        .timeout(Duration.ofSeconds(LIMIT.inWholeSeconds))
        .POST(BodyPublishers.ofString(body.toString()))
        .build()
}

private val SETTLED = setOf("completed", "failed", "canceled", "rejected", "input-required", "auth-required")

fun newId(): String = UUID.randomUUID().toString()

/** The state of a task, or of what happened to it. */
val JsonObject.state: String?
    get() = this["status"]?.jsonObject?.get("state")?.jsonPrimitive?.content

/** All texts in the artifacts of a task, or in that of an event. */
val JsonObject.result: String
    get() {
        val artifacts = this["artifacts"]?.jsonArray ?: JsonArray(listOfNotNull(this["artifact"]))
        return artifacts.joinToString("") { texts(it) }
    }

/** The text of the last message. */
val JsonObject.lastMessage: String
    get() = texts(getValue("history").jsonArray.last())

private fun texts(holder: JsonElement): String =
    holder.jsonObject.getValue("parts").jsonArray.joinToString("") {
        it.jsonObject["text"]?.jsonPrimitive?.content.orEmpty()
    }
