/** The compiled program and its jobs in this process, its output as text or as data. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inject } from "vitest";
import type { ProgramEnvironment } from "../../../src/app/cli/program.ts";
import { eventContext, type Job } from "../../../src/runtime/job/job.ts";
import type { RunJobOptions } from "../../../src/runtime/job/run.ts";
import { temporaryFolder } from "../../temporary.ts";

export const compiled = (module: string): string => join(inject("compiled"), module);

/** The compiled program, to be started by Node. */
export const program = compiled("app/cli/main.js");

const { runProgram }: typeof import("../../../src/app/cli/program.ts") = await import(
  pathToFileURL(compiled("app/cli/program.js")).href
);

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const signal = new AbortController().signal;

/** To start a process takes longer than most jobs do; what crosses is copied, as between processes. */
export async function runJob<J extends Job>(
  module: URL,
  input: Parameters<J>[0],
  { onEvent = () => {} }: RunJobOptions = {},
): Promise<Awaited<ReturnType<J>>> {
  const { default: job }: { default: J } = await import(module.href);
  const context = eventContext({ signal, temporary: temporaryFolder() }, onEvent);
  return structuredClone(await job(structuredClone(input) as never, context)) as Awaited<ReturnType<J>>;
}

export const pith = (...words: string[]): Promise<Ran> => run(words, { runJob });

/** Runs each job in a process of its own, as the installed program does. */
export const runWithProcesses = (...words: string[]): Promise<Ran> => run(words, {});

export async function run(
  words: readonly string[],
  how: Partial<Pick<ProgramEnvironment, "runJob" | "signal">>,
): Promise<Ran> {
  const text = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    write: (more: string) => {
      text[name] += more;
    },
  });
  const code = await runProgram(words, { out: stream("out"), err: stream("err"), signal, ...how });
  return { code, ...text };
}

/** Parses the output of `--json`, and adds the exit code. @throws Error with the text of standard error if nothing was printed. */
export async function json(...words: string[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, out, err } = await pith(...words, "--json");
  if (out === "") throw new Error(err);
  return { ...JSON.parse(out), code };
}
