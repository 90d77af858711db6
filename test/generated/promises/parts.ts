/** Promises about outputs with several meanings: an error in the part with the least variance decides. */
import { infer } from "../../../src/core/analysis/infer.ts";
import { outputPartsOf } from "../../../src/core/analysis/measured-parts.ts";
import { type Emit, emitInto } from "../../../src/core/graph/emit.ts";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { fixedDims } from "../../../src/core/tensor/dims.ts";
import { compareRuns } from "../../../src/judge/compare/compare-function.ts";
import { comparisonMetrics } from "../../../src/judge/task/select-metric.ts";
import { raiseOpset } from "../../../src/rewrite/edit/raise-opset.ts";
import type { Network } from "../network.ts";
import { answers, expectThat } from "../runs.ts";
import type { Promised } from "./promised.ts";

/** A name by which the output counts as numbers in any shape. */
const joinedName = "coords";

/** Nodes between the Concat and the output. */
const ends: readonly ((emit: Emit, joined: Value, dims: readonly number[]) => Value)[] = [
  (emit, joined) => emit.Identity([joined]),
  (emit, joined, dims) => emit.Transpose([joined], { perm: [0, ...dims.map((_, index) => dims.length - index)] }),
  (emit, joined) => emit.Flatten([joined], { axis: 1 }),
  (emit, joined, dims) => {
    const width = dims.at(-1) ?? 1;
    const factors = Float32Array.from({ length: width }, (_, index) => 1 + index / width);
    return emit.Mul([joined, emit.constant(float32([width], factors))]);
  },
  (emit, joined, dims) => emit.Reshape([joined, emit.constant(int64([dims.length + 2], [0, ...dims, 1]))]),
];

interface Planted {
  readonly original: Model;
  /** The original, with zeros in place of the smaller part. */
  readonly result: Model;
}

/**
 * Returns a network whose output joins an output of the given one with the same numbers, smaller by `scale`; undefined if no output has floats and
 * fixed sizes.
 */
function plant({ model }: Network, scale: number, choice: number): Planted | undefined {
  const [original, result] = [1, 0].map((kept) => {
    const copy = model.clone();
    // Earlier operator sets have no Mul that broadcasts.
    raiseOpset(copy, 7);
    const inference = infer(copy);
    const output = copy.graph.outputs.find((value) => {
      const { type, dims } = inference.operand(value) ?? {};
      return type === "float32" && (dims ?? []).length > 1 && fixedDims(dims?.slice(1)) !== undefined;
    });
    const sizes = fixedDims((output && inference.operand(output)?.dims)?.slice(1));
    if (output === undefined || sizes === undefined || sizes.includes(0) || copy.graph.value(joinedName))
      return undefined;
    const emit = emitInto(copy, { by: "plant" });
    const axis = 1 + (choice % sizes.length);
    const small = emit.Mul([output, emit.constant(float32([], [scale * kept]))]);
    const joined = emit.Concat([output, small], { axis });
    const end = ends[choice % ends.length];
    const dims = sizes.with(axis - 1, 2 * (sizes[axis - 1] ?? 1));
    const last = end === undefined ? joined : end(emit, joined, dims);
    copy.graph.rename(last, joinedName);
    copy.graph.setOutputs([last]);
    return copy;
  });
  return original === undefined || result === undefined ? undefined : { original, result };
}

export const parts: readonly Promised[] = [
  {
    name: "the worst part of an output decides",
    networks: 300,
    async keep(network) {
      const choice = network.model.graph.nodeCount;
      // Shares of the variance from 1 % to 1e-8.
      const scale = 10 ** -(1 + (choice % 4));
      // Outputs of a network without inputs are constants.
      const planted = network.model.graph.feeds.length === 0 ? undefined : plant(network, scale, choice);
      if (planted === undefined) return;
      const { original, result } = planted;
      const sizes = network.batches.filter((size) => size > 0);
      const batches = sizes.map((size) => network.feeds(size, size));
      const [before, after] = [await answers(original, batches), await answers(result, batches)];
      const numbers = before.flatMap(({ [joinedName]: dense }) => (dense === undefined ? [] : [...toFloat64(dense)]));
      // An output of zeros has lost nothing, and a Concat of infinite numbers has no scale.
      const largest = Math.max(...numbers.map(Math.abs));
      if (!(largest > 1e-3 && largest < 1e6)) return;
      const outputParts = outputPartsOf(original, joinedName);
      expectThat(outputParts.length >= 2, `the output has ${outputParts.length} parts`);
      // The output of the network can have parts as well.
      const smallParts = outputParts.slice(outputParts.length / 2).map(({ name }) => name);
      const pairs = batches.map((feeds, index) => {
        const [expected = {}, actual = {}] = [before[index], after[index]];
        return { feeds, samples: sizes[index] ?? 1, expected, actual };
      });
      const runs = { pairs, original, result, without: [], otherDraws: undefined };
      const { likeness } = compareRuns(runs, undefined);
      const lost = typeof likeness === "object" ? likeness.lost : likeness;
      expectThat(lost?.includes(`${joinedName}[`) === true, `the comparison finds: ${lost}`);
      for (const metric of comparisonMetrics(original, joinedName)) {
        const read = metric.createRows?.() ?? metric.rows;
        const rows = Float64Array.from(before.flatMap((outputs, index) => [...read(after[index] ?? {}, outputs)]));
        const { best = Number.NaN } = metric;
        const value = metric.reduce(rows);
        expectThat(value < 0.01 && value < best, `${metric.name} is ${value}`);
        const worst = metric.worstPart?.(rows) ?? "undefined";
        expectThat(smallParts.includes(worst), `the worst part is ${worst}`);
      }
    },
  },
];
