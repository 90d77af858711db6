/** Programs in Chromium that write a model, read one in ranges, or run one. */
import { describe, expect, test } from "vitest";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { model, ofRuntime, program, running, smaller, visited } from "./bundled.ts";

const fetched = `
import { encodeToBytes, open } from "pith";
const url = new URL("zipped.onnx", location.href);
await (await fetch(url)).arrayBuffer();
const answer = await encodeToBytes(await open(url));`;

describe.skipIf(program === undefined)("a page in a browser", () => {
  test("prunes, masks and quantizes weights without the runtime, to the same bytes as Node", async () => {
    const { asked, answer } = await visited(smaller);
    expect(asked).toContain("/model.onnx");
    expect(ofRuntime(asked)).toEqual([]);
    const here = await open(model);
    await prune(here, { amount: 0.5, keepMasks: true });
    await quantize(here, { scheme: "weights" });
    expect(answer.equals(await encodeToBytes(here))).toBe(true);
  }, 120_000);

  test("reads ranges of the uncompressed file if the browser has cached the compressed one", async () => {
    const { asked, answer } = await visited(fetched);
    expect(asked.filter((path) => path === "/zipped.onnx").length).toBeGreaterThan(2);
    expect(answer.equals(model)).toBe(true);
  }, 120_000);

  test("loads the runtime only to run a model", async () => {
    const { asked, answer } = await visited(running);
    expect(ofRuntime(asked).some((path) => path.endsWith(".wasm"))).toBe(true);
    expect([...answer]).toEqual([1, 10]);
  }, 120_000);
});
