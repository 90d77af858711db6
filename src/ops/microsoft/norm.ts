/**
 * Normalization as ONNX Runtime fuses it:
 * - SimplifiedLayerNormalization: x / √(mean(x²) + ε) · scale (RMSNormalization of opset 23). It lives in the default domain, though ONNX does
 *   not know it;
 * - SkipLayerNormalization, SkipSimplifiedLayerNormalization: the sum of input, skip and bias, normalized over its last axis; outputs: result,
 *   mean, 1/deviation, the sum.
 */
import { Miss } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import { type AxisLink, defineOp, type Inferred, type Op, type Site } from "../define.ts";
import { decimal, integer, wrapAxis } from "../shared/attributes.ts";
import { rootMeanSquare, scaling } from "../shared/normalize.ts";
import { integersConstant, need, range } from "../shared/rules.ts";

const microsoft = "com.microsoft";
/** The leading axes of every operand that has them pass; the last `over` axes are normalized over. */
function normalizedAxes(
  site: Site,
  dims: readonly Dim[],
  over: number,
  operands: readonly number[],
  outputs: readonly number[],
): readonly AxisLink[] {
  const lead = dims.length - over;
  const reason = "is normalized over this axis";
  const inputs = operands.flatMap((input) => {
    const own = site.inputs[input]?.dims ?? [];
    return own.flatMap((dim, axis): AxisLink[] => {
      const out = dims.length - own.length + axis;
      if (out >= lead) return [{ refuses: [`in${input}`, axis], reason }];
      return dim !== 1 || dims[out] === 1 ? [{ from: [`in${input}`, axis], to: ["out0", out] }] : [];
    });
  });
  const statistics = outputs.flatMap((output) =>
    range(lead).map((axis): AxisLink => ({ from: [`out${output}`, axis], to: ["out0", axis] })),
  );
  return [
    ...inputs,
    ...range(over, lead).map((axis): AxisLink => ({ refuses: ["out0", axis], reason })),
    ...statistics,
  ];
}

interface SimplifiedSettings {
  readonly axis: number;
  readonly epsilon: number;
}

const SimplifiedLayerNormalization = defineOp<SimplifiedSettings>({
  name: "SimplifiedLayerNormalization",
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    const axis = integer(site, "axis", -1);
    if (rank === undefined && axis !== -1) return new Miss("the rank of its input is not known");
    return { axis: rank === undefined ? axis : wrapAxis(axis, rank), epsilon: decimal(site, "epsilon", 1e-5) };
  },
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const kept = dims?.map((dim, axis): Dim => (axis < s.axis ? dim : 1));
    return [
      { type: site.inputs[1]?.type ?? type, dims },
      { type: type === "float64" ? "float64" : "float32", dims: kept },
    ];
  },
  ...scaling,
  parameters: [1],
  axes: (s, site, dims) => normalizedAxes(site, dims, dims.length - s.axis, [0, 1], site.outputs > 1 ? [1] : []),
  lower: (s, emit, [x, scale]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return new Miss("the rank of its input is not known");
    const { y, inverse } = rootMeanSquare(emit, x, scale, { axes: range(rank - s.axis, s.axis), epsilon: s.epsilon });
    return [y, inverse];
  },
});

interface SkipSettings {
  readonly epsilon: number;
  /** Whether mean and deviation are asked for. */
  readonly statistics: boolean;
}

/** Where the scale, the shift and the bias of the sum stand. */
interface SkipForm {
  readonly name: string;
  readonly shift: number | undefined;
  readonly bias: number;
}

function skip({ name, shift, bias }: SkipForm): Op {
  const vectors = [2, ...(shift === undefined ? [] : [shift]), bias];
  return defineOp<SkipSettings>({
    name,
    domain: microsoft,
    read: (site) => ({ epsilon: decimal(site, "epsilon", 1e-12), statistics: site.outputs > 1 }),
    infer: (_, site): readonly Inferred[] => {
      const { type, dims } = need(site, 0);
      const statistic: Inferred = { type: "float32", dims: dims && [...dims.slice(0, -1), 1] };
      return [{ type, dims }, statistic, statistic, { type, dims }].slice(0, site.outputs);
    },
    parameters: (_, site) => vectors.filter((input) => site.inputs[input]?.stored === true),
    scales: () => [2],
    weight: scaling.weight,
    axes: (_, site, dims) => normalizedAxes(site, dims, 1, [0, 1, ...vectors], range(site.outputs - 1, 1)),
    lower: (s, emit, inputs) => {
      const [x, other, scale] = inputs;
      const added = inputs[bias];
      const plain = emit.Add([x, other]);
      const sum = added === undefined ? plain : emit.Add([plain, added]);
      const average = (): Value => emit.ReduceMean([sum, integersConstant(emit, [-1])], { keepdims: 1 });
      if (shift === undefined) {
        const { y, inverse } = rootMeanSquare(emit, sum, scale, { axes: [-1], epsilon: s.epsilon });
        return s.statistics ? [y, average(), inverse, sum] : [y];
      }
      const settings = { axis: -1, epsilon: s.epsilon };
      const operands = [sum, scale, inputs[shift]];
      if (!s.statistics) return [emit.LayerNormalization(operands, settings)];
      const [y, mean, inverse] = emit.many("LayerNormalization", operands, settings, 3);
      return [y, mean, inverse, sum];
    },
  });
}

export const microsoftNormOperators: readonly Op[] = [
  SimplifiedLayerNormalization,
  skip({ name: "SkipLayerNormalization", shift: 3, bias: 4 }),
  skip({ name: "SkipSimplifiedLayerNormalization", shift: undefined, bias: 3 }),
];
