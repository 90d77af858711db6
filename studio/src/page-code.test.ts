import { expect, it } from "vitest";
import { pageCode } from "./page-code.ts";

const image = {
  ...{ channels: 3, isChannelsFirst: true, height: 2, width: 2, shortSide: 2 },
  ...{ scale: 1 / 255, mean: [0.5], std: [0.25, 0.5, 1], isBgr: false },
};
const model = {
  file: "model.int8.onnx",
  inputs: [{ name: "pixels", type: "float32", dims: "[N, 3, 2, 2]" }],
  output: "scores",
  classes: ["cat", "dog"],
  preprocessing: "mine",
};

/** Runs the code in a page with one image, whose canvas has the given bytes. Returns the tensor that the model receives. */
async function inputOf(code: string, bytes: readonly number[]) {
  let fed: { pixels?: { type: string; data: Float32Array; dims: readonly number[] } } = {};
  const run = async (feeds: typeof fed): Promise<object> => {
    fed = feeds;
    return { scores: { data: [0.1, 0.7] } };
  };
  const ort = {
    Tensor: class {
      constructor(
        readonly type: string,
        readonly data: Float32Array,
        readonly dims: readonly number[],
      ) {}
    },
    InferenceSession: { create: async () => ({ run }) },
  };
  const context = { drawImage() {}, getImageData: () => ({ data: Uint8ClampedArray.from(bytes) }) };
  const OffscreenCanvas = class {
    getContext = () => context;
  };
  const document = { querySelector: () => ({ width: 20, height: 10, decode: async () => {} }) };
  const body = code.replace(/^import .*$/m, "");
  const runPage = new Function("ort", "OffscreenCanvas", "document", "console", `return (async () => {${body}})()`);
  await runPage(ort, OffscreenCanvas, document, { log: (text: string) => expect(text).toBe("dog") });
  return fed.pixels;
}

const pixels = [255, 0, 51, 255, 0, 0, 0, 255, 0, 255, 0, 255, 102, 0, 255, 255];

it("prepares an image as its samples were prepared: colors apart, or together, or blue first", async () => {
  const first = await inputOf(pageCode({ ...model, image }), pixels);
  expect(first?.dims).toEqual([1, 3, 2, 2]);
  const byColor = [2, -2, -2, -0.4, -1, -1, 1, -1, -0.3, -0.5, -0.5, 0.5];
  expect([...(first?.data ?? [])].map((value) => Number(value.toFixed(4)))).toEqual(byColor);
  const last = await inputOf(pageCode({ ...model, image: { ...image, isChannelsFirst: false } }), pixels);
  expect(last?.dims).toEqual([1, 2, 2, 3]);
  expect([...(last?.data ?? [])].slice(0, 3).map((value) => Number(value.toFixed(4)))).toEqual([2, -1, -0.3]);
  const blueFirst = await inputOf(pageCode({ ...model, image: { ...image, isBgr: true } }), pixels);
  expect(blueFirst?.data[0]).toBeCloseTo(-0.3);
  expect(blueFirst?.data[8]).toBeCloseTo(2);
  const plain = { ...image, channels: 1, scale: 1, mean: [0], std: [1] };
  expect([...((await inputOf(pageCode({ ...model, image: plain }), pixels))?.data ?? [])]).toEqual([82, 0, 150, 60]);
});

it("names of a model and of a preprocessing cannot end a comment of the code", async () => {
  const attacks = ["\n", "\r", "\u2028", "\u2029"].map((end) => `${end}globalThis.isAttacked = true;//`);
  for (const attack of attacks) {
    const inputs = [{ name: `a${attack}`, type: "int64", dims: `[N${attack}]` }];
    const code = pageCode({ ...model, inputs, image: undefined, preprocessing: attack });
    await inputOf(code.replaceAll("yourTensor", "1"), pixels);
  }
  await inputOf(pageCode({ ...model, image, preprocessing: "*/globalThis.isAttacked = true;/*" }), pixels);
  expect("isAttacked" in globalThis).toBe(false);
});

it("names the inputs of a model without images, and quotes names that contain quotes", () => {
  const inputs = [{ name: 'a"b', type: "int64", dims: "[N, tokens]" }];
  const code = pageCode({ ...model, inputs, image: undefined });
  expect(code).toContain('  "a\\"b": yourTensor,');
  expect(code).toContain("// preprocessing: mine");
  expect(code).not.toContain("OffscreenCanvas");
});
