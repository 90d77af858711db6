import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { moduleOf } from "#root";
import { capitalize, type ErrorCode, PithError } from "../../core/errors.ts";
import { version } from "../../core/version.ts";
import type { Job, JobEvent } from "../../runtime/job/job.ts";
import type { RunOptions } from "../../runtime/job/run.ts";
import { publicWords, secretsHidden } from "./addresses.ts";
import type { CommonOptions, Result, Session } from "./command.ts";
import { commands, type Listed } from "./commands.ts";
import { asTyped } from "./invocation.ts";
import { type Environment, type Stream, Terminal, widthOf } from "./terminal.ts";

/** Errors that a different command line avoids: a wrong flag, an invalid setting, an unknown layer. */
const usageCodes: ReadonlySet<ErrorCode> = new Set(["E_USAGE", "E_OPTION", "E_NAME"]);

export const exitCode = { ok: 0, failed: 1, usage: 2 } as const;

export interface Surroundings {
  readonly out: Stream;
  readonly err: Stream;
  readonly signal: AbortSignal;
  readonly env?: Environment;
  /** The word that starts Pith (default: "pith"). */
  readonly program?: string;
  readonly commands?: readonly Listed[];
  readonly runJob?: typeof import("../../runtime/job/run.ts").runJob;
}

/** Runs a command line and returns the exit code: 0 done, 1 failed or a goal missed, 2 wrong usage. */
export async function runProgram(typed: readonly string[], surroundings: Surroundings): Promise<number> {
  const { signal } = surroundings;
  const words = typed.map((word) => (word.startsWith("file://") ? fileURLToPath(word) : word));
  // Programs use either for the version.
  if (words[0] === "-V") words[0] = "-v";
  const terminal = openTerminal(surroundings, words);
  let code: number = exitCode.ok;
  // Loaded lazily, because help needs no jobs.
  const job = async <J extends Job>(
    module: string | URL,
    input: Parameters<J>[0],
    name: string,
    how: Pick<RunOptions, "keeps" | "modules"> = {},
  ): Promise<Awaited<ReturnType<J>>> => {
    const run = surroundings.runJob ?? (await import("../../runtime/job/run.ts")).runJob;
    const { onCommandLine } = await import("./invalid-options.ts");
    const flags = asked === undefined ? undefined : flagsOf(asked);
    let stage = "";
    const onEvent = (event: JobEvent): void => {
      if (event.kind === "stage") stage = event.name;
      terminal.event(event.kind === "log" ? { ...event, text: onCommandLine(event.text, flags) } : event);
    };
    try {
      return await run<J>(typeof module === "string" ? moduleOf(`app/cli/jobs/${module}`) : module, input, {
        ...how,
        name,
        signal,
        onEvent,
      });
    } catch (error) {
      throw stoppedDuring(error, words[0] ?? "", stage);
    }
  };
  const execute = async (options: CommonOptions, body: (session: Session) => Promise<Result>): Promise<void> => {
    const { seed, passed } = options;
    const session: Session = { terminal, signal, seed, line: publicWords(words), passed, folders: new Map(), job };
    const result = await body(session);
    terminal.close();
    if (options.json) terminal.document(result.data);
    else result.print(terminal);
    if (result.failure !== undefined) terminal.fail(await advised(result.failure, asked, words));
    if (result.goalMissed === true || result.failure !== undefined) code = exitCode.failed;
  };
  let asked: Command | undefined;
  try {
    // A shell completes a word; it ignores errors.
    if (words[0] === "complete" && words[1] === "--") {
      const { candidates } = await import("./completion/complete.ts");
      const typed = words.slice(2);
      const found = candidates(await buildProgram(typed, surroundings, execute), typed);
      terminal.text(found.map(({ word, meaning }) => `${word}\t${meaning}\n`).join(""));
      return exitCode.ok;
    }
    const program = await buildProgram(words, surroundings, execute);
    asked = program.commands.find((command) => command.name() === words[0]);
    const settled = asked === undefined ? words : (await import("./options.ts")).settleFlags(asked, words);
    await requireCommand(program, words);
    await program.parseAsync([...settled], { from: "user" });
    return code;
  } catch (error) {
    terminal.close();
    if (error instanceof CommanderError && error.exitCode === 0) return exitCode.ok;
    // Help was shown because the command is missing.
    if (error instanceof CommanderError && error.code === "commander.help") return exitCode.usage;
    const failure =
      error instanceof CommanderError ? await usageError(error, asked, words) : await advised(error, asked, words);
    terminal.fail(failure);
    return failure instanceof PithError && usageCodes.has(failure.code) ? exitCode.usage : exitCode.failed;
  }
}

/** Commander would print the help for an unknown command. @throws PithError E_USAGE */
async function requireCommand(program: Command, words: readonly string[]): Promise<void> {
  const [first, second] = words;
  const typed = first === "help" ? second : first;
  const names = program.commands.map((command) => command.name());
  if (typed === undefined || typed === "help" || isFlag(typed) || names.includes(typed)) return;
  const { nearest } = await import("../../core/graph/nearest.ts");
  const meant = nearest(typed, names);
  const hint = meant === undefined ? "See pith --help." : `Did you mean ${meant}?`;
  throw new PithError("E_USAGE", `Unknown command '${typed}'.`, { hint });
}

