/** Law: what is saved, opened and saved again is byte for byte the same, and still computes the same. */
import { describe, expect, test } from "vitest";
import { encodeToBytes, open } from "../../src/onnx/index.ts";
import { examplesFor, feedsOf, fixedModel, run, symbolicModel } from "./harness.ts";

describe("saved, opened and saved again, the bytes are the same", () => {
  test.each(examplesFor("file"))("%s", async (_, example) => {
    const first = await encodeToBytes(symbolicModel(example));
    const opened = await open(first.slice());
    expect(await encodeToBytes(opened)).toEqual(first);
    const feeds = feedsOf(opened, example);
    expect(await run(opened, feeds)).toEqual(await run(fixedModel(example), feeds));
  });
});
