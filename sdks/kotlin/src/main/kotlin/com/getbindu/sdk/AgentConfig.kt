package com.getbindu.sdk

import java.nio.file.Path

/** Keeps builders from reaching into each other. */
@DslMarker
public annotation class BinduDsl

/** Describes an agent: see [AgentConfig.Builder]. */
public fun agentConfig(describe: AgentConfig.Builder.() -> Unit): AgentConfig =
    AgentConfig.Builder().apply(describe).build()

/**
 * Who an agent is and what it offers. Made by [agentConfig].
 *
 * @property keys the configuration as the core gets it, as JSON.
 * @property skills the agent's skills.
 */
public class AgentConfig private constructor(
    public val keys: Map<String, Any?>,
    public val skills: List<Skill>,
) {
    /** The agent's name. */
    public val name: String
        get() = keys["name"].toString()

    /** Gathers what there is to say about an agent. */
    @BinduDsl
    public class Builder {
        /** Who is responsible for the agent: an address of mail, usually. Required. */
        public var author: String? = null

        /** What the agent is called. Author and name together make its identity. Required. */
        public var name: String? = null

        /** Where the agent is reached over HTTP, such as `http://localhost:3773`. Required. */
        public var url: String? = null

        /** What it is for, in a sentence. */
        public var description: String? = null

        /** The agent's own version. */
        public var version: String = "1.0.0"

        /** `agent`, `team` or `workflow`. */
        public var kind: String = "agent"

        /**
         * Further keys of the configuration, such as `num_history_sessions` or `auth`: maps, lists,
         * texts, numbers and truth values. They win over what is said otherwise; a map is merged
         * with the map that is there.
         */
        public val extra: MutableMap<String, Any?> = linkedMapOf()

        private val skills = mutableListOf<Skill>()
        private val costs = mutableListOf<Map<String, Any?>>()

        /** Adds the skill in this folder (`skill.yaml` or `SKILL.md`) or file. */
        public fun skill(path: String) {
            skills += Skill.File(Path.of(path))
        }

        /** Adds a skill. */
        public fun skill(skill: Skill) {
            skills += skill
        }

        /** Demands a payment for each task. Called again, it offers another way to pay. */
        public fun executionCost(
            amount: String,
            token: String? = null,
            network: String? = null,
            payToAddress: String? = null,
        ) {
            val cost = mapOf(
                "amount" to amount,
                "token" to token,
                "network" to network,
                "pay_to_address" to payToAddress,
            )
            costs += cost.filterValues { it != null }
        }

        /**
         * The description.
         *
         * @throws IllegalArgumentException if `author`, `name` or `url` is missing.
         */
        public fun build(): AgentConfig {
            val keys = linkedMapOf<String, Any?>(
                "author" to author,
                "name" to name,
                "description" to description,
                "version" to version,
                "kind" to kind,
                "deployment" to linkedMapOf<String, Any?>("url" to url, "expose" to true),
                "execution_cost" to costs.takeIf { it.isNotEmpty() },
            )
            for ((key, value) in extra) {
                val there = keys[key]
                keys[key] = if (there is Map<*, *> && value is Map<*, *>) there + value else value
            }
            val found = keys.filterValues { it != null }
            val url = (found["deployment"] as? Map<*, *>)?.get("url")
            val needed = mapOf("author" to found["author"], "name" to found["name"], "url" to url)
            val missing = needed.filterValues { isBlank(it) }.keys
            require(missing.isEmpty()) { "an agent needs ${missing.joinToString(" and ")}" }
            return AgentConfig(found, skills.toList())
        }

        private fun isBlank(value: Any?) = value == null || value.toString().isBlank()
    }
}
