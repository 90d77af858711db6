/** Defines commands and builds them with commander. */

import { Argument, Command } from "commander";
import * as v from "valibot";
import { capitalize, type PithError } from "../../core/errors.ts";
import { described, option } from "../../core/pass/options.ts";
import type { Job } from "../../runtime/job/job.ts";
import type { RunOptions } from "../../runtime/job/run.ts";
import { guideOf } from "./guides.ts";
import { modelAt, modelsOfFlags, saidOn } from "./model-folder.ts";
import { addFlags, givenFlags, keysOf, meaningsOf, readFlags } from "./options.ts";
import type { Terminal } from "./terminal.ts";

export interface CommandArgument {
  readonly name: string;
  readonly description: string;
  readonly several?: boolean;
  readonly optional?: boolean;
  readonly choices?: readonly string[];
}

export interface CommandDefinition<S extends v.GenericSchema = v.GenericSchema> {
  readonly name: string;
  readonly summary: string;
  readonly arguments: readonly CommandArgument[];
  /** An object schema: each entry is a flag (`options.ts`). */
  readonly options: S;
  /** Options of the underlying operation. They have flags too and are passed on unchecked. */
  readonly passed?: v.GenericSchema;
  /** Names in `passed` that the command handles itself. */
  readonly reserved?: readonly string[];
  /** Names in `options` without a flag. */
  readonly without?: readonly string[];
  /** Whether a folder argument means the folder itself and not the model in it. */
  folders?(options: v.InferOutput<S>): boolean;
  /** Removes `--seed`. */
  readonly deterministic?: boolean;
  /** Command lines without the leading `pith`. */
  readonly examples: readonly string[];
  run(words: readonly string[], options: v.InferOutput<S>, session: Session): Promise<Result>;
}

export interface Session {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly seed: number;
  /** The command line without `pith` and without secrets, as reports record it. */
  readonly line: readonly string[];
  readonly passed: Readonly<Record<string, unknown>>;
  /** Model file → the folder that the user named. */
  readonly folders: ReadonlyMap<string, string>;
  /**
   * Runs a job (`jobs/<module>.ts`) in a separate process. `keeps`: a stop waits until its work is saved; `modules`: the user modules it may import.
   */
  job<J extends Job>(
    module: string | URL,
    input: Parameters<J>[0],
    name: string,
    how?: Pick<RunOptions, "keeps" | "modules">,
  ): Promise<Awaited<ReturnType<J>>>;
}

export interface Result {
  readonly data: unknown;
  print(terminal: Terminal): void;
  readonly goalMissed?: boolean;
  /** Why nothing better was found. Printed after the result, also with `--json`. Exit code 1. */
  readonly failure?: PithError | undefined;
}

/** Larger integers are not exact. */
export const seedSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));

const common = v.object({
  json: option(v.boolean(), "print the result as JSON"),
  seed: v.optional(described(seedSchema, "random seed", { value: "n" }), 0),
});

export interface CommonOptions {
  readonly json: boolean;
  readonly seed: number;
  readonly passed: Readonly<Record<string, unknown>>;
}

export function defineCommand<S extends v.GenericSchema>(definition: CommandDefinition<S>): CommandDefinition<S> {
  return definition;
}

export function buildCommand<S extends v.GenericSchema>(
  definition: CommandDefinition<S>,
  execute: (options: CommonOptions, body: (session: Session) => Promise<Result>) => Promise<void>,
  program = "pith",
): Command {
  const command = new Command(definition.name);
  command.summary(definition.summary).description(`${capitalize(definition.summary)}.`);
  for (const { name, description, several, optional, choices } of definition.arguments) {
    const form = several === true ? `<${name}...>` : optional === true ? `[${name}]` : `<${name}>`;
    const argument = new Argument(form, description);
    command.addArgument(choices === undefined ? argument : argument.choices(choices));
  }
  const { passed, options: own, reserved = [], without = [] } = definition;
  // If both have a flag, the description of `passed` is used.
  const described = passed === undefined ? new Set<string>() : keysOf(passed);
  if (passed !== undefined) addFlags(command, passed, new Set([...reserved, ...keysOf(common)]));
  addFlags(command, own, new Set([...without, ...[...described].filter((key) => !reserved.includes(key))]));
  addFlags(command, common, new Set(definition.deterministic === true ? ["seed"] : []));
  for (const { title, rows } of [...(passed === undefined ? [] : meaningsOf(passed)), ...meaningsOf(own)]) {
    const wide = Math.max(...rows.map(([name]) => name.length));
    command.addHelpText("after", ({ command: shown }) => {
      const help = shown.createHelp();
      help.prepareContext({ helpWidth: shown.configureOutput().getOutHelpWidth?.() ?? 80 });
      return `\n${title}\n${rows.map(([name, meaning]) => help.formatItem(name, wide, meaning, help)).join("\n")}`;
    });
  }
  command.addHelpText(
    "after",
    `\nExamples:\n${definition.examples.map((line) => `  $ ${program} ${line}`).join("\n")}`,
  );
  const guide = guideOf(definition.name);
  if (guide !== undefined) command.addHelpText("after", `\nGuide: ${guide}`);
  return command.action(async () => {
    const words = command.processedArgs.flat().flatMap((word) => (word === undefined ? [] : String(word)));
    const { json = false, seed } = readFlags(command, common);
    const given = passed === undefined ? {} : givenFlags(command, passed);
    for (const key of reserved) delete given[key];
    await execute({ json, seed, passed: given }, async (session) => {
      const folders = new Map<string, string>();
      const fileOf = async (path: string): Promise<string> => {
        const file = await modelAt(path, saidOn(session.terminal));
        if (file !== path) folders.set(file, path);
        return file;
      };
      const models: string[] = [];
      const options = await modelsOfFlags(readFlags(command, own), fileOf);
      for (const word of words) models.push(definition.folders?.(options) === true ? word : await fileOf(word));
      const passed = await modelsOfFlags(session.passed, fileOf);
      try {
        return await definition.run(models, options, { ...session, folders, passed });
      } catch (error) {
        const { adviseOnLoading } = await import("./loading-advice.ts");
        throw await adviseOnLoading(error, models, session);
      }
    });
  });
}
