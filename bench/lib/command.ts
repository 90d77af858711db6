/** Runs the command line inside a bench process. Its jobs run in separate processes, and its result is data. */
import { runProgram } from "../../src/app/cli/program.ts";

export interface Ran {
  readonly code: number;
  readonly seconds: number;
  /** Output of `--json`; undefined if the command failed. */
  readonly data: unknown;
  /** The last sentence on standard error. */
  readonly error: string | undefined;
}

export async function pith(...words: readonly string[]): Promise<Ran> {
  const text = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    write: (more: string) => {
      text[name] += more;
    },
  });
  const started = performance.now();
  const { signal } = new AbortController();
  const code = await runProgram([...words, "--json"], { out: stream("out"), err: stream("err"), signal });
  const seconds = (performance.now() - started) / 1000;
  return {
    code,
    seconds,
    data: text.out === "" ? undefined : JSON.parse(text.out),
    error: text.out === "" ? errorOf(text.err) : undefined,
  };
}

function errorOf(text: string): string {
  for (const json of text.trim().split("\n").reverse()) {
    try {
      const { error } = JSON.parse(json) as { error?: { code: string; message: string } };
      if (error !== undefined) return `${error.code}: ${error.message}`;
    } catch {
      return json;
    }
  }
  return "nothing was printed";
}
