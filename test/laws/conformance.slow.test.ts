/**
 * Law over ONNX's backend tests: the inferred types of a model equal the types of its expected outputs. Small inputs (shapes, axes, scales)
 * become constants first, as they mostly are in real models.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { operators } from "../../src/core/ops/index.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { dimsText, isUnknownDim, sameDims } from "../../src/core/tensor/dims.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { type BackendTest, backendTests } from "./archive.ts";

const tests = backendTests();

interface Verdict {
  readonly name: string;
  readonly ops: readonly string[];
  readonly compared: number;
  readonly wrong: readonly string[];
  readonly open: readonly string[];
}

async function judge(given: BackendTest): Promise<Verdict | undefined> {
  const model = await given.model();
  const nodes = [...model.graph.nodes()];
  if (nodes.length === 0 || !nodes.every((node) => operators.find(node.domain, node.op) !== undefined))
    return undefined;
  const inputs = await given.inputs();
  const expected = await given.outputs();
  feedConstants(model, inputs);
  for (const output of model.graph.outputs) output.type = undefined;
  const inference = infer(model);
  const reasons = inference.misses.map((miss) => miss.reason);
  const wrong: string[] = [];
  const open: string[] = [];
  let compared = 0;
  model.graph.outputs.forEach((output, index) => {
    const truth = expected[index];
    if (truth === undefined) return;
    compared++;
    const inferredType = output.type;
    // Only sizes that depend on the data can be without a number before the run.
    const dims = inferredType?.dims?.map((dim, axis) => (isUnknownDim(dim) ? (truth.dims[axis] ?? dim) : dim));
    if (inferredType === undefined || dims === undefined || dims.some((dim) => typeof dim !== "number"))
      open.push(`${output.name}: ${reasons.join("; ")} ${dimsText(inferredType?.dims)}`);
    else if (inferredType.type !== truth.type || !sameDims(dims, truth.dims))
      wrong.push(`${output.name}: ${inferredType.type}${dimsText(dims)}, not ${truth.type}${dimsText(truth.dims)}`);
  });
  return { name: given.name, ops: nodes.map((node) => node.op), compared, wrong, open };
}

function feedConstants(model: Model, inputs: readonly (Dense | undefined)[]): void {
  model.graph.inputs.forEach((value, index) => {
    const dense = inputs[index];
    if (dense === undefined) return;
    value.type = { type: dense.type, dims: dense.dims };
    const data = index === 0 && [...value.uses].every(({ node }) => node.op !== "ConstantOfShape");
    const isInteger = dense.type === "int64" || dense.type === "int32";
    // Resize has one scale for each axis.
    const few = dense.type === "float32" && index > 0 && dense.data.length <= 5;
    if (!data && (isInteger || few) && dense.dims.length <= 1) value.tensor = inMemory(dense);
  });
}

describe.skipIf(tests === undefined)("inferred types equal those of ONNX's backend tests", () => {
  test("for every model whose operators all have definitions", async () => {
    const verdicts: Verdict[] = [];
    for (const backendTest of tests ?? []) {
      const verdict = await judge(backendTest).catch((error: unknown): Verdict => {
        return { name: backendTest.name, ops: [], compared: 0, wrong: [`internal: ${error}`], open: [] };
      });
      if (verdict !== undefined) verdicts.push(verdict);
    }
    const report = (pick: (verdict: Verdict) => readonly string[]): string[] =>
      verdicts.flatMap((verdict) =>
        pick(verdict).map((text) => `${verdict.name} (${verdict.ops.join(", ")}): ${text}`),
      );
    expect(report(({ wrong }) => wrong)).toEqual([]);
    expect(report(({ open }) => open)).toEqual([]);
    expect(verdicts.length).toBeGreaterThan(500);
  });
});
