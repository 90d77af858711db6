/** The process of a session of the studio. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Answer, SessionProcess } from "../../src/app/cli/studio/session-process.ts";
import { compiled } from "../app/cli/run.ts";
import { temporaryFolder } from "../temporary.ts";

const { createSessionProcess }: typeof import("../../src/app/cli/studio/session-process.ts") = await import(
  pathToFileURL(compiled("app/cli/studio/session-process.js")).href
);

/** A session whose calls answer with the process id, never yield, stop on request, or crash. */
const session = `
  import { writeFileSync } from "node:fs";
  export default async ({ folder }, { signal }) => {
    process.on("message", ({ id, name, stop }) => {
      if (id === undefined) return;
      if (name !== undefined) writeFileSync(folder + "/" + name, String(process.pid));
      if (name === "block") for (;;);
      if (name === "crash") process.abort();
      if (name === "process" || stop) process.send({ id, line: String(process.pid), isLast: true });
    });
    process.send({ ready: true });
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  };`;

export async function inProcess(use: (process: SessionProcess, folder: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  const module = join(folder, "session.mjs");
  await writeFile(module, session);
  const sessionProcess = createSessionProcess({ module: pathToFileURL(module), folder, paths: [] });
  try {
    await use(sessionProcess, folder);
  } finally {
    await sessionProcess.end();
  }
}

/** Returns the id of the process that answers. */
export async function processOf(
  sessionProcess: SessionProcess,
  signal = new AbortController().signal,
): Promise<number> {
  const answers: Answer[] = [];
  await sessionProcess.call("process", "[]", (answer) => answers.push(answer), signal);
  return Number(answers[0]?.line);
}

export async function waitFor(path: string): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
}
