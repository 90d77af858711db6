import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { richModel } from "../../test/onnx/messages.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { encode, encodeToBytes, open, save } from "./index.ts";

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pith-onnx-"));
  path = join(folder, "model.onnx");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function weight(model: Awaited<ReturnType<typeof open>>, name: string): Promise<unknown> {
  return (await model.graph.value(name)?.tensor?.read())?.data;
}

describe("open", () => {
  test("takes a path, a file URL, a Blob, bytes and a source alike", async () => {
    const bytes = await encodeToBytes(richModel());
    await writeFile(path, bytes);
    const source = {
      size: bytes.byteLength,
      name: "own",
      read: (start: number, end: number) => Promise.resolve(bytes.slice(start, end)),
    };
    const expected = await weight(richModel(), "fc");
    for (const place of [path, pathToFileURL(path), new Blob([new Uint8Array(bytes)]), bytes, source]) {
      expect(await weight(await open(place), "fc")).toEqual(expected);
    }
  });

  test.each([
    ["PK\x03\x04........", /zip archive/, /torch\.onnx\.export/],
    ["GGUF\x03\x00\x00\x00", /GGUF/, /ONNX export/],
    ["version https://git-lfs.github.com/spec/v1\n", /Git LFS/, /git lfs pull/],
    ["<!DOCTYPE html><html>", /web page/, /download/],
    ["\x10\x00\x00\x00TFL3....", /TensorFlow Lite/, /tf2onnx/],
    ["hello, world, this is text", /is not an ONNX model/, /damaged/],
  ])("says what a file is that is no model: %j", async (text, sentence, hint) => {
    await writeFile(path, Buffer.from(text, "latin1"));
    await expect(open(path)).rejects.toMatchObject({
      code: "E_NOT_ONNX",
      message: expect.stringMatching(sentence),
      hint: expect.stringMatching(hint),
    });
    await expect(open(path)).rejects.toThrow(path);
  });

  test("says that a file is empty, missing, or a folder", async () => {
    await writeFile(path, "");
    await expect(open(path)).rejects.toMatchObject({ code: "E_NOT_ONNX", message: expect.stringMatching(/is empty/) });
    await expect(open(join(folder, "none.onnx"))).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringMatching(/no such file/),
    });
    await expect(open(folder)).rejects.toMatchObject({ code: "E_FILE", message: expect.stringMatching(/not a file/) });
  });

  test("notices that a weight was overwritten after the model had been opened", async () => {
    const bytes = await encodeToBytes(richModel());
    await writeFile(path, bytes);
    const model = await open(path);
    await new Promise((wake) => setTimeout(wake, 20));
    await writeFile(path, bytes);
    await expect(weight(model, "fc")).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
  });
});

