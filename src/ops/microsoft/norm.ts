/**
 * Normalization as ONNX Runtime fuses it:
 * - SimplifiedLayerNormalization: x / √(mean(x²) + ε) · scale (RMSNormalization of opset 23). It lives in the default domain, though ONNX does
 *   not know it;
 * - SkipLayerNormalization, SkipSimplifiedLayerNormalization: the sum of input, skip and bias, normalized over its last axis; outputs: result,
 *   mean, 1/deviation, the sum.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import { type AxisLink, type AxisRule, defineOp, type Inferred, type Op, type Site } from "../define.ts";
import { decimal, integer, wrapAxis } from "../shared/attributes.ts";
import { dimsAt, integersConstant, need, scalar, typeOf, widened } from "../shared/rules.ts";

const microsoft = "com.microsoft";
const noWeight = new Miss("scales and shifts; it has no matrix");

/** x / √(mean(x²) + ε) · scale over the axes, and 1/√(…); numbers of 16 bits are computed in float32. */
function rootMeanSquare(emit: Emit, x: Value, scale: Value, axes: readonly number[], epsilon: number) {
  const wide = widened(emit, x);
  const mean = emit.ReduceMean([emit.Mul([wide, wide]), integersConstant(emit, axes)], { keepdims: 1 });
  const inverse = emit.Reciprocal([emit.Sqrt([emit.Add([mean, scalar(emit, typeOf(wide), epsilon)])])]);
  const normalized = emit.Mul([wide, inverse]);
  const narrow = typeOf(normalized) === typeOf(scale) ? normalized : emit.CastLike([normalized, scale]);
  return { y: emit.Mul([narrow, scale]), inverse };
}

/** The leading axes of every operand that has them pass; the last `over` axes are normalized over. */
function normalizedAxes(
  site: Site,
  over: number,
  operands: readonly number[],
  outputs: readonly number[],
): AxisRule | Miss {
  const dims = dimsAt(site, 0);
  if (dims instanceof Miss) return dims;
  const reason = "is normalized over this axis";
  const links: AxisLink[] = [];
  for (const input of operands) {
    const own = site.inputs[input]?.dims ?? [];
    own.forEach((dim, axis) => {
      const out = dims.length - own.length + axis;
      if (out >= dims.length - over) links.push({ refuses: [`in${input}`, axis], reason });
      else if (dim !== 1 || dims[out] === 1) links.push({ from: [`in${input}`, axis], to: ["out0", out] });
    });
  }
  dims.forEach((_, axis) => {
    if (axis >= dims.length - over) links.push({ refuses: ["out0", axis], reason });
  });
  for (const output of outputs) {
    for (let axis = 0; axis < dims.length - over; axis++) {
      links.push({ from: [`out${output}`, axis], to: ["out0", axis] });
    }
  }
  return { links };
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
  parameters: (_, site) => (site.inputs[1]?.stored === true ? [1] : []),
  scales: () => [1],
  weight: noWeight,
  axes: (s, site) => normalizedAxes(site, (site.inputs[0]?.dims?.length ?? 0) - s.axis, [0, 1], statisticsOf(site)),
  lower: (s, emit, [x, scale]) => {
    const rank = x?.type?.dims?.length;
    if (x === undefined || scale === undefined || rank === undefined)
      return new Miss("the rank of its input is not known");
    const axes = Array.from({ length: rank - s.axis }, (_, index) => s.axis + index);
    const { y, inverse } = rootMeanSquare(emit, x, scale, axes, s.epsilon);
    return [y, inverse];
  },
});

const statisticsOf = (site: Site): readonly number[] => (site.outputs > 1 ? [1] : []);

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
    weight: noWeight,
    axes: (_, site) =>
      normalizedAxes(
        site,
        1,
        [0, 1, ...vectors],
        [1, 2, 3].filter((output) => output < site.outputs),
      ),
    lower: (s, emit, inputs) => {
      const [x, other, scale] = inputs;
      if (x === undefined || other === undefined || scale === undefined) return new Miss("an operand is missing");
      const added = inputs[bias];
      const plain = emit.Add([x, other]);
      const sum = added === undefined ? plain : emit.Add([plain, added]);
      const average = (): Value => emit.ReduceMean([sum, integersConstant(emit, [-1])], { keepdims: 1 });
      if (shift === undefined) {
        const { y, inverse } = rootMeanSquare(emit, sum, scale, [-1], s.epsilon);
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
