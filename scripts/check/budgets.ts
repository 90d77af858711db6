/**
 * Checks the sizes in `scripts/budgets.json`: lines of each folder of src and files in each of its folders, both without tests, public names of each
 * entry point, flags of each command with `--help`, and processor seconds of the quick tests of each folder. The seconds of folders are up to twice
 * the measured ones, and their sum is near the measured sum. Raising a budget is a line in the diff, with its reason in the commit.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { CommandDefinition } from "../../src/app/cli/command.ts";
import { type Finding, isTestCode, type Source } from "./sources.ts";

type Sizes = Readonly<Record<string, number>>;

export interface Measured {
  readonly section: "lines" | "files" | "names" | "flags" | "seconds";
  /** Sizes by folder, entry point or command. */
  readonly sizes: Sizes;
}

const file = "scripts/budgets.json";
const rule = "budgets";

/** Key of the budget of all folders that have none, and of the sum of a section. Both are optional. */
const [defaultKey, sumKey] = ["others", "sum"];

/** @param text of `scripts/budgets.json`. */
export function checkBudgets(text: string, measured: readonly Measured[]): Finding[] {
  const budgets: Readonly<Record<string, Sizes>> = JSON.parse(text);
  return measured.flatMap(({ section, sizes }) => {
    const allowed = budgets[section] ?? {};
    const fail = (key: string, problem: string): Finding => ({
      ...{ file, rule, line: lineOfKey(text, section, key), text: `${key}: ${problem}` },
    });
    const total = Object.values(sizes).reduce((all, size) => all + size, 0);
    const budgetOf = (key: string): number | undefined => allowed[key] ?? allowed[defaultKey];
    return [
      ...Object.entries(sizes).flatMap(([key, size]) => {
        const budget = budgetOf(key);
        if (budget === undefined) return [fail(key, `${size} ${section} without a budget: add a line.`)];
        return size <= budget ? [] : [fail(key in allowed ? key : defaultKey, exceeded(key, section, size, budget))];
      }),
      ...(total > (allowed[sumKey] ?? total) ? [fail(sumKey, exceeded("all", section, total, allowed[sumKey]))] : []),
      ...Object.keys(allowed)
        .filter((key) => !(key in sizes) && key !== defaultKey && key !== sumKey)
        .map((key) => fail(key, "does not exist: remove the line.")),
    ];
  });
}

const exceeded = (subject: string, section: string, size: number, budget: number | undefined): string =>
  `${subject} has ${size} ${section}, and ${budget} are allowed. Reduce them, or change this line and state the reason in the commit.`;

/** Returns the line of a key in a section of the file, or of the section. */
function lineOfKey(text: string, section: string, key: string): number {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.includes(`"${section}": {`));
  const end = lines.findIndex((line, index) => index > start && line.includes("}"));
  const position = lines.findIndex((line, index) => index > start && index < end && line.includes(`"${key}":`));
  return (position < 0 ? start : position) + 1;
}

/** Measures what needs no build: lines, files and names. */
export function measureSources(sources: readonly Source[], surface: readonly string[]): readonly Measured[] {
  const shipped = sources.filter((source) => !isTestCode(source.file));
  const lines: Record<string, number> = {};
  const files: Record<string, number> = {};
  for (const source of shipped) {
    const folder = path.posix.dirname(source.file);
    const top = folder.split("/").slice(0, 2).join("/");
    lines[top] = (lines[top] ?? 0) + source.syntax.text.split("\n").length - 1;
    files[folder] = (files[folder] ?? 0) + 1;
  }
  const names = Object.fromEntries(surface.map((page) => namesOf(page)));
  return [
    { section: "lines", sizes: lines },
    { section: "files", sizes: files },
    { section: "names", sizes: names },
  ];
}

/** Reads the entry point and its number of names from the first line of a page of `docs/surface/`. */
function namesOf(page: string): readonly [string, number] {
  const [, entry = "", count = ""] = /^(\S+), names: (\d+)\n/.exec(page) ?? [];
  return [entry, Number(count)];
}

export function readSurface(): readonly string[] {
  return readdirSync("docs/surface").map((name) => readFileSync(`docs/surface/${name}`, "utf8"));
}

/** Counts the flags that `--help-all` of each command shows. It loads all commands. */
export async function measureFlags(): Promise<Measured> {
  const { allCommands } = await import("../generate/commands.ts");
  const { buildCommand } = await import("../../src/app/cli/command.ts");
  const count = (definition: CommandDefinition): number => buildCommand(definition, async () => {}).options.length + 1;
  return {
    section: "flags",
    sizes: Object.fromEntries((await allCommands()).map(({ definition }) => [definition.name, count(definition)])),
  };
}
