/** Models that crash the installed ONNX Runtime. If a test fails, the remedy may no longer be necessary. */
import { expect, test } from "vitest";
import { runJob } from "../../../src/runtime/job/run.ts";
import type runQuirkJob from "./jobs/run-quirk.ts";
import { quirksThat } from "./quirks.ts";

test.skipIf(process.arch !== "x64").each(quirksThat((shows) => shows === "crash"))(
  "%s: ONNX Runtime %s",
  async (_, __, { model }) => {
    const module = new URL("./jobs/run-quirk.ts", import.meta.url);
    await expect(runJob<typeof runQuirkJob>(module, { model })).rejects.toThrow("crashed in native code");
  },
);
