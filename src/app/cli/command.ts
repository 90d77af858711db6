/** Defines the interface of a command, and builds a command with its flags and help from a definition. */
import { Argument, Command } from "commander";
import * as v from "valibot";
import { capitalize, PithError } from "#ir";
import { option, withHelp } from "#pass";
import { quoteWord } from "../../judge/record/shell-command.ts";
import type { Job, JobContext } from "../../runtime/job/job.ts";
import type { RunJobOptions } from "../../runtime/job/run.ts";
import { findModel, requireIntact, withModelFiles } from "./files/model-path.ts";
import { keysOf, requiredKeys } from "./flags/check-flags.ts";
import { addFlags, Flag, flagsOnCommandLine, meaningsOf, readFlags } from "./flags/options.ts";
import type loadableJob from "./jobs/loadable.ts";
import type { PrintedResult } from "./print/printed-result.ts";
import type { Terminal } from "./print/terminal.ts";

export interface CommandDefinition<S extends v.GenericSchema = v.GenericSchema> {
  readonly name: string;
  readonly summary: string;
  readonly arguments: readonly {
    readonly name: string;
    readonly description: string;
    readonly isVariadic?: boolean;
    readonly isOptional?: boolean;
  }[];
  /** Object schema in which each entry is a flag (`flags/options.ts`). */
  readonly options: S;
  /** Schema of the underlying operation's options, such as those of a pass. They also get flags. */
  readonly passSchema?: v.GenericSchema;
  /** Names of options in `passSchema` that have no flag, or whose flag is one of `options`. */
  readonly omittedKeys?: readonly string[];
  /** Names of flags that the command requires although a schema does not. */
  readonly requiredFlags?: readonly string[];
  /** Names of options in `options` that get no flag. */
  readonly flaglessKeys?: readonly string[];
  /** Returns whether a folder as an argument means the whole folder, and not the model in it. */
  isWholeFolder?(options: v.InferOutput<S>): boolean;
  /** Whether the command has no `--seed`. */
  readonly isDeterministic?: boolean;
  /** Example command lines without the leading `pith`. */
  readonly examples: readonly string[];
  run(words: readonly string[], options: v.InferOutput<S>, session: Session): Promise<Result>;
}

export interface Session {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly seed: number;
  /** Words of the command line without `pith` and without secrets, as reports record them. */
  readonly commandLine: readonly string[];
  readonly passOptions: Readonly<Record<string, unknown>>;
  /** Model file → folder that the user named instead of the file. */
  readonly namedFolders: ReadonlyMap<string, string>;
  /** Flags of the command, such as "--max-drop". */
  readonly flags: readonly string[];
  /** Runs a job (`jobs/<module>.ts`) in another process, or with `isHere` in this one. */
  runJob<J extends Job>(
    module: string | URL,
    input: Parameters<J>[0],
    name: string,
    jobOptions?: JobOptions,
  ): Promise<Awaited<ReturnType<J>>>;
}

/** Default export of a module in `processes/`, which runs a command in a separate process. */
export type ProcessRun<O, D = unknown> = (
  words: readonly string[],
  options: O,
  session: ProcessSession,
) => Promise<Result<D>>;

export interface ProcessSession
  extends JobContext,
    Pick<Session, "seed" | "commandLine" | "passOptions" | "namedFolders" | "flags"> {}

export interface JobOptions extends Pick<RunJobOptions, "keeps"> {
  /** The job runs no model and reads little, so it cannot block or crash this process. */
  readonly isHere?: boolean;
  /** Returns the error of a stopped job with what was kept. @param completeFileText a sentence about the complete file. */
  describeStop?(error: PithError, completeFileText: string | undefined): PithError;
}

export interface Result<D = unknown> extends PrintedResult {
  readonly json: D;
  /** File to which the result is appended as Markdown. */
  readonly markdownFile?: string | undefined;
  readonly isGoalMissed?: boolean;
  /** Whether the measurements decide neither way. */
  readonly isUndecided?: boolean;
  /** Error that is printed after the result. */
  readonly failure?: PithError | undefined;
}

/** Schema of seeds: integers that a number represents exactly. */
export const seedSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));

const sharedOptions = v.object({
  json: option(v.boolean(), "print the result as JSON"),
  seed: v.optional(withHelp(seedSchema, "random seed", { value: "n" }), 0),
});

export interface SharedOptions {
  readonly json: boolean;
  readonly seed: number;
  readonly passOptions: Readonly<Record<string, unknown>>;
}

/** Maximum number of flags that `--help` shows of a command. */
const maxFlags = 16;

/** Command → its guide in the package's folder docs/. */
const guides: ReadonlyMap<string, string> = new Map([
  ["inspect", "pruning.md"],
  ["studio", "studio.md"],
  ["check", "check.md"],
  ["eval", "data.md"],
  ["compress", "compress.md"],
  ["sensitivity", "sensitivity.md"],
  ["train", "training.md"],
  ["prune", "pruning.md"],
  ["quantize", "quantization.md"],
  ["factorize", "low-rank.md"],
  ["distill", "distillation.md"],
  ["recover", "pruning.md"],
]);

export function guideOf(command: string): string | undefined {
  const page = guides.get(command);
  return page === undefined ? undefined : `docs/${page}`;
}

export function defineCommand<S extends v.GenericSchema>(definition: CommandDefinition<S>): CommandDefinition<S> {
  return definition;
}

