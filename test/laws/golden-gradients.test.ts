/** Gradients of operators equal those that PyTorch computes in float64 (`golden/gradients.json`). */
import { describe, expect, test } from "vitest";
import { Miss, PithError } from "../../src/core/errors.ts";
import type { Attribute } from "../../src/core/graph/graph.ts";
import { Model } from "../../src/core/graph/model.ts";
import { operators } from "../../src/core/ops/index.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../shared.ts";
import { gradients } from "./differences.ts";
import { difference, numeric } from "./harness.ts";

interface GoldenCase {
  readonly name: string;
  readonly op: string | null;
  readonly domain?: string;
  readonly opset: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly inputs: readonly (Input | null)[];
  readonly outputs: readonly (Output | null)[];
}

interface Input {
  readonly name: string;
  readonly value: GoldenTensor | null;
  readonly grad: GoldenTensor | null;
}

interface Output {
  readonly value: GoldenTensor;
  readonly upstream: GoldenTensor | null;
}

const file = golden<{ readonly cases: readonly GoldenCase[] }>("gradients");

function denseOf(tensor: GoldenTensor, floats: "float32" | "float64"): Dense {
  const type = numeric(tensor.dtype.startsWith("float") ? floats : (tensor.dtype as "int64"));
  return fromNumbers(type, tensor.shape, goldenNumbers(tensor));
}

function attributeOf(value: unknown): Attribute {
  if (typeof value === "string") return { kind: "string", value };
  if (typeof value === "number") return Number.isInteger(value) ? { kind: "int", value } : { kind: "float", value };
  if (Array.isArray(value) && value.every((item) => Number.isInteger(item))) return { kind: "ints", value };
  throw new Error(`an attribute of an unknown kind: ${JSON.stringify(value)}`);
}

/** Attributes that are floats even if their value is an integer. */
const decimals = new Set(["alpha", "beta", "epsilon", "momentum", "gamma", "min", "max", "value"]);

/** Returns whether the case is exact in float32: ONNX stores attributes and ONNX Runtime resize coordinates in float32, PyTorch in float64. */
const exactSettings = (given: GoldenCase): boolean =>
  given.op !== "Resize" &&
  Object.values(given.attributes).every((value) => typeof value !== "number" || Math.fround(value) === value);

async function check(given: GoldenCase, floats: "float32" | "float64"): Promise<ReadonlyMap<string, number> | Miss> {
  // Gradients are written for opset 18 and later.
  const model = new Model(undefined, {
    opsets: new Map([
      ["", Math.max(18, given.opset)],
      ["com.microsoft", 1],
    ]),
  });
  const feeds: Record<string, Dense> = {};
  const values = given.inputs.map((input, index) => {
    if (input?.value == null) return undefined;
    const dense = denseOf(input.value, floats);
    // Operands without a gradient (integers, small constants) are stored; the others are inputs.
    const name = `in${index}`;
    if (input.grad === null) return model.graph.addTensor(name, { ...stored(dense) });
    feeds[name] = dense;
    return model.graph.addInput(name, { type: dense.type, dims: dense.dims });
  });
  const attributes = Object.entries(given.attributes).map(([key, value]): [string, Attribute] => [
    key,
    decimals.has(key) && typeof value === "number" ? { kind: "float", value } : attributeOf(value),
  ]);
  const outputs = given.outputs.map((output, index) => (output === null ? undefined : `out${index}`));
  const node = model.graph.addNode({
    op: given.op ?? "",
    domain: given.domain ?? "",
    inputs: values,
    outputs,
    attributes: new Map(attributes),
  });
  model.graph.setOutputs(node.outputs.filter((output) => output !== undefined));
  const upstream = Object.fromEntries(
    given.outputs.flatMap((output, index): [string, Dense][] =>
      output?.upstream ? [[`out${index}`, denseOf(output.upstream, floats)]] : [],
    ),
  );
  const computed = await gradients(model, feeds, upstream);
  if (computed instanceof Miss) return computed;
  const worst = new Map<string, number>();
  given.inputs.forEach((input, index) => {
    const got = computed[`in${index}`];
    if (input?.grad && got !== undefined) worst.set(input.name, difference(got, denseOf(input.grad, "float64")));
  });
  return worst;
}

function stored(dense: Dense) {
  return {
    type: dense.type,
    dims: dense.dims,
    bytes: 0,
    small: dense,
    stored: undefined,
    read: () => Promise.resolve(dense),
  };
}

const ours = (file?.cases ?? []).filter((given) => {
  const op = given.op === null ? undefined : operators.find(given.domain ?? "", given.op);
  return op !== undefined && !(op.facets.gradient instanceof Miss && op.facets.lower instanceof Miss);
});

describe.skipIf(file === undefined)("gradients equal PyTorch's", () => {
  test.each(ours.map((given) => [given.name, given] as const))("%s", async (_, given) => {
    for (const [floats, tolerance] of [
      ["float32", 1e-4],
      ["float64", exactSettings(given) ? 1e-9 : 1e-6],
    ] as const) {
      let worst: ReadonlyMap<string, number> | Miss;
      try {
        worst = await check(given, floats);
      } catch (error) {
        if (floats === "float64" && error instanceof PithError && error.message.includes("Could not find an impl"))
          return;
        throw error;
      }
      if (worst instanceof Miss) throw new Error(worst.reason);
      expect(worst.size).toBeGreaterThan(0);
      for (const [name, gap] of worst) expect(gap, `${floats} ${name}`).toBeLessThan(tolerance);
    }
  });
});
