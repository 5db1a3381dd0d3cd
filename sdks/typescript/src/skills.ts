/** Skills on their way to the core, which reads the files: here they are only found. */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { SkillDefinition } from './proto.js';
import type { InlineSkill } from './types.js';

/** What a skill's directory may hold, in the order of search. */
const FILES = ['skill.yaml', 'SKILL.md'];

/** Makes the skills of a configuration ready to be sent. Paths start at the working directory. */
export function loadSkills(skills: (string | InlineSkill)[]): Promise<Partial<SkillDefinition>[]> {
  return Promise.all(
    skills.map(async (skill) => {
      if (typeof skill === 'string') return fromPath(skill);
      const { name, description, tags, version, author } = skill;
      const text = ['text/plain'];
      return {
        name,
        description,
        tags: tags ?? [],
        inputModes: skill.input_modes ?? text,
        outputModes: skill.output_modes ?? text,
        version: version ?? '1.0.0',
        author: author ?? '',
      };
    }),
  );
}

async function fromPath(path: string): Promise<Partial<SkillDefinition>> {
  const directory = (await stat(path).catch(() => undefined))?.isDirectory();
  for (const file of directory ? FILES.map((name) => join(path, name)) : [path]) {
    try {
      const rawContent = await readFile(file, 'utf8');
      // Names, tags and the rest are in the file, and the core reads it better than we could.
      return { rawContent, format: file.toLowerCase().endsWith('.md') ? 'markdown' : 'yaml' };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  const missing = directory ? `has neither ${FILES.join(' nor ')}` : 'is not there';
  throw new Error(`the skill ${path} ${missing}`);
}
