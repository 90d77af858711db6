import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { richModel } from "../../../test/core/onnx/messages.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import { Model } from "../graph/model.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { encode, encodeToBytes } from "./encode.ts";
import { open, save } from "./index.ts";

let folder = "";
let path = "";
beforeEach(async () => {
  folder = temporaryFolder();
  path = join(folder, "model.onnx");
});

async function weight(model: Awaited<ReturnType<typeof open>>, name: string): Promise<unknown> {
  return (await model.graph.value(name)?.tensor?.read())?.data;
}

describe("open", () => {
  test("accepts a path, a file URL, a Blob, bytes and a source", async () => {
    const bytes = await encodeToBytes(richModel());
    await writeFile(path, bytes);
    const source = {
      size: bytes.byteLength,
      name: "own",
      read: (start: number, end: number) => Promise.resolve(bytes.slice(start, end)),
    };
    const expected = await weight(richModel(), "fc");
    for (const place of [
      path,
      pathToFileURL(path),
      new Blob([new Uint8Array(bytes)]),
      bytes,
      new Uint8Array(bytes).buffer,
      source,
    ]) {
      expect(await weight(await open(place), "fc")).toEqual(expected);
    }
    // The `slice` of a Buffer does not copy, so unaligned data must be copied in another way.
    const tensors = [...(await open(await readFile(path))).graph.values()].flatMap(({ tensor }) => tensor ?? []);
    for (const tensor of tensors) expect(Buffer.isBuffer((await tensor.read()).data)).toBe(false);
  });

  test("rejects other values, such as a promise of bytes", async () => {
    const strange = [undefined, 7, Promise.resolve(new Uint8Array(1)), { size: 1 }] as never[];
    for (const source of strange) await expect(open(source)).rejects.toMatchObject({ code: "E_OPTION" });
  });

  const zip = (name: string): string => `PK\x03\x04${"\0".repeat(22)}${String.fromCharCode(name.length)}\0\0\0${name}`;

  test.each([
    ["zip archive", "model.onnx", "PK\x03\x04........", /zip archive/, /torch\.onnx\.export/],
    ["PyTorch checkpoint", "model.onnx", zip("archive/data.pkl"), /PyTorch checkpoint/, /torch\.onnx\.export/],
    ["Keras archive", "net.keras", zip("metadata.json"), /Keras/, /tf2onnx/],
    [
      "Keras archive with its version",
      "net.keras",
      `${zip("metadata.json")}{"keras_version": "3.9.0"}`,
      /a Keras model/,
      /tf2onnx/,
    ],
    [
      "TensorFlow.js model",
      "model.json",
      '{"format": "graph-model", "generatedBy"',
      /TensorFlow\.js/,
      /tf2onnx.*--tfjs/,
    ],
    ["zipped ONNX model", "model.zip", zip("model/model.onnx"), /ONNX model in it/, /[Uu]npack/],
    ["NumPy archive", "data.npz", zip("arr_0.npy"), /NumPy archive/, /`data`/],
    ["pickle", "model.onnx", "\x80\x02}q\x00.", /pickle/, /torch\.onnx\.export/],
    ["GGUF file", "model.gguf", "GGUF\x03\x00\x00\x00", /GGUF/, /ONNX export/],
    [
      "safetensors file",
      "model.safetensors",
      '\x40\0\0\0\0\0\0\0{"w":{"dtype":"F32"}}',
      /safetensors/,
      /optimum-cli export onnx/,
    ],
    ["LFS placeholder", "model.onnx", "version https://git-lfs.github.com/spec/v1\n", /Git LFS/, /git lfs pull/],
    ["web page", "model.onnx", "<!DOCTYPE html><html>", /web page/, /download/],
    ["TensorFlow Lite model", "m.tflite", "\x10\x00\x00\x00TFL3....", /TensorFlow Lite/, /tf2onnx.*--tflite/],
    [
      "SavedModel",
      "saved_model.pb",
      "\x08\x01\x12\x05\x0a\x03\xff\xfe\xfd",
      /TensorFlow model/,
      /tf2onnx.*--saved-model/,
    ],
    ["data file of a model", "model.onnx_data", "\xff".repeat(100), /weights of an ONNX model/, /\.onnx file/],
    ["TensorRT engine", "model.plan", "ptrt\0\0\0\0", /TensorRT/, /built from/],
    ["tar archive", "model.tar", `${"x".repeat(257)}ustar`, /tar archive/, /[Uu]npack/],
    ["text", "model.onnx", "hello, world, this is text", /looks like a text/, /\.onnx file/],
    ["ONNX model as text", "model.txt", "<ir_version: 8, opset_import: [...]>", /ONNX model as text/, /onnx\.save/],
    [
      "PNG picture",
      "model.onnx",
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
      /it looks like a PNG picture\.$/,
      /\.onnx file.*`data`/,
    ],
    ["JPEG picture", "model.onnx", "\xff\xd8\xff\xe0\0\x10JFIF", /a JPEG picture/, /\.onnx file/],
    ["WAV recording", "model.onnx", "RIFF\x24\0\0\0WAVEfmt ", /a WAV recording/, /\.onnx file/],
    ["damaged model", "model.onnx", "\x08\x08\x0f\x01", /is not an ONNX model: at byte/, /damaged/],
    ["model without a graph", "model.onnx", "\x08\x08", /it has no graph\.$/, /\.onnx file/],
    [
      "truncated model",
      "model.onnx",
      `\x08\x08\x3a\x80\x80\x40${"\0".repeat(994)}`,
      /model\.onnx": the file is cut off after 1,000 of at least 1,048,582 bytes\.$/,
      /^Copy or download it again\.$/,
    ],
  ])("names the file type of a %s and suggests what to do", async (_, name, text, sentence, hint) => {
    const place = join(folder, name);
    await writeFile(place, Buffer.from(text, "latin1"));
    await expect(open(place)).rejects.toMatchObject({
      code: "E_NOT_ONNX",
      message: expect.stringMatching(sentence),
      hint: expect.stringMatching(hint),
    });
    await expect(open(place)).rejects.toThrow(place);
  });

  test("names the models in a folder in the hint", async () => {
    const inner = join(folder, "inner");
    await mkdir(inner);
    await expect(open(inner)).rejects.toMatchObject({ code: "E_FILE", hint: undefined });
    await writeFile(join(inner, "decoder.onnx"), "");
    await expect(open(inner)).rejects.toMatchObject({ hint: expect.stringMatching(/decoder\.onnx/) });
    await writeFile(join(inner, "saved_model.pb"), "");
    await expect(open(inner)).rejects.toMatchObject({ hint: expect.stringMatching(/tf2onnx/) });
  });

  test("reports an empty file, a missing file and a folder", async () => {
    await writeFile(path, "");
    await expect(open(path)).rejects.toMatchObject({
      code: "E_NOT_ONNX",
      message: expect.stringMatching(/is empty \(0 bytes\)/),
    });
    await expect(open(join(folder, "none.onnx"))).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringMatching(/it does not exist/),
    });
    await expect(open(folder)).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringMatching(/not a file but a folder/),
    });
  });

  test("rejects a weight of a file that changed after it was opened", async () => {
    const bytes = await encodeToBytes(richModel());
    await writeFile(path, bytes);
    const model = await open(path);
    await new Promise((wake) => setTimeout(wake, 20));
    await writeFile(path, bytes);
    await expect(weight(model, "fc")).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
  });
});

