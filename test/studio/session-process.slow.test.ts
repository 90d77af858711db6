/** Calls whose process ends by another call. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inProcess, processOf, waitFor } from "./session-processes.ts";

describe("the process of the session", () => {
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
});
