/** Runs a command line, and prints its result or its error. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { capitalize, type ErrorCode, PithError, usageError } from "#ir";
import { appendFile } from "#platform";
import { moduleOf } from "#root";
import { permitModules } from "../../core/platform/node-modules.ts";
import { version } from "../../core/version.ts";
import type { AnnouncedFiles, Job, JobEvent } from "../../runtime/job/job.ts";
import type { JobOptions, Result, Session, SharedOptions } from "./command.ts";
import { commands, type ListedCommand } from "./commands.ts";
import { isPossibleAdvice, withFlagNames } from "./flags/flag-names.ts";
import { createSecretRemover, publicWords } from "./print/addresses.ts";
import { type Environment, type Stream, Terminal, widthOf } from "./print/terminal.ts";

/** Codes of errors that another command line would avoid. */
const usageCodes: ReadonlySet<ErrorCode> = new Set(["E_USAGE", "E_OPTION", "E_NAME"]);

export const exitCodes = { ok: 0, failed: 1, usage: 2, undecided: 3 } as const;

export interface ProgramEnvironment {
  readonly out: Stream;
  readonly err: Stream;
  readonly signal: AbortSignal;
  readonly env?: Environment;
  readonly program?: string;
  readonly commands?: readonly ListedCommand[];
  readonly runJob?: typeof import("../../runtime/job/run.ts").runJob;
}

/** Runs a command line and returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 undecided. */
export async function runProgram(args: readonly string[], surroundings: ProgramEnvironment): Promise<number> {
  const { signal } = surroundings;
  const words = args.map((word) => (word.startsWith("file://") ? fileURLToPath(word) : word));
  permitModules(words.flatMap(pathsOf));
  // Some programs use -V for the version, and others -v, so Pith accepts both flags.
  if (words[0] === "-V") words[0] = "-v";
  const terminal = openTerminal(surroundings, words, () => command);
  let code: number = exitCodes.ok;
  // The module is loaded when the first job starts, because help needs no jobs.
  const runJob = async <J extends Job>(
    module: string | URL,
    input: Parameters<J>[0],
    name: string,
    { isHere = false, describeStop = (error) => error, ...runOptions }: JobOptions = {},
  ): Promise<Awaited<ReturnType<J>>> => {
    const defaultWorker = isHere
      ? (await import("../../runtime/job/run-in-process.ts")).runInProcess
      : (await import("../../runtime/job/run.ts")).runJob;
    const run = surroundings.runJob ?? defaultWorker;
    let stage = "";
    const announcedFiles: AnnouncedFiles[] = [];
    const onEvent = (event: JobEvent): void => {
      if (event.kind === "stage") stage = event.name;
      if (event.kind === "writes") announcedFiles.push(event);
      else terminal.showEvent(event);
    };
    const { removeTemporaries, describeCompleteFile: describeComplete } = await import("./files/announced-files.ts");
    const removeAnnounced = (): void => announcedFiles.forEach(removeTemporaries);
    // The job's process is killed before its files are removed, because `runJob` puts its exit listener first.
    process.on("exit", removeAnnounced);
    const url = typeof module === "string" ? moduleOf(`app/cli/jobs/${module}`) : module;
    try {
      return await run<J>(url, input, { ...runOptions, name, signal, onEvent });
    } catch (error) {
      removeAnnounced();
      const stageError = describeStoppedStage(error, words[0] ?? "", stage);
      if (!(stageError instanceof PithError) || stageError.code !== "E_STOPPED") throw stageError;
      throw describeStop(stageError, describeComplete(announcedFiles));
    } finally {
      process.off("exit", removeAnnounced);
    }
  };
  const execute = async (options: SharedOptions, body: (session: Session) => Promise<Result>): Promise<void> => {
    const { seed, passOptions } = options;
    const session: Session = {
      terminal,
      signal,
      seed,
      passOptions,
      runJob,
      commandLine: publicWords(words),
      namedFolders: new Map(),
      flags: flagsOf(command),
    };
    const result = await body(session);
    terminal.close();
    if (options.json) terminal.printJson(withFlagNames(result.json, flagsOf(command)));
    else result.print(terminal);
    if (result.markdownFile !== undefined) {
      const { markdownOf } = await import("./print/printed-result.ts");
      const line = publicWords(["pith", command?.name() ?? "", ...(command?.args ?? [])]).join(" ");
      const section = markdownOf(line, flagsOf(command), result);
      await appendFile(result.markdownFile, section);
    }
    if (result.failure !== undefined) terminal.printError(await withAdvice(result.failure, command, words));
    if (result.isGoalMissed === true || result.failure !== undefined) code = exitCodes.failed;
    else if (result.isUndecided === true) code = exitCodes.undecided;
  };
  let command: Command | undefined;
  try {
    const isFullHelp = words.includes(fullHelp);
    const commandWords = words.map((word) => (word === fullHelp ? "--help" : word));
    const program = await buildProgram(commandWords, surroundings, execute, isFullHelp);
    command = program.commands.find((candidate) => candidate.name() === commandWords[0]);
    const separatedWords =
      command === undefined
        ? commandWords
        : (await import("./flags/options.ts")).separateFlagValues(command, commandWords);
    await requireCommand(program, commandWords);
    await program.parseAsync([...separatedWords], { from: "user" });
    return code;
  } catch (error) {
    terminal.close();
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    // The help was shown because the command is missing.
    if (error instanceof CommanderError && error.code === "commander.help") return exitCodes.usage;
    const failure =
      error instanceof CommanderError
        ? await fromCommanderError(error, command, words)
        : await withAdvice(error, command, words);
    terminal.printError(failure);
    return failure instanceof PithError && usageCodes.has(failure.code) ? exitCodes.usage : exitCodes.failed;
  }
}

