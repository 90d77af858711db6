/** The installed ONNX Runtime still has each quirk that Pith works around. If a test fails, the remedy may no longer be necessary. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { env, InferenceSession } from "onnxruntime-web/webgpu";
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { quirks } from "../../../src/core/quirks.ts";
import { behaviorOf, quirksThat } from "./quirks.ts";

const src = fileURLToPath(new URL("../../../src", import.meta.url));

const isOnlyForWebGpu = (shows: string): boolean => shows === "error for WebGPU";

test.skipIf(process.arch !== "x64").each(quirksThat((shows) => shows !== "crash" && !isOnlyForWebGpu(shows)))(
  "%s: ONNX Runtime %s",
  async (_, __, quirk) => {
    expect(await behaviorOf(quirk)).toBe(quirk.shows);
  },
);

test.each(quirksThat(isOnlyForWebGpu))("%s: ONNX Runtime %s", async (_, __, { model }) => {
  env.wasm.numThreads = 1;
  const load = InferenceSession.create(await encodeToBytes(parseModel(model)), { logSeverityLevel: 3 });
  await expect(load).rejects.toThrow("Could not find an implementation");
});

test("sources refer to all quirks of the table, and to no others", () => {
  const sources = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith("quirks.ts"))
    .map((path) => readFileSync(join(src, path), "utf8"))
    .filter((text) => /quirk/i.test(text));
  const ids = Object.keys(quirks);
  expect(ids.filter((id) => !sources.some((text) => text.includes(`"${id}"`)))).toEqual([]);
  const comments = sources.flatMap((text) => Array.from(text.matchAll(/\bquirk "([\w-]+)"/gi), ([, id]) => id));
  expect(comments.filter((id) => !ids.includes(id ?? ""))).toEqual([]);
});
