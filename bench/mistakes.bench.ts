/**
 * Runs wrong command lines and wrong files: each must end with one sentence and the right exit code, and leave no files behind.
 *
 *     npm run bench -- mistakes [part of a case's name …]
 *
 * Every case runs the real command line in a separate process and folder. Requirements for all cases: exit code 2 if the command line is
 * wrong, 1 if a file or the result is; nothing on standard output; one line `E_CODE: sentence.` and at most one hint on standard error;
 * no stack trace; and an unchanged folder, byte for byte.
 */
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { line, table } from "./lib/print.ts";
import { cases } from "./mistakes/cases.ts";
import { makeFiles } from "./mistakes/files.ts";
import { fingerprint, type Outcome, runCase } from "./mistakes/run.ts";

const asked = process.argv.slice(2);
const chosen = cases.filter(({ name }) => asked.length === 0 || asked.some((part) => name.includes(part)));
const root = mkdtempSync(join(tmpdir(), "mistakes-"));
const outcomes: Outcome[] = new Array(chosen.length);
try {
  const files = mkdtempSync(join(root, "files-"));
  const temporary = mkdtempSync(join(root, "temporary-"));
  await makeFiles(files);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let place = next++; place < chosen.length; place = next++) {
      const mistake = chosen[place];
      if (mistake === undefined) return;
      const folder = mkdtempSync(join(root, "case-"));
      cpSync(files, folder, { recursive: true, verbatimSymlinks: true });
      const before = fingerprint(folder);
      outcomes[place] = await runCase(mistake, folder, temporary, before);
      rmSync(folder, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work));
  report(readdirSync(temporary).filter((name) => name.startsWith("pith-")));
} finally {
  rmSync(root, { recursive: true });
}

function report(left: readonly string[]): void {
  table(
    ["", "", ">exit", "what was said"],
    outcomes.map(({ name, faults, code, said }) => [faults.length === 0 ? "ok" : "WRONG", name, String(code), said]),
  );
  const wrong = outcomes.filter(({ faults }) => faults.length > 0);
  for (const { name, faults, output } of wrong) {
    line(`\n${name}: ${faults.join("; ")}`);
    for (const text of output.trimEnd().split("\n").slice(0, 30)) line(`  | ${text}`);
  }
  if (left.length > 0) line(`\nleft in the temporary folder: ${left.join(", ")}`);
  line(`\n${outcomes.length} mistakes, ${outcomes.length - wrong.length} answered as they should be.`);
  process.exitCode = wrong.length === 0 && left.length === 0 ? 0 : 1;
}
