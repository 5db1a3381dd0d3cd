package com.getbindu.sdk

import com.getbindu.grpc.SkillDefinition
import java.nio.file.Files
import java.nio.file.Path
import org.snakeyaml.engine.v2.api.Load
import org.snakeyaml.engine.v2.api.LoadSettings
import org.snakeyaml.engine.v2.exceptions.YamlEngineException

/** Something that an agent can do, as it is shown to others. */
public sealed interface Skill {
    /**
     * A skill that is described here.
     *
     * @property inputModes the media types it takes.
     * @property outputModes the media types it gives.
     */
    public data class Inline(
        val name: String,
        val description: String,
        val tags: List<String> = emptyList(),
        val inputModes: List<String> = listOf("text/plain"),
        val outputModes: List<String> = listOf("text/plain"),
        val version: String = "1.0.0",
        val author: String = "",
    ) : Skill

    /**
     * A skill that is described by a file: [path] is a folder that holds `skill.yaml` or
     * `SKILL.md`, or such a file itself. The core is sent the whole file and reads tags, modes and
     * examples out of it.
     */
    public data class File(val path: Path) : Skill
}

/** A skill as the core is told of it. Throws [BinduException] for a file that cannot be read. */
internal fun Skill.toProto(): SkillDefinition = when (this) {
    is Skill.Inline -> SkillDefinition.newBuilder()
        .setName(name)
        .setDescription(description)
        .addAllTags(tags)
        .addAllInputModes(inputModes)
        .addAllOutputModes(outputModes)
        .setVersion(version)
        .setAuthor(author)
        .build()
    is Skill.File -> read(path)
}

private fun read(path: Path): SkillDefinition {
    val file = when {
        Files.isRegularFile(path) -> path
        else -> listOf("skill.yaml", "SKILL.md").map(path::resolve).firstOrNull(Files::isRegularFile)
            ?: throw BinduException("$path holds neither skill.yaml nor SKILL.md")
    }
    val text = try {
        Files.readString(file)
    } catch (error: java.io.IOException) {
        throw BinduException("$file cannot be read", error)
    }
    val isMarkdown = file.toString().endsWith(".md")
    val yaml = if (isMarkdown) frontMatter(text) else text
    val keys = try {
        Load(LoadSettings.builder().setLabel(file.toString()).build()).loadFromString(yaml) as? Map<*, *>
    } catch (error: YamlEngineException) {
        throw BinduException("$file is no YAML", error)
    }.orEmpty()
    val folder = file.toAbsolutePath().normalize().parent?.fileName
    return SkillDefinition.newBuilder()
        .setName((keys["name"] ?: folder).toString())
        .setDescription(keys["description"]?.toString().orEmpty())
        .setRawContent(text)
        .setFormat(if (isMarkdown) "markdown" else "yaml")
        .build()
}

/** What stands between the first line `---` and the next one. */
private fun frontMatter(text: String): String {
    val lines = text.removePrefix("\uFEFF").lines()
    if (lines.first().trimEnd() != "---") return ""
    return lines.drop(1).takeWhile { it.trimEnd() != "---" }.joinToString("\n")
}
