"""Skills on their way to the core, which reads the files: here they are only found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import agent_handler_pb2 as pb
from ._types import InlineSkill

# What a skill's directory may hold, in the order of search.
_FILES = ("skill.yaml", "SKILL.md")


def load_skills(skills: Iterable[str | InlineSkill]) -> list[pb.SkillDefinition]:
    """Makes the skills of a configuration ready to be sent."""
    return [_inline(skill) if isinstance(skill, dict) else _from_path(skill) for skill in skills]


def _inline(skill: InlineSkill) -> pb.SkillDefinition:
    text = ["text/plain"]
    return pb.SkillDefinition(
        name=skill["name"],
        description=skill["description"],
        tags=skill.get("tags", []),
        input_modes=skill.get("input_modes", text),
        output_modes=skill.get("output_modes", text),
        version=skill.get("version", "1.0.0"),
        author=skill.get("author", ""),
    )


def _from_path(path: object) -> pb.SkillDefinition:
    given = Path(str(path))
    files = [given / name for name in _FILES] if given.is_dir() else [given]
    for file in files:
        if file.is_file():
            # Names, tags and the rest are in the file, and the core reads it better than we could.
            kind = "markdown" if file.suffix.lower() == ".md" else "yaml"
            return pb.SkillDefinition(raw_content=file.read_text("utf-8"), format=kind)
    missing = f"has neither {' nor '.join(_FILES)}" if given.is_dir() else "is not there"
    raise FileNotFoundError(f"the skill {given} {missing}")
