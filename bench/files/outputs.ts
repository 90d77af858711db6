/**
 * Runs every model in ONNX Runtime as it was and as Pith saved it, and checks that the outputs are bit-identical.
 *
 * Some models crash the runtime, so they run in a child process. A new child continues after the model that crashed.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { line, table } from "../lib/print.ts";

interface Known {
  readonly index: number;
  readonly group: string;
  readonly name: string;
}

/** The result of one model. */
export interface Ran extends Known {
  readonly result: "same" | "different" | "not loaded" | "not run" | "crashed" | "loaded before only";
  readonly why?: string;
}

const child = fileURLToPath(new URL("run-both.ts", import.meta.url));

/** @returns whether no output differs, and every model that loaded before saving also loads after it. */
export async function compareOutputs(): Promise<boolean> {
  const all: Ran[] = [];
  for (let next = 0; ; ) {
    const { ran, open } = await runFrom(next);
    all.push(...ran);
    if (open === undefined) break;
    all.push({ ...open, result: "crashed" });
    next = open.index + 1;
  }
  const groups = [...new Set(all.map(({ group }) => group))];
  const results = ["same", "not loaded", "not run", "crashed", "different"] as const;
  const count = (group: string, result: Ran["result"]): string =>
    String(all.filter((ran) => ran.group === group && ran.result === result).length);
  line("\nRun by ONNX Runtime before and after");
  table(
    ["", ">same outputs", ">not loaded", ">not run", ">crashed", ">different"],
    groups.map((group) => [group, ...results.map((result) => count(group, result))]),
  );
  line("  Not loaded: ONNX Runtime rejects the original. Not run: inputs or outputs that JavaScript cannot carry.");
  const faults = all.filter(({ result }) => result === "different" || result === "loaded before only");
  for (const { group, name, result, why } of faults) line(`  ${group}, ${name}: ${result} ${why ?? ""}`);
  for (const { group, name } of all.filter(({ result }) => result === "crashed"))
    line(`  ${group}, ${name}: takes ONNX Runtime's process down`);
  return faults.length === 0 && all.some(({ result }) => result === "same");
}

type Message = { readonly start: Known } | { readonly ran: Ran };

/** Runs models from an index on. `open` is the model that was running when the process ended. */
async function runFrom(index: number): Promise<{ ran: Ran[]; open: Known | undefined }> {
  const running = spawn(process.execPath, ["--conditions=pith-source", "--import", "tsx", child, String(index)], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ran: Ran[] = [];
  let open: Known | undefined;
  for await (const text of createInterface({ input: running.stdout })) {
    if (!text.startsWith("{")) continue;
    const message = JSON.parse(text) as Message;
    if ("start" in message) open = message.start;
    else {
      ran.push(message.ran);
      open = undefined;
    }
  }
  return { ran, open };
}
