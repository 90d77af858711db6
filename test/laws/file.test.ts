/** Law: a saved and opened model is equal to the original, and saves to the same bytes again. */
import { describe, expect, test } from "vitest";
import { printWholeModel } from "../../src/core/graph/text.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { examplesFor, symbolicModel } from "./harness.ts";

describe("a saved and opened model is equal, and saves to the same bytes", () => {
  test.each(examplesFor("file"))("%s", async (_, example) => {
    const model = symbolicModel(example);
    // Tensors of examples can be recipes, so they are replaced by their values.
    for (const value of model.graph.values()) if (value.tensor) value.tensor = inMemory(await value.tensor.read());
    const first = await encodeToBytes(model);
    const opened = await open(first.slice());
    expect(await printWholeModel(opened)).toBe(await printWholeModel(model));
    expect(await encodeToBytes(opened)).toEqual(first);
  });
});
