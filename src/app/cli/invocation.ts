/** Detects how the user starts Pith: an install into a project puts no `pith` on the PATH. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { commands } from "./commands.ts";

/** npx and scripts of npm, pnpm and yarn add this folder to the PATH; the user's shell does not have it. */
const ofProject = /[/\\]node_modules[/\\]\.bin[/\\]?$/;

export function invocation({ PATH = "" }: { readonly PATH?: string | undefined }): "pith" | "npx pith" {
  const folders = PATH.split(delimiter).filter((folder) => folder !== "" && !ofProject.test(folder));
  const isFound = folders.some((folder) => ["pith", "pith.cmd"].some((name) => existsSync(join(folder, name))));
  return isFound ? "pith" : "npx pith";
}

const names = commands.map(({ name }) => name).join("|");
const typed = new RegExp(`(?<![\\w./-]|npx )pith (?=(?:${names}|help|--help)\\b)`, "g");

/** Replaces `pith eval …` by `npx pith eval …` if needed, so that command lines can be typed. */
export function asTyped(text: string, program: string): string {
  return program === "pith" ? text : text.replace(typed, `${program} `);
}