describe("save", () => {
  test("writes what encode yields, and leaves nothing else behind", async () => {
    const model = richModel();
    await save(model, path);
    expect(Buffer.compare(await readFile(path), await encodeToBytes(model))).toBe(0);
    expect(await readdir(folder)).toEqual(["model.onnx"]);
  });

  test("may replace the file that the model was opened from, again and again", async () => {
    await save(richModel(), path);
    const expected = await weight(richModel(), "fc");
    const model = await open(path);
    for (let round = 1; round <= 3; round++) {
      const bias = model.graph.value("conv.bias");
      if (bias !== undefined) bias.tensor = inMemory(float32([32], new Float32Array(32).fill(round)));
      await save(model, path);
      const again = await open(path);
      expect(await weight(again, "conv.bias")).toEqual(new Float32Array(32).fill(round));
      expect(await weight(again, "fc")).toEqual(expected);
      // The weights that the model in hand refers to are those of the replaced file.
      expect(await weight(model, "fc")).toEqual(expected);
    }
  });

  test("that fails on the way leaves the old file whole, and no other", async () => {
    await save(richModel(), path);
    const before = await readFile(path);
    const model = richModel();
    const fc = model.graph.value("fc");
    if (fc?.tensor !== undefined) {
      const { type, dims, bytes } = fc.tensor;
      const read = () => Promise.reject(new Error("lost"));
      fc.tensor = { type, dims, bytes, small: undefined, stored: undefined, read };
    }
    await expect(save(model, path)).rejects.toThrow("lost");
    expect(Buffer.compare(await readFile(path), before)).toBe(0);
    expect(await readdir(folder)).toEqual(["model.onnx"]);
  });

  test("into a folder that is not there says so", async () => {
    await expect(save(richModel(), join(folder, "none", "model.onnx"))).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("of a model of 2 GiB asks for external data", async () => {
    const model = richModel();
    const tensor = { type: "float32", dims: [2 ** 29], bytes: 2 ** 31, small: undefined, stored: undefined } as const;
    model.graph.addTensor("huge", { ...tensor, read: () => Promise.reject(new Error("not read")) });
    await expect(save(model, path)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      hint: expect.stringMatching(/externalData/),
    });
  });
});

describe("external data", () => {
  test("is written beside the model, in pages, and opens again", async () => {
    const model = richModel();
    await save(model, path, { externalData: true });
    expect((await readdir(folder)).sort()).toEqual(["model.onnx", "model.onnx.data"]);
    expect((await stat(path)).size).toBeLessThan(10_000);
    const again = await open(path);
    for (const name of ["conv.weight", "conv.bias", "mask", "small", "fc"]) {
      expect(await weight(again, name)).toEqual(await weight(model, name));
      expect(again.graph.value(name)?.role).toEqual(model.graph.value(name)?.role);
    }
    expect((again.graph.value("fc")?.tensor?.stored?.start ?? 1) % 4096).toBe(0);
  });

  test("goes into the model's own file when it is saved without", async () => {
    await save(richModel(), path, { externalData: true });
    await save(await open(path), join(folder, "whole.onnx"));
    const bytes = await readFile(join(folder, "whole.onnx"));
    expect(await weight(await open(new Uint8Array(bytes)), "fc")).toEqual(await weight(richModel(), "fc"));
  });

  test("may replace the files that the model was opened from", async () => {
    await save(richModel(), path, { externalData: true });
    const model = await open(path);
    for (let round = 0; round < 2; round++) {
      await save(model, path, { externalData: true });
      expect(await weight(await open(path), "fc")).toEqual(await weight(richModel(), "fc"));
    }
  });

  test("of a model without a folder needs a way to open it", async () => {
    await save(richModel(), path, { externalData: true });
    const bytes = new Uint8Array(await readFile(path));
    await expect(open(bytes)).rejects.toMatchObject({ code: "E_UNSUPPORTED", hint: expect.stringMatching(/external/) });
    const asked: string[] = [];
    const model = await open(bytes, {
      external: async (location) => {
        asked.push(location);
        const data = new Uint8Array(await readFile(join(folder, location)));
        return { size: data.byteLength, name: location, read: async (start, end) => data.slice(start, end) };
      },
    });
    expect(await weight(model, "fc")).toEqual(await weight(richModel(), "fc"));
    expect(asked).toEqual(["model.onnx.data"]);
  });

  test("that is missing or too short is named", async () => {
    await save(richModel(), path, { externalData: true });
    await writeFile(`${path}.data`, new Uint8Array(100));
    await expect(open(path)).rejects.toMatchObject({
      code: "E_MODEL",
      message: expect.stringMatching(/"model\.onnx\.data", which has 100/),
    });
    await rm(`${path}.data`);
    await expect(open(path)).rejects.toMatchObject({ code: "E_FILE", message: expect.stringMatching(/no such file/) });
  });
});

test("encode can be told where weights lie already", async () => {
  const model = richModel();
  const bytes = await encodeToBytes(model, {
    place: (value, tensor) =>
      value.name === "fc" ? { location: "original.onnx", offset: 123, length: tensor.bytes } : undefined,
  });
  const reads: unknown[] = [];
  await open(bytes, {
    external: async (location) => ({
      name: location,
      size: 10 ** 9,
      read: async (start, end) => {
        reads.push([location, start, end]);
        return new Uint8Array(end - start);
      },
    }),
  }).then((again) => weight(again, "fc"));
  expect(reads).toEqual([["original.onnx", 123, 123 + 4 * 8192 * 10]]);
  let size = 0;
  for await (const chunk of encode(model)) size += chunk.byteLength;
  expect(size).toBeGreaterThan(bytes.byteLength + 300_000);
});
