/** Models that crash the installed ONNX Runtime. If a test fails, the remedy may no longer be necessary. */
import { expect, test } from "vitest";
import { runJob } from "../../src/runtime/job/run.ts";
import type runQuirkJob from "./jobs/run-quirk.ts";
import { quirks } from "./quirks.ts";

const rows = quirks.filter(({ shows }) => shows === "crash").map(({ id, happens, model }) => [id, happens, model]);

test.skipIf(process.arch !== "x64").each(rows)("%s: ONNX Runtime %s", async (_, __, model = "") => {
  const module = new URL("./jobs/run-quirk.ts", import.meta.url);
  await expect(runJob<typeof runQuirkJob>(module, { model })).rejects.toThrow("crashed in native code");
});
