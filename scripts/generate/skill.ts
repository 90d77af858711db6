/** skills/pith/SKILL.md: the list of all commands, between two marks. */
import { readFileSync } from "node:fs";
import { allCommands } from "./commands.ts";
import type { Generator } from "./generator.ts";

const file = "skills/pith/SKILL.md";

export const skill: Generator = {
  generate: async () => new Map([[file, withCommands(readFileSync(file, "utf8"), await allCommands())]]),
};

interface Summary {
  readonly name: string;
  readonly summary: string;
}

/** Replaces the list between the marks. */
export function withCommands(text: string, commands: readonly Summary[]): string {
  const [start, end] = ["<!-- commands, by npm run generate -->\n", "<!-- /commands -->\n"];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file}: expected "${start.trim()}", and then "${end.trim()}".`);
  const list = commands.map(({ name, summary }) => `- \`${name}\`: ${summary}\n`).join("");
  return text.slice(0, from + start.length) + list + text.slice(to);
}