/** Returns the paths that a word can name: `rows.mjs`, `--data=rows.mjs`, `a.mjs,b.mjs`. */
function pathsOf(word: string): readonly string[] {
  const value = word.slice(word.indexOf("=") + 1);
  return [word, value, ...value.split(",")];
}

const fullHelp = "--help-all";

/** Checks that the command exists, because commander would print the help for an unknown one. @throws PithError E_USAGE. */
async function requireCommand(program: Command, words: readonly string[]): Promise<void> {
  const [first, second] = words;
  const typedName = first === "help" ? second : first;
  const names = program.commands.map((command) => command.name());
  if (typedName === undefined || typedName === "help" || /^--?[a-z]/i.test(typedName) || names.includes(typedName))
    return;
  const { nearest } = await import("../../core/graph/nearest.ts");
  const similarName = nearest(typedName, names);
  const hint = similarName === undefined ? "See pith --help." : `Did you mean ${similarName}?`;
  throw usageError(`Unknown command '${typedName}'.`, { hint });
}

/** Returns the error with additions for the user, such as similar paths. */
async function withAdvice(error: unknown, command: Command | undefined, words: readonly string[]): Promise<unknown> {
  const failure = error instanceof PithError ? error : (await import("./module-failure.ts")).asModuleError(error);
  if (!(failure instanceof PithError) || command === undefined) return failure;
  const { suggestPath } = await import("./files/suggest-path.ts");
  const suggestion = await suggestPath(failure, words);
  const optionalKeys = ["force", "loss", ...Object.keys((await import("./commands/eval.ts")).options.entries)];
  const hint = suggestion.advice.filter((text) => isPossibleAdvice(text, flagsOf(command), optionalKeys));
  return suggestion.reworded({ hint });
}

const flagsOf = (command: Command | undefined): readonly string[] =>
  command?.options.flatMap(({ long }) => long ?? []) ?? [];

/** Returns the program with the names of all commands. Only the command that the words name is loaded. */
async function buildProgram(
  words: readonly string[],
  { out, err, commands: listing = commands, program: name = "pith" }: ProgramEnvironment,
  execute: (options: SharedOptions, body: (session: Session) => Promise<Result>) => Promise<void>,
  isFullHelp: boolean,
): Promise<Command> {
  const program = new Command(name);
  program
    .description(
      "Make ONNX models smaller, and check that they still work: prune, quantize, distill, factorize, measure.",
    )
    .version(version, "-v, --version", "print the version")
    .showSuggestionAfterError(true);
  const namedCommands = words.slice(0, words[0] === "help" ? 2 : 1);
  for (const listedCommand of listing) {
    program.commandsGroup(listedCommand.group ?? program.commandsGroup());
    if (namedCommands.includes(listedCommand.name)) {
      const [{ buildCommand }, { default: definition }] = await Promise.all([
        import("./command.ts"),
        listedCommand.load(),
      ]);
      program.addCommand(buildCommand(definition, execute, { program: name, isFullHelp }));
    } else program.command(listedCommand.name).summary(listedCommand.summary);
  }
  program
    .helpCommand("help [command]", "print help of a command")
    .addHelpText("after", `\nExample:\n  $ ${name} compress model.onnx --data samples/ --max-drop 1% -o out/`);
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .helpOption("-h, --help", "print help")
      .configureOutput({
        writeOut: (text) => out.write(text),
        writeErr: (text) => err.write(text),
        getOutHelpWidth: () => widthOf(out),
        getErrHelpWidth: () => widthOf(err),
        outputError: () => {},
      });
  }
  return program;
}

