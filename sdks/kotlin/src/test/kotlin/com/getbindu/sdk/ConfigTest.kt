package com.getbindu.sdk

import java.nio.file.Files
import java.nio.file.Path
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

class ConfigTest {
    @Test
    fun `a description becomes the configuration that the core reads`() {
        val config = agentConfig {
            author = "dev@example.com"
            name = "pay \"me\""
            url = "http://localhost:3773"
            executionCost("0.01", network = "base-sepolia")
            extra["num_history_sessions"] = 3
            extra["deployment"] = mapOf("expose" to false, "cors_origins" to listOf("*"))
            extra["debug_mode"] = null
        }
        assertEquals(
            """{"author":"dev@example.com","name":"pay \"me\"","version":"1.0.0","kind":"agent",""" +
                """"deployment":{"url":"http://localhost:3773","expose":false,"cors_origins":["*"]},""" +
                """"execution_cost":[{"amount":"0.01","network":"base-sepolia"}],"num_history_sessions":3}""",
            Json.write(config.keys),
        )
    }

    @Test
    fun `what is missing is named`() {
        val error = assertThrows<IllegalArgumentException> { agentConfig { name = " " } }
        assertEquals("an agent needs author and name and url", error.message)
        agentConfig {
            extra += mapOf("author" to "a", "name" to "b", "deployment" to mapOf("url" to "http://localhost:1"))
        }
    }

    @Test
    fun `json escapes what it must and refuses what it cannot say`() {
        assertEquals("""{"a\u000a\\":[null,true,1.5,"é"]}""", Json.write(mapOf("a\n\\" to listOf(null, true, 1.5, "é"))))
        assertThrows<IllegalArgumentException> { Json.write(Double.NaN) }
        assertThrows<IllegalArgumentException> { Json.write(Any()) }
    }

    @Test
    fun `a skill in a folder is sent whole, with what it calls itself`(@TempDir folder: Path) {
        val yaml = "name: summary\ndescription: >\n  Says it\n  in short.\ntags: [text]\n"
        Files.writeString(folder.resolve("skill.yaml"), yaml)
        val skill = Skill.File(folder).toProto()
        assertEquals("summary", skill.name)
        assertEquals("Says it in short.\n", skill.description)
        assertEquals(yaml, skill.rawContent)
        assertEquals("yaml", skill.format)
        assertEquals(0, skill.tagsCount)
    }

    @Test
    fun `a skill in markdown has its name in the front matter, or is called like its folder`(@TempDir folder: Path) {
        val file = folder.resolve("talk").also(Files::createDirectory).resolve("SKILL.md")
        Files.writeString(file, "---\nname: speech\n---\n# Hello\nname: no\n")
        val skill = Skill.File(file).toProto()
        assertEquals("speech", skill.name)
        assertEquals("markdown", skill.format)
        Files.writeString(file, "# Hello\n")
        assertEquals("talk", Skill.File(file.parent).toProto().name)
    }

    @Test
    fun `a skill that cannot be read is named`(@TempDir folder: Path) {
        val nothing = assertThrows<BinduException> { Skill.File(folder).toProto() }
        assertTrue(nothing.message!!.contains(folder.toString()), nothing.message)
        Files.writeString(folder.resolve("skill.yaml"), "name: [")
        assertThrows<BinduException> { Skill.File(folder).toProto() }
    }

    @Test
    fun `addresses are read as the core writes them`() {
        assertEquals(Address("::1", 3774), Address.parse("[::1]:3774"))
        assertEquals("[::1]:3774", Address("::1", 3774).toString())
        for (bad in listOf("localhost", "localhost:0", ":3774", "::1:3774", "[::1:3774", "localhost:65536")) {
            assertThrows<BinduException>(bad) { Address.parse(bad) }
        }
    }

    @Test
    fun `the program is the one named, else that of the environment, else that of the path`(@TempDir folder: Path) {
        val program = Files.createFile(folder.resolve("bindu")).also { it.toFile().setExecutable(true) }
        assertEquals(program, findBinary(program, mapOf("BINDU_BIN" to "/nowhere")))
        assertEquals(program, findBinary(null, mapOf("BINDU_BIN" to program.toString())))
        assertEquals(program, findBinary(null, mapOf("PATH" to "/nowhere:$folder")))
        val missing = assertThrows<BinduException> { findBinary(null, mapOf("PATH" to "/nowhere")) }
        assertTrue(missing.message!!.contains("BINDU_BIN"), missing.message)
        assertThrows<BinduException> { findBinary(null, mapOf("BINDU_BIN" to "/nowhere", "PATH" to "$folder")) }
    }

    @Test
    fun `the contract is the one of the core`() {
        val ours = Path.of("src/main/protobuf/agent_handler.proto")
        val original = Path.of("../../crates/bindu-grpc/proto/agent_handler.proto")
        // The package is tested outside of the repository, too.
        val expected = if (Files.exists(original)) original else ours
        assertEquals(-1, Files.mismatch(expected, ours), "copy $original to $ours again")
        assertEquals(7, listOf("Handle", "Health", "Get", "Register", "Heartbeat", "Unregister").sumOf { name ->
            Files.readAllLines(ours).count { it.trim().startsWith("rpc $name") }
        })
    }
}
