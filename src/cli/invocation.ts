/** How a reader of the output starts Pith: after an install into a project there is no `pith` on the PATH. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { commands } from "./commands.ts";

/** npx and scripts of npm, pnpm and yarn put this folder on the PATH of what they start; the shell of the user does not have it. */
const ofProject = /[/\\]node_modules[/\\]\.bin[/\\]?$/;

/** "pith" if the shell of the user finds it, else "npx pith". */
export function invocation({ PATH = "" }: { readonly PATH?: string | undefined }): "pith" | "npx pith" {
  const folders = PATH.split(delimiter).filter((folder) => folder !== "" && !ofProject.test(folder));
  const isFound = folders.some((folder) => ["pith", "pith.cmd"].some((name) => existsSync(join(folder, name))));
  return isFound ? "pith" : "npx pith";
}

const names = commands.map(({ name }) => name).join("|");
const typed = new RegExp(`(?<![\\w./-]|npx )pith (?=(?:${names}|help|--help)\\b)`, "g");

/** A text whose command lines can be typed: its `pith eval …` becomes `npx pith eval …`. */
export function asTyped(text: string, program: string): string {
  return program === "pith" ? text : text.replace(typed, `${program} `);
}
