/** Runs one wrong command line in a separate process, and checks its messages and the files it leaves. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export interface Mistake {
  readonly name: string;
  readonly words: readonly string[];
  /** Exit code: 2 if the command line is wrong, 1 if a file or the result is. */
  readonly code: 1 | 2;
  /** Pattern that the error code and the sentence must match. */
  readonly says: RegExp;
  /** Pattern that the hint must match. */
  readonly hint?: RegExp;
  /** Whether the command prints a negative result on standard output and nothing on standard error. */
  readonly answer?: true;
  /** Whether notes on standard error before the sentence are expected. */
  readonly remarks?: true;
  /** Whether tables of the attempts before the sentence are expected. */
  readonly shows?: true;
  /** Text on standard error that triggers Ctrl-C. */
  readonly interruptAt?: RegExp;
  /** Whether standard output goes to a full disk. */
  readonly full?: true;
}

export interface Outcome {
  readonly name: string;
  readonly code: number | string;
  /** The error message. */
  readonly said: string;
  readonly output: string;
  /** Violated requirements; empty if the case passes. */
  readonly faults: readonly string[];
}

const program = fileURLToPath(new URL("../../src/app/cli/main.ts", import.meta.url));
const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
/** Milliseconds after which a command counts as hanging. */
const longest = 120_000;

export async function runCase(one: Mistake, folder: string, temporary: string, before: string): Promise<Outcome> {
  const { code, out, err } = await run(one, folder, temporary);
  const faults: string[] = [];
  const demand = (held: boolean, fault: string): void => {
    if (!held) faults.push(fault);
  };
  const lines = (one.answer === true ? out : err).trimEnd().split("\n");
  const hint = lines.at(-1)?.startsWith("hint: ") === true ? lines.pop() : undefined;
  const sentence = lines.at(-1) ?? "";
  demand(code === one.code, `exit code ${code} instead of ${one.code}`);
  demand(!/internal:|^\s+at .*:\d+\)?$|node:internal/m.test(err + out), "a stack trace");
  demand(fingerprint(folder) === before, "the folder changed");
  demand(one.says.test(one.answer === true ? out : sentence), `it does not say ${one.says}`);
  if (one.hint !== undefined) demand(one.hint.test(hint ?? ""), `the hint does not say ${one.hint}`);
  if (one.answer === true) demand(err === "", "something on standard error");
  else {
    demand(one.shows === true || out === "", "something on standard output");
    demand(/^E_[A-Z_]+: [^\n]+[.?]$/.test(sentence), "no sentence");
    demand(one.remarks === true || lines.length === 1, `${lines.length} lines on standard error`);
  }
  const message = one.answer === true ? lines.join(" ").trim() : sentence;
  return {
    name: one.name,
    code,
    said: message.length > 140 ? `${message.slice(0, 139)}…` : message,
    output: out + err,
    faults,
  };
}

interface Ran {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

function run({ words, interruptAt, full }: Mistake, folder: string, temporary: string): Promise<Ran> {
  const target = full === true ? openSync("/dev/full", "w") : "pipe";
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--import", loader, "--conditions=pith-source", program, ...words], {
      cwd: folder,
      env: { ...process.env, TMPDIR: temporary, NO_COLOR: "1" },
      stdio: ["ignore", target, "pipe"],
    });
    const text = { out: "", err: "" };
    let interrupted = false;
    const timer = setTimeout(() => child.kill("SIGKILL"), longest);
    child.stdout?.on("data", (chunk) => {
      text.out += chunk;
    });
    child.stderr?.on("data", (chunk) => {
      text.err += chunk;
      if (interruptAt?.test(text.err) !== true || interrupted) return;
      interrupted = true;
      child.kill("SIGINT");
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (typeof target === "number") closeSync(target);
      resolve({ code: code ?? signal ?? "none", ...text });
    });
  });
}

/** Hashes the names, kinds and contents of everything in a folder. */
export function fingerprint(folder: string): string {
  const hash = createHash("sha256");
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  for (const name of names) {
    const path = join(folder, name);
    const facts = lstatSync(path);
    hash.update(`${name}\0`);
    if (facts.isSymbolicLink()) hash.update(readlinkSync(path));
    else if (facts.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}