describe("save", () => {
  test("writes the bytes of encode and no other file", async () => {
    const model = richModel();
    await save(model, path);
    expect(Buffer.compare(await readFile(path), await encodeToBytes(model))).toBe(0);
    expect(await readdir(folder)).toEqual(["model.onnx"]);
  });

  test("can replace the file that the model was opened from, repeatedly", async () => {
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
      // The open model still reads its weights from the replaced file.
      expect(await weight(model, "fc")).toEqual(expected);
    }
  });

  test("leaves the old file unchanged, and no other file, after a failure", async () => {
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

  test("reports a missing folder", async () => {
    await expect(save(richModel(), join(folder, "none", "model.onnx"))).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("writes weights of 2 GiB to external data, or fails if that is disabled", async () => {
    const model = richModel();
    const tensor = { type: "float32", dims: [2 ** 29], bytes: 2 ** 31, small: undefined, stored: undefined } as const;
    let asked = 0;
    const read = () => {
      asked++;
      return Promise.reject(new Error("asked for"));
    };
    model.graph.addTensor("huge", { ...tensor, read });
    await expect(save(model, path, { externalData: false })).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
    await expect(encodeToBytes(model)).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
    expect(asked).toBe(0);
    // The weight would be written if it had elements.
    await expect(save(model, path)).rejects.toThrow("asked for");
    expect(asked).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("external data (save and open)", () => {
  test("writes weights next to the model, aligned to pages, and reads them", async () => {
    const model = richModel();
    await save(model, path, { externalData: true });
    expect((await readdir(folder)).sort()).toEqual(["model.onnx", "model.onnx_data"]);
    expect((await stat(path)).size).toBeLessThan(10_000);
    const again = await open(path);
    for (const name of ["conv.weight", "conv.bias", "mask", "small", "fc"]) {
      expect(await weight(again, name)).toEqual(await weight(model, name));
      expect(again.graph.value(name)?.role).toEqual(model.graph.value(name)?.role);
    }
    expect((again.graph.value("fc")?.tensor?.stored?.start ?? 1) % 4096).toBe(0);
  });

  test("moves weights into the model file if external data is not requested", async () => {
    await save(richModel(), path, { externalData: true });
    await save(await open(path), join(folder, "whole.onnx"));
    const bytes = await readFile(join(folder, "whole.onnx"));
    expect(await weight(await open(new Uint8Array(bytes)), "fc")).toEqual(await weight(richModel(), "fc"));
  });

  test("can replace the data file that the model was opened from", async () => {
    await save(richModel(), path, { externalData: true });
    const model = await open(path);
    for (let round = 0; round < 2; round++) {
      await save(model, path, { externalData: true });
      expect(await weight(await open(path), "fc")).toEqual(await weight(richModel(), "fc"));
    }
  });

  test("does not overwrite a data file that another model in the folder reads", async () => {
    const needs = join(folder, "needs.onnx");
    await save(richModel(), path, { externalData: true });
    await rename(path, needs);
    await save(richModel(), path, { externalData: true });
    expect((await readdir(folder)).sort()).toEqual([
      "model.onnx",
      "model.onnx_data",
      "model.onnx_data_1",
      "needs.onnx",
    ]);
    for (const place of [path, needs])
      expect(await weight(await open(place), "fc")).toEqual(await weight(richModel(), "fc"));
    // The model's own data file is replaced and keeps its name.
    await save(richModel(), path, { externalData: true });
    expect((await readdir(folder)).sort()).toEqual([
      "model.onnx",
      "model.onnx_data",
      "model.onnx_data_1",
      "needs.onnx",
    ]);
    expect(await weight(await open(needs), "fc")).toEqual(await weight(richModel(), "fc"));
  });

  test("reads several data files at offsets", async () => {
    const model = richModel();
    const [fc, mask] = [await weight(model, "fc"), await weight(model, "mask")];
    if (!(fc instanceof Float32Array && mask instanceof Float32Array)) throw new Error("no weights");
    const bytes = (data: Float32Array) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    await mkdir(join(folder, "sub"));
    await writeFile(join(folder, "a.bin"), Buffer.concat([new Uint8Array(7), bytes(fc), bytes(mask)]));
    await writeFile(join(folder, "sub", "b.bin"), bytes(mask));
    const places = new Map([
      ["fc", { location: "a.bin", offset: 7, length: fc.byteLength }],
      ["mask", { location: "a.bin", offset: 7 + fc.byteLength, length: mask.byteLength }],
      ["conv.weight", { location: "sub/b.bin", offset: 0, length: mask.byteLength }],
    ]);
    await writeFile(path, await encodeToBytes(model, { place: ({ name }) => places.get(name) }));
    const opened = await open(path);
    expect(await weight(opened, "fc")).toEqual(fc);
    expect(await weight(opened, "mask")).toEqual(mask);
    expect(await weight(opened, "conv.weight")).toEqual(mask);
    await save(opened, path, { externalData: true });
    expect(await weight(await open(path), "fc")).toEqual(fc);
    // Data files with other names are not deleted.
    expect((await readdir(folder)).sort()).toEqual(["a.bin", "model.onnx", "model.onnx_data", "sub"]);
  });

  test("rejects a model with too many data files", async () => {
    const model = new Model();
    for (let index = 0; index <= 4096; index++) model.graph.addTensor(`w${index}`, inMemory(float32([1], [1])));
    const many = await encodeToBytes(model, {
      place: ({ name }) => ({ location: `${name}.bin`, offset: 0, length: 4 }),
    });
    const external = async (name: string) => ({ name, size: 4, read: async () => new Uint8Array(4) });
    await expect(open(many, { external })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(/tensor "w4096".*more than 4096 files/),
    });
  });

  test("requires the option external for a model without a folder", async () => {
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
    expect(asked).toEqual(["model.onnx_data"]);
  });

  test("names a data file that is missing or too short", async () => {
    await save(richModel(), path, { externalData: true });
    await writeFile(`${path}_data`, new Uint8Array(100));
    await expect(open(path)).rejects.toMatchObject({
      code: "E_MODEL",
      message: expect.stringMatching(/model\.onnx": tensor "[\w.]+".*"model\.onnx_data", which has 100/),
    });
    await rm(`${path}_data`);
    await expect(open(path)).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringMatching(/model\.onnx": tensor "[\w.]+".*model\.onnx_data".*it does not exist/),
      hint: expect.stringMatching(/all files with the model's weights/),
    });
  });
});

test("encode writes references to existing external data", async () => {
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
