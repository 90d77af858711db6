/** src/app/cli/commands.ts: what `pith --help` lists, so that it loads no command; from the commands and from the passes that are commands. */
import { readdirSync } from "node:fs";
import type { CommandDefinition } from "../../src/app/cli/command.ts";
import { passCommand } from "../../src/app/cli/commands/pass.ts";
import { steps } from "../../src/judge/recipe/steps.ts";
import type { Generator } from "./generator.ts";

const file = "src/app/cli/commands.ts";

/** The order of the help: others follow, the passes as recipes have them, and what is about the command line itself. */
const first = ["inspect", "plot", "simplify", "eval", "debug", "bench", "compress"];
const last = ["completion"];

interface Line {
  readonly name: string;
  readonly summary: string;
  readonly definition: CommandDefinition;
  /** The body of a function that gives the definition. */
  readonly load: string;
}

export const commandList: Generator = {
  generate: async () => new Map([[file, text(await allCommands())]]),
};

/** A command of a pass that is more than that has a file of its own, and stands where the pass does. */
export async function allCommands(): Promise<readonly Line[]> {
  const own = await ownCommands();
  const passes = await passCommands();
  const names = new Set(passes.map(({ name }) => name));
  const isLast = ({ name }: Line): boolean => last.includes(name);
  return [
    ...own.filter((line) => !names.has(line.name) && !isLast(line)),
    ...passes.map((line) => own.find(({ name }) => name === line.name) ?? line),
    ...own.filter(isLast),
  ];
}

async function ownCommands(): Promise<readonly Line[]> {
  const place = ({ name }: Line): number => (first.includes(name) ? first.indexOf(name) : first.length);
  const lines: Line[] = [];
  for (const module of readdirSync("src/app/cli/commands")) {
    const { default: definition } = await import(`../../src/app/cli/commands/${module}`);
    if (definition === undefined) continue;
    const { name, summary } = definition;
    lines.push({ name, summary, definition, load: `import("./commands/${module}")` });
  }
  return lines.toSorted((a, b) => place(a) - place(b));
}

async function passCommands(): Promise<readonly Line[]> {
  const folders = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((path) =>
    /^(?:techniques|learn)\/\w+\/index\.ts$/.test(path),
  );
  const modules = await Promise.all(folders.map(async (path) => [path, await import(`../../src/${path}`)] as const));
  return [...steps.values()].flatMap((pass) => {
    if (pass.command === undefined) return [];
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
  return `/** The commands, in the order of the help. Made by npm run generate. */
import type { AnyPass } from "../../core/pass/pass.ts";
import type { CommandDefinition } from "./command.ts";

export interface Listed {
  readonly name: string;
  readonly summary: string;
  load(): Promise<{ readonly default: CommandDefinition }>;
}

async function command(pass: () => Promise<AnyPass>): ReturnType<Listed["load"]> {
  const { passCommand } = await import("./commands/pass.ts");
  return { default: passCommand(await pass()) };
}

const summaries = {
${lines.map(({ name, summary }) => `  ${name}: ${JSON.stringify(summary)},`).join("\n")}
};

/** Only the command that the command line names is loaded. */
const loaders: Readonly<Record<keyof typeof summaries, Listed["load"]>> = {
${lines.map(({ name, load }) => `  ${name}: () => ${load},`).join("\n")}
};

const names = Object.keys(summaries) as (keyof typeof summaries)[];

export const commands: readonly Listed[] = names.map((name) => ({
  name,
  summary: summaries[name],
  load: loaders[name],
}));
`;
}
