/** The process of the studio's session: cancellation, crash, end. */
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import type { Answer, SessionProcess } from "../../src/app/cli/studio/session-process.ts";
import { compiled } from "../cli/run.ts";
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

async function inProcess(use: (process: SessionProcess, folder: string) => Promise<void>): Promise<void> {
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
async function processOf(sessionProcess: SessionProcess, signal = new AbortController().signal): Promise<number> {
  const answers: Answer[] = [];
  await sessionProcess.call("process", "[]", (answer) => answers.push(answer), signal);
  return Number(answers[0]?.line);
}

function isRunning(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch {
    return false;
  }
}

async function waitFor(path: string): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("the process of the session", () => {
  test("answers calls in one process, and ends with the server", () =>
    inProcess(async (sessionProcess) => {
      const id = await processOf(sessionProcess);
      expect(await processOf(sessionProcess)).toBe(id);
      await sessionProcess.end();
      expect(isRunning(id)).toBe(false);
    }));

  test("answers a call whose process was ended by the cancellation of another call", () =>
    inProcess(async (sessionProcess, folder) => {
      const controller = new AbortController();
      const blocked = sessionProcess.call("block", "[]", () => {}, controller.signal);
      await waitFor(join(folder, "block"));
      controller.abort();
      const answer = processOf(sessionProcess);
      await expect(blocked).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(await answer).not.toBe(Number(readFileSync(join(folder, "block"), "utf8")));
    }));

  test("stops a call that never yields by ending the process, and answers the next call in another one", () =>
    inProcess(async (sessionProcess, folder) => {
      const controller = new AbortController();
      const call = sessionProcess.call("block", "[]", () => {}, controller.signal);
      await waitFor(join(folder, "block"));
      const started = performance.now();
      controller.abort();
      await expect(call).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(performance.now() - started).toBeLessThan(5000);
      const id = Number(readFileSync(join(folder, "block"), "utf8"));
      expect(isRunning(id)).toBe(false);
      expect(await processOf(sessionProcess)).not.toBe(id);
    }));

  test("keeps the process of a call that stops in time", () =>
    inProcess(async (sessionProcess, folder) => {
      const id = await processOf(sessionProcess);
      const controller = new AbortController();
      const call = sessionProcess.call("wait", "[]", () => {}, controller.signal);
      await waitFor(join(folder, "wait"));
      controller.abort();
      await call;
      expect(await processOf(sessionProcess)).toBe(id);
    }));

  test("reports a crash, and answers the next call in another process", () =>
    inProcess(async (sessionProcess, folder) => {
      const call = sessionProcess.call("crash", "[]", () => {}, new AbortController().signal);
      await expect(call).rejects.toMatchObject({ code: "E_ENGINE", message: expect.stringContaining("crashed") });
      expect(await processOf(sessionProcess)).not.toBe(Number(readFileSync(join(folder, "crash"), "utf8")));
    }));
});
