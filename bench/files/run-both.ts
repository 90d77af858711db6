/** Runs models from an index on, as they were and as Pith saves them. Prints a line of JSON before and after each. */
import * as ort from "onnxruntime-node";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { randomInputs } from "../../src/runtime/run/random-inputs.ts";
import { backendTests } from "../../test/laws/archive.ts";
import { type Given, givenModels } from "./messages.ts";
import type { Ran } from "./outputs.ts";

/** Output types that ONNX Runtime's JavaScript API supports; it aborts on some of the others. */
const carried = new Set(
  "float32 float64 float16 int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool string".split(" "),
);

const say = (message: object): boolean => process.stdout.write(`${JSON.stringify(message)}\n`);
const tests = backendTests() ?? [];
const models = await givenModels();
ort.env.logLevel = "fatal";
const options: ort.InferenceSession.SessionOptions = { logSeverityLevel: 4, intraOpNumThreads: 1 };

for (const [index, entry] of models.entries()) {
  if (index < Number(process.argv[2])) continue;
  const { group, name } = entry;
  say({ start: { index, group, name } });
  const ran = await both(entry, index).catch((error: unknown) => ({ result: "not run" as const, why: String(error) }));
  say({ ran: { index, group, name, ...ran } satisfies Ran });
}
process.exit(0);

async function both(given: Given, index: number): Promise<Pick<Ran, "result" | "why">> {
  const model = await open(given.path ?? given.bytes);
  const saved = await encodeToBytes(model);
  const before = await load(given).catch(() => undefined);
  if (before === undefined) return { result: "not loaded" };
  const after = await ort.InferenceSession.create(saved, options).catch((error: unknown) => String(error));
  if (typeof after === "string") return { result: "loaded before only", why: after };
  try {
    const screened = model.graph.outputs.find(({ type }) => type !== undefined && !carried.has(type.type));
    if (screened !== undefined) return { result: "not run", why: `${screened.name} is ${screened.type?.type}` };
    const feeds = await feedsOf(index, model);
    const [expected, got] = [await before.run(feeds), await after.run(feeds)];
    // Random operators differ from run to run, so a difference counts only if the original repeats its output.
    const again = await before.run(feeds);
    for (const output of before.outputNames) {
      const [a, b, c] = [expected[output], got[output], again[output]];
      if (bits(a) !== bits(b) && bits(a) === bits(c)) return { result: "different", why: output };
    }
    return { result: "same" };
  } finally {
    await before.release();
    await after.release();
  }
}

function load({ path, bytes }: Given): Promise<ort.InferenceSession> {
  return path === undefined ? ort.InferenceSession.create(bytes, options) : ort.InferenceSession.create(path, options);
}

async function feedsOf(index: number, model: Awaited<ReturnType<typeof open>>): Promise<Record<string, ort.Tensor>> {
  const feeds: Record<string, ort.Tensor> = {};
  const drawn = randomInputs(model);
  const inputs = index < tests.length ? await tests[index]?.inputs() : undefined;
  const named: [string, Dense | undefined][] =
    inputs === undefined
      ? Object.entries(
          drawn.draw(
            drawn.shapes(() => 1),
            random(1, "feeds"),
          ),
        )
      : model.graph.inputs.map(({ name }, position) => [name, inputs[position]]);
  for (const [name, dense] of named) {
    if (dense === undefined || !carried.has(dense.type)) throw new Error(`"${name}" cannot be fed`);
    feeds[name] = new ort.Tensor(dense.type as "float32", dense.data as Float32Array, dense.dims);
  }
  return feeds;
}

function bits(tensor: ort.Tensor | undefined): string {
  if (tensor === undefined) return "";
  const { data } = tensor;
  const content = ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")
    : JSON.stringify(data);
  return `${tensor.type} ${tensor.dims} ${content}`;
}