/** Converts an error of commander to a PithError. */
async function fromCommanderError(
  error: CommanderError,
  command: Command | undefined,
  words: readonly string[],
): Promise<PithError> {
  const help = `See pith ${command === undefined ? "" : `${command.name()} `}--help.`;
  if (error.code === "commander.excessArguments" && command !== undefined) {
    const rejection = (await import("./flags/options.ts")).explainExcessWord(command, words);
    if (rejection instanceof PithError) return rejection.reworded({ hint: rejection.hint ?? help });
  }
  const [first = "", ...rest] = error.message.split("\n");
  const sentence = first.replace(/^error: /, "").replace(/[.]?$/, ".");
  const suggestion = rest
    .join(" ")
    .replace(/^\((.*)\)$/, "$1")
    .trim();
  const hint = (await suggestFlag(error, command)) ?? (suggestion === "" ? help : suggestion);
  return usageError(capitalize(sentence), { hint });
}

/** Returns a flag with the same meaning, because commander suggests only similar spellings. */
async function suggestFlag(
  { code, message }: CommanderError,
  command: Command | undefined,
): Promise<string | undefined> {
  const typedFlag = code === "commander.unknownOption" ? /'(--[^']+)'/.exec(message)?.[1] : undefined;
  if (typedFlag === undefined) return undefined;
  const { unknownOptionHint } = await import("../../core/pass/suggest-option.ts");
  const flags = (command?.options ?? []).flatMap(({ long }) => long ?? []);
  return unknownOptionHint(typedFlag, flags);
}

const stageTexts = new Map([
  ["preprocessing", "guessing the preprocessing of images"],
  ["original", "measuring the original"],
  ["evaluate", "measuring the result"],
  ["compare", "comparing the result with the original"],
]);

/** Returns an error that names the command, if it was stopped outside of its own work. */
export function describeStoppedStage(error: unknown, command: string, stage: string): unknown {
  const activity = stageTexts.get(stage);
  if (!(error instanceof PithError) || error.code !== "E_STOPPED" || activity === undefined || command === "eval")
    return error;
  const options = { cause: error, hint: error.hint };
  return new PithError("E_STOPPED", `${command} was stopped while ${activity}.`, options);
}

function openTerminal(
  { out, err, env = {}, program = "pith" }: ProgramEnvironment,
  words: readonly string[],
  commandNow: () => Command | undefined,
): Terminal {
  const versions = `pith ${version}, Node ${process.version}, ${process.platform} ${process.arch}`;
  return new Terminal({
    out,
    err,
    json: words.includes("--json"),
    env,
    versions,
    asTyped: (text) => replaceProgramName(withFlagNames(text, flagsOf(commandNow())), program),
    withoutSecrets: createSecretRemover(words),
  });
}

const npxPith = "npx --no-install pith";

/** Pattern of folders that npx and scripts of npm, pnpm and yarn add to the PATH. They are not on the PATH of the user's shell. */
const projectFolder = /[/\\]node_modules[/\\]\.bin[/\\]?$/;

/** Returns the words that start Pith. Without `--no-install`, npx could download another package. */
export function invocation({ PATH = "" }: { readonly PATH?: string | undefined }): "pith" | typeof npxPith {
  const folders = PATH.split(delimiter).filter((folder) => folder !== "" && !projectFolder.test(folder));
  const isInstalled = folders.some((folder) => ["pith", "pith.cmd"].some((name) => existsSync(join(folder, name))));
  return isInstalled ? "pith" : npxPith;
}

const names = commands.map(({ name }) => name).join("|");
const commandLine = new RegExp(`(?<![\\w./-]|npx |npx --no-install )pith (?=(?:${names}|help|--help)\\b)`, "g");

/** Replaces `pith eval …` by `npx --no-install pith eval …` if that is how the user starts Pith. */
export function replaceProgramName(text: string, program: string): string {
  return program === "pith" ? text : text.replace(commandLine, `${program} `);
}