async function advised(error: unknown, command: Command | undefined, words: readonly string[]): Promise<unknown> {
  const failure = error instanceof PithError ? error : (await import("./module-failure.ts")).blamed(error);
  if (!(failure instanceof PithError) || command === undefined) return failure;
  const { withPathMeant } = await import("./path-meant.ts");
  const { ownAdvice } = await import("./invalid-options.ts");
  return ownAdvice(await withPathMeant(failure, words), flagsOf(command));
}

function flagsOf(command: Command): ReadonlySet<string> {
  return new Set(["--help", ...command.options.flatMap(({ long }) => long ?? [])]);
}

async function buildProgram(
  words: readonly string[],
  { out, err, commands: listing = commands, program: name = "pith" }: Surroundings,
  execute: (options: CommonOptions, body: (session: Session) => Promise<Result>) => Promise<void>,
): Promise<Command> {
  const program = new Command(name);
  program
    .description(
      "Make ONNX models smaller, and check that they still work: prune, quantize, distill, factorize, measure.",
    )
    .version(version, "-v, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help of a command")
    .showSuggestionAfterError(true);
  const asked = words.slice(0, words[0] === "help" ? 2 : 1);
  for (const listed of listing) {
    if (asked.includes(listed.name)) {
      const [{ buildCommand }, { default: definition }] = await Promise.all([import("./command.ts"), listed.load()]);
      program.addCommand(buildCommand(definition, execute, name));
    } else program.command(listed.name).summary(listed.summary);
  }
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

/** Converts `error: unknown option '--bts'\n(Did you mean --bits?)` to a PithError. */
async function usageError(
  error: CommanderError,
  command: Command | undefined,
  words: readonly string[],
): Promise<PithError> {
  if (error.code === "commander.excessArguments" && command !== undefined) {
    const refused = (await import("./options.ts")).strayWord(command, words);
    if (refused instanceof PithError) return refused.reworded({ hint: refused.hint ?? helpOf(command) });
  }
  // A missing flag may be present but mistyped.
  const isMissing = error.code === "commander.missingMandatoryOptionValue";
  const strange = isMissing ? command?.args.find(isFlag) : undefined;
  if (strange !== undefined) {
    const hint = (await flagMeant(strange, command)) ?? helpOf(command);
    return new PithError("E_USAGE", `Unknown option '${strange}'.`, { hint });
  }
  if (isMissing) {
    const { RequiredFlag } = await import("./options.ts");
    for (const option of command?.options ?? []) {
      if (!(option instanceof RequiredFlag) || command?.getOptionValue(option.attributeName()) !== undefined) continue;
      return new PithError("E_USAGE", `${option.long} is needed: ${option.meaning}.`, { hint: helpOf(command) });
    }
  }
  const [first = "", ...rest] = error.message.split("\n");
  const sentence = first.replace(/^error: /, "").replace(/[.]?$/, ".");
  const hint = rest
    .join(" ")
    .replace(/^\((.*)\)$/, "$1")
    .trim();
  return new PithError("E_USAGE", capitalize(sentence), {
    hint: (await unknownMeant(error, command)) ?? (hint === "" ? helpOf(command) : hint),
  });
}

/** Commander suggests similar spellings, but not synonyms. */
async function unknownMeant(
  { code, message }: CommanderError,
  command: Command | undefined,
): Promise<string | undefined> {
  const typed = code === "commander.unknownOption" ? /'(--[^']+)'/.exec(message)?.[1] : undefined;
  return typed === undefined ? undefined : flagMeant(typed, command);
}

async function flagMeant(typed: string, command: Command | undefined): Promise<string | undefined> {
  const { unknownOptionHint } = await import("../../core/pass/suggest-option.ts");
  const flags = (command?.options ?? []).flatMap(({ long }) => long ?? []);
  return unknownOptionHint(typed, flags);
}

function helpOf(command: Command | undefined): string {
  return `See pith ${command === undefined ? "" : `${command.name()} `}--help.`;
}

function isFlag(word: string): boolean {
  return /^--?[a-z]/i.test(word);
}

const besides = new Map([
  ["preprocessing", "guessing the preprocessing of images"],
  ["original", "measuring the original"],
  ["evaluate", "measuring the result"],
  ["compare", "comparing the result with the original"],
]);

export function stoppedDuring(error: unknown, command: string, stage: string): unknown {
  const doing = besides.get(stage);
  if (!(error instanceof PithError) || error.code !== "E_STOPPED" || doing === undefined || command === "eval")
    return error;
  const { hint } = error;
  const options = { cause: error, hint };
  return new PithError("E_STOPPED", `${command} was stopped while ${doing}.`, options);
}

function openTerminal({ out, err, env = {}, program = "pith" }: Surroundings, words: readonly string[]): Terminal {
  const about = `pith ${version}, Node ${process.version}, ${process.platform} ${process.arch}`;
  return new Terminal({
    ...{ out, err, json: words.includes("--json"), env, about },
    typed: (text) => asTyped(text, program),
    withoutSecrets: secretsHidden(words),
  });
}