/** Builds the commander command of a definition. @param isFullHelp whether the help shows every flag. */
export function buildCommand<S extends v.GenericSchema>(
  definition: CommandDefinition<S>,
  execute: (options: SharedOptions, body: (session: Session) => Promise<Result>) => Promise<void>,
  { program = "pith", isFullHelp = true }: { readonly program?: string; readonly isFullHelp?: boolean } = {},
): Command {
  const command = new Command(definition.name);
  command.summary(definition.summary).description(`${capitalize(definition.summary)}.`);
  for (const { name, description, isVariadic, isOptional } of definition.arguments) {
    const form = isVariadic === true ? `<${name}...>` : isOptional === true ? `[${name}]` : `<${name}>`;
    command.addArgument(new Argument(form, description));
  }
  const { passSchema, options: ownSchema, omittedKeys = [], flaglessKeys = [] } = definition;
  // If both schemas have an option, the description in `passSchema` is used.
  const passedKeys =
    passSchema === undefined ? [] : [...keysOf(passSchema)].filter((key) => !omittedKeys.includes(key));
  if (passSchema !== undefined) addFlags(command, passSchema, new Set([...omittedKeys, ...keysOf(sharedOptions)]));
  addFlags(command, ownSchema, new Set([...flaglessKeys, ...passedKeys]));
  const requiredNames = new Set([
    ...(definition.requiredFlags ?? []),
    ...requiredKeys(ownSchema),
    ...(passSchema === undefined ? [] : requiredKeys(passSchema)),
  ]);
  for (const flag of command.options) if (requiredNames.has(flag.attributeName())) flag.description += " (required)";
  addFlags(command, sharedOptions, new Set(definition.isDeterministic === true ? ["seed"] : []));
  addHelp(command, definition, { program, isFullHelp });
  return command.action(async () => {
    const words = command.processedArgs.flat().flatMap((word) => (word === undefined ? [] : String(word)));
    const { json = false, seed } = readFlags(command, sharedOptions);
    const passedOptions = passSchema === undefined ? {} : flagsOnCommandLine(command, passSchema);
    for (const key of omittedKeys) delete passedOptions[key];
    await execute({ json, seed, passOptions: passedOptions }, async (session) => {
      const namedFolders = new Map<string, string>();
      const modelFiles: string[] = [];
      const pathOf = async (word: string): Promise<string> =>
        word.startsWith("hf:") ? (await import("./files/hub.ts")).downloadModel(word, session) : word;
      const fileOf = async (word: string): Promise<string> => {
        const path = await pathOf(word);
        const file = await findModel(path, session.terminal);
        if (file !== path) namedFolders.set(file, path);
        modelFiles.push(file);
        return file;
      };
      const models: string[] = [];
      const options = await withModelFiles(readFlags(command, ownSchema), fileOf);
      for (const word of words)
        models.push(definition.isWholeFolder?.(options) === true ? await pathOf(word) : await fileOf(word));
      try {
        return await definition.run(models, options, {
          ...session,
          namedFolders,
          passOptions: await withModelFiles(session.passOptions, fileOf),
        });
      } catch (error) {
        // A damaged file is reported before an option that is missing or does not fit.
        if (error instanceof PithError && (error.code === "E_OPTION" || error.code === "E_USAGE"))
          for (const file of modelFiles) if (file.endsWith(".onnx")) await requireIntact(file);
        throw await adviseSimplify(error, modelFiles, session);
      }
    });
  });
}

/** Adds flags, meanings of accepted words, examples and the guide to the help. */
function addHelp(
  command: Command,
  { name, passSchema, options, examples }: CommandDefinition,
  { program, isFullHelp }: { readonly program: string; readonly isFullHelp: boolean },
): void {
  const flagCount = command.options.length;
  const isFull = isFullHelp || flagCount <= maxFlags;
  for (const flag of command.options) {
    if (isFull || !(flag instanceof Flag)) continue;
    flag.hideHelp(!flag.isCommon).helpGroup("Options:");
  }
  const visible = command.options.filter(({ hidden }) => !hidden);
  if (flagCount > maxFlags) command.option("--help-all", "print help of all options");
  const keys = new Set(visible.map((flag) => flag.attributeName()));
  for (const [key, { title, rows }] of [
    ...(passSchema === undefined ? [] : meaningsOf(passSchema)),
    ...meaningsOf(options),
  ]) {
    if (!keys.has(key)) continue;
    const width = Math.max(...rows.map(([word]) => word.length));
    command.addHelpText("after", ({ command: helpCommand }) => {
      const help = helpCommand.createHelp();
      help.prepareContext({ helpWidth: helpCommand.configureOutput().getOutHelpWidth?.() ?? 80 });
      return `\n${title}\n${rows.map(([word, meaning]) => help.formatItem(word, width, meaning, help)).join("\n")}`;
    });
  }
  const guide = guideOf(name);
  command.addHelpText(
    "after",
    [
      ...(isFull ? [] : ["", `More options: ${flagCount - visible.length}. See ${program} ${name} --help-all.`]),
      ...["", "Examples:", ...examples.map((line) => `  $ ${program} ${line}`)],
      ...(guide === undefined ? [] : ["", `Guide: ${guide}`]),
    ].join("\n"),
  );
}

/** Suggests `pith simplify` for a model that ONNX Runtime rejects, if the simplified model loads. */
async function adviseSimplify(error: unknown, models: readonly string[], { runJob }: Pick<Session, "runJob">) {
  if (!(error instanceof PithError) || error.code !== "E_ENGINE") return error;
  const model = await runJob<typeof loadableJob>("loadable", { models }, "simplify").catch(() => undefined);
  if (model === undefined) return error;
  return error.reworded({ hint: `Run pith simplify ${quoteWord(model)} first, and use its result: it loads.` });
}
