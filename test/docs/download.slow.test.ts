/** Runs the command of the guide to small downloads, and its programs in a real browser, and counts the bytes that the server sends. */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { pith } from "../app/cli/run.ts";
import { browser, inPage, root } from "../page.ts";
import { temporaryFolder } from "../temporary.ts";
import { codeBlocks, commandLines } from "./markdown.ts";

const guide = await readFile(join(root, "docs/download.md"), "utf8");
const [onnxruntime = "", transformers = ""] = codeBlocks(guide).flatMap(({ language, text }) =>
  language === "js" ? [text] : [],
);
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const ids = [3, 1, 4, 1, 5];

const model = `opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  w: float32[64, 64] = random(seed 1)
  v: float32[64, 64] = random(seed 2)
  h = MatMul(x, w)
  r = Relu(h)
  y = MatMul(r, v)
}`;

const encoder = `opset 17
graph (input_ids: int64[batch_size, s], attention_mask: int64[batch_size, s]) -> (last_hidden_state: float32[batch_size, s, 64]) {
  table: float32[96, 64] = random(seed 1)
  w: float32[64, 64] = random(seed 2)
  h = Gather(table, input_ids)
  m = Cast(attention_mask) {to=1}
  axes: int64[1] = [2]
  u = Unsqueeze(m, axes)
  k = Mul(h, u)
  last_hidden_state = MatMul(k, w)
}`;

/** Returns the outputs of the model in Node for the inputs 0, 0.01, 0.02, … */
async function outputs(path: string): Promise<readonly number[]> {
  const session = await InferenceSession.create(path);
  const x = new Tensor(
    "float32",
    Float32Array.from({ length: 64 }, (_, index) => index / 100),
    [1, 64],
  );
  const { y } = await session.run({ x });
  return Array.from(y?.data as Float32Array);
}

beforeAll(async () => {
  await save(parseModel(model), at("model.onnx"));
  const command = commandLines(guide).find(
    ({ words }) => words.includes("--precompress") && words.includes("model.onnx"),
  );
  const words = (command?.words ?? []).map((word) => (word.endsWith(".onnx") ? at(word) : word));
  // The drop of a model with random weights exceeds the default limit.
  expect(await pith(...words, "--force")).toMatchObject({ code: 0 });
});

const bytesOf = async (name: string): Promise<number> => (await stat(at(name))).size;

test("the command of the guide writes the named copies, and prints their sizes", async () => {
  const [, names = ""] = /This writes (.*)\. The printed/.exec(guide) ?? [];
  const copies = [...names.matchAll(/`([^`]*)`/g)].map(([, name = ""]) => name);
  expect(copies).toEqual(["model.int8-weights.onnx", "model.int8-weights.onnx.gz", "model.int8-weights.onnx.br"]);
  const [plain = 0, gzip = 0, brotli = 0] = await Promise.all(copies.map(bytesOf));
  expect(gzip).toBeLessThan(plain);
  expect(brotli).toBeLessThan(plain);
});

describe.skipIf(browser === undefined)("programs of the guide in a browser", () => {
  const sent = new Map<string, number>();
  const page = (text: string, sendsCopies = false): Promise<unknown> => {
    sent.clear();
    const onSent = (path: string, bytes: number): void => {
      sent.set(path, bytes);
    };
    return inPage(text, { modules: root, models: folder, temporary: temporaryFolder(), onSent, sendsCopies });
  };
  const run = `
    const x = new Tensor("float32", Float32Array.from({ length: 64 }, (_, index) => index / 100), [1, 64]);
    export default async () => [...(await session.run({ x })).y.data];`;

  test("the program for onnxruntime-web loads the .gz file, and computes what Node computes", async () => {
    const text = onnxruntime.replace("model.onnx.gz", "model.int8-weights.onnx.gz");
    const outputValues = (await page(`import { Tensor } from "onnxruntime-web/wasm";\n${text}\n${run}`)) as number[];
    const expected = await outputs(at("model.int8-weights.onnx"));
    expect(outputValues).toHaveLength(64);
    for (const [index, value] of outputValues.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 2);
    expect([...sent]).toEqual([["/models/model.int8-weights.onnx.gz", await bytesOf("model.int8-weights.onnx.gz")]]);
  });

  test("a server with compressed copies sends the .br file for the address of the model", async () => {
    const text = `import { InferenceSession, Tensor } from "onnxruntime-web/wasm";
      const session = await InferenceSession.create("/models/model.int8-weights.onnx");\n${run}`;
    const outputValues = (await page(text, true)) as number[];
    const expected = await outputs(at("model.int8-weights.onnx"));
    for (const [index, value] of outputValues.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 2);
    expect([...sent]).toEqual([["/models/model.int8-weights.onnx", await bytesOf("model.int8-weights.onnx.br")]]);
  });

  test("the program for transformers.js loads the .gz file, also with a progress callback", async () => {
    await mkdir(at("small/onnx"), { recursive: true });
    await writeFile(at("small/config.json"), JSON.stringify({ model_type: "bert", architectures: ["BertModel"] }));
    await save(parseModel(encoder), at("small/onnx/full.onnx"));
    const words = ["simplify", at("small/onnx/full.onnx"), "--precompress", "gzip", "-o", at("small/onnx/model.onnx")];
    expect(await pith(...words)).toMatchObject({ code: 0 });
    const text = `${transformers}
      import { AutoModel, Tensor } from "@huggingface/transformers";
      env.allowRemoteModels = false;
      env.allowLocalModels = true;
      env.useBrowserCache = false;
      env.localModelPath = "/models/";
      env.backends.onnx.wasm.wasmPaths = "/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/";
      export default async () => {
        const totals = new Set();
        const progress_callback = ({ file, loaded, total }) => /onnx$/.test(file) && loaded === total && total && totals.add(total);
        const model = await AutoModel.from_pretrained("small", { dtype: "fp32", device: "wasm", progress_callback });
        const of = (values) => new Tensor("int64", BigInt64Array.from(values.map(BigInt)), [1, values.length]);
        const ids = ${JSON.stringify(ids)};
        const { last_hidden_state } = await model({ input_ids: of(ids), attention_mask: of(ids.map(() => 1)) });
        return { values: [...last_hidden_state.data], totals: [...totals] };
      };`;
    const received = (await page(text)) as { readonly values: number[]; readonly totals: number[] };
    const session = await InferenceSession.create(at("small/onnx/model.onnx"));
    const int64Row = (values: readonly number[]) =>
      new Tensor("int64", BigInt64Array.from(values.map(BigInt)), [1, values.length]);
    const feeds = { input_ids: int64Row(ids), attention_mask: int64Row(ids.map(() => 1)) };
    const expected = (await session.run(feeds)).last_hidden_state?.data as Float32Array;
    expect(received.values).toHaveLength(expected.length);
    for (const [index, value] of received.values.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 3);
    expect(sent.get("/models/small/onnx/model.onnx.gz")).toBe(await bytesOf("small/onnx/model.onnx.gz"));
    expect(received.totals).toContain(await bytesOf("small/onnx/model.onnx"));
  });
});
