/** The process of the studio's session: cancellation, crash, end. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inProcess, processOf, waitFor } from "./session-processes.ts";

function isRunning(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch {
    return false;
  }
}

describe("the process of the session", () => {
  test("answers calls in one process, and ends with the server", () =>
    inProcess(async (sessionProcess) => {
      const id = await processOf(sessionProcess);
      expect(await processOf(sessionProcess)).toBe(id);
      await sessionProcess.end();
      expect(isRunning(id)).toBe(false);
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
