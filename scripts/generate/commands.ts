/** Generates src/app/cli/commands.ts, the list of `pith --help`, from the commands and the passes that are commands, so that the help loads no command. */
import { readdirSync } from "node:fs";
import type { CommandDefinition } from "../../src/app/cli/command.ts";
import { passCommand } from "../../src/app/cli/commands/pass.ts";
import { passCommands } from "../../src/app/cli/pass-commands.ts";
import { builtInPasses } from "../../src/judge/recipe/built-in-passes.ts";
import type { Generator } from "./generator.ts";

const file = "src/app/cli/commands.ts";

/** Headings of the help, each with its commands in order. */
const groups: Readonly<Record<string, readonly string[]>> = {
  "Start here:": ["compress", "studio", "inspect"],
  "Single steps:": ["quantize", "prune", "factorize", "distill", "train", "recover", "simplify"],
  "Measure:": ["eval", "bench", "debug", "sensitivity", "plot"],
  "Share and automate:": ["check", "worker"],
};

interface Line {
  readonly name: string;
  readonly summary: string;
  readonly definition: CommandDefinition;
  /** Body of a function that returns the definition. */
  readonly load: string;
}

export const commandList: Generator = { generate: async () => new Map([[file, text(await allCommands())]]) };

/** Returns all commands in order. A pass whose command does more has a separate file. */
export async function allCommands(): Promise<readonly Line[]> {
  const passes = await linesOfPasses();
  const lines = new Map([...passes, ...(await ownCommands())].map((line) => [line.name, line]));
  const ordered = Object.values(groups).flat();
  const ungrouped = [...lines.keys()].filter((name) => !ordered.includes(name));
  if (ungrouped.length > 0)
    throw new Error(
      `Commands without a group of the help: ${ungrouped.join(", ")}. Add them to "groups" in scripts/generate/commands.ts.`,
    );
  return ordered.flatMap((name) => lines.get(name) ?? []);
}

async function ownCommands(): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const module of readdirSync("src/app/cli/commands").filter((name) => name.endsWith(".ts"))) {
    const { default: definition } = await import(`../../src/app/cli/commands/${module}`);
    if (definition === undefined) continue;
    const { name, summary } = definition;
    lines.push({ name, summary, definition, load: `import("./commands/${module}")` });
  }
  return lines;
}

async function linesOfPasses(): Promise<readonly Line[]> {
  const folders = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((path) =>
    /^(?:techniques|learn)\/\w+\/index\.ts$/.test(path),
  );
  const modules = await Promise.all(folders.map(async (path) => [path, await import(`../../src/${path}`)] as const));
  return [...builtInPasses.values()].flatMap((pass) => {
    if (passCommands[pass.id] === undefined) return [];
    const definition = passCommand(pass);
    const { name, summary } = definition;
    for (const [path, exported] of modules) {
      const key = Object.keys(exported).find((key) => exported[key] === pass);
      if (key !== undefined)
        return [{ name, summary, definition, load: `command(async () => (await import("../../${path}")).${key})` }];
    }
    throw new Error(`No index.ts exports the pass ${name}.`);
  });
}

function text(lines: readonly Line[]): string {
  return `/** Commands in the order of the help. This file is made by npm run generate. */
import type { AnyPass } from "#pass";
import type { CommandDefinition } from "./command.ts";

export interface ListedCommand {
  readonly name: string;
  readonly summary: string;
  /** Heading of the help, at the first command of a group. */
  readonly group?: string | undefined;
  load(): Promise<{ readonly default: CommandDefinition }>;
}

async function command(pass: () => Promise<AnyPass>): ReturnType<ListedCommand["load"]> {
  const { passCommand } = await import("./commands/pass.ts");
  return { default: passCommand(await pass()) };
}

const summaries = {
${lines.map(({ name, summary }) => `  ${name}: ${JSON.stringify(summary)},`).join("\n")}
};

/** Each command is loaded only if the command line names it. */
const loaders: Readonly<Record<keyof typeof summaries, ListedCommand["load"]>> = {
${lines.map(({ name, load }) => `  ${name}: () => ${load},`).join("\n")}
};

/** First command of each group → heading. */
const headings: Readonly<Record<string, string>> = {
${Object.entries(groups)
  .map(([heading, [name]]) => `  ${name}: ${JSON.stringify(heading)},`)
  .join("\n")}
};

const names = Object.keys(summaries) as (keyof typeof summaries)[];

export const commands: readonly ListedCommand[] = names.map((name) => ({
  name,
  summary: summaries[name],
  group: headings[name],
  load: loaders[name],
}));
`;
}
