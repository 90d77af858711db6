/** Crashes and stops of jobs end commands. */
import { describe, expect, test } from "vitest";
import { exitCodes } from "../../../src/app/cli/program.ts";
import { pith } from "./failing.ts";

describe("a failure", () => {
  test("by a crash of a job exits with 1 and E_ENGINE", async () => {
    const { code, err } = await pith("fail kill");
    expect(code).toBe(exitCodes.failed);
    expect(err).toMatch(/^E_ENGINE: fail m\.onnx: its process crashed in native code \(SIGSEGV\)\.\n/);
  });

  test("by a stop exits with 1 and E_STOPPED, in a job or outside", async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    // The message names the command if the job had no time to answer.
    expect(await pith("fail wait", controller.signal)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^E_STOPPED: (Stopped on request|fail was stopped)\.\n$/),
    });
    expect(await pith("fail abort", AbortSignal.abort())).toMatchObject({
      code: 1,
      err: "E_STOPPED: Stopped on request.\n",
    });
  });
});
