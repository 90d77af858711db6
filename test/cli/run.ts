/** The compiled program in this process, its output as text or as data. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inject } from "vitest";

const compiled = (module: string): string => join(inject("compiled"), module);

/** The compiled program, to be started by Node. */
export const program = compiled("cli/main.js");

const { runProgram }: typeof import("../../src/cli/program.ts") = await import(
  pathToFileURL(compiled("cli/program.js")).href
);

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function pith(...words: string[]): Promise<Ran> {
  const text = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    write: (more: string) => {
      text[name] += more;
    },
  });
  const signal = new AbortController().signal;
  const code = await runProgram(words, { out: stream("out"), err: stream("err"), signal });
  return { code, ...text };
}

/** What `--json` prints, and the exit code. @throws Error with what went to standard error, if nothing was printed. */
export async function json(...words: string[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, out, err } = await pith(...words, "--json");
  if (out === "") throw new Error(err);
  return { ...JSON.parse(out), code };
}
