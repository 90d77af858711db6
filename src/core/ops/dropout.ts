/**
 * Dropout: in training each value is 0 with probability `ratio`, otherwise divided by 1 - ratio; output 1 is the mask. Opset history: before 12
 * always inference; since then ratio and training mode are inputs. The mask has the input's type before 10, bool since.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { toNumbers } from "../tensor/convert.ts";
import { int64 } from "../tensor/dense.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import { type AxisLink, defineOp, type Operand } from "./define.ts";
import { readFloat, readInteger } from "./shared/attributes.ts";
import { requireInput, sameAxes, scalar, typeOf } from "./shared/rules.ts";

function knownNumber(operand: Operand | undefined, byDefault: number): number | undefined {
  if (operand === undefined) return byDefault;
  if (operand.small !== undefined) return toNumbers(operand.small)[0];
  const [element] = operand.elements ?? [];
  return typeof element === "number" ? element : undefined;
}

/** Random numbers have 31 bits: a product of two stays below 2⁶². */
const bits = 2 ** 31;

/**
 * True with probability 1 - ratio per element of x: r_i · c_j mod 2³¹ is at least ratio · 2³¹, with random odd numbers per row and column.
 * These mix stored numbers with the step's number, so a mask depends only on the step.
 */
function drawKept(emit: Emit, x: Value, ratio: number, draw: Value): Value | Miss {
  const dims = fixedDims(x.type?.dims);
  if (dims === undefined) return new Miss("the dimensions of its input are not known");
  const columns = dims.at(-1) ?? 1;
  const number = (value: number): Value => emit.constant(int64([], [value]));
  const below = (value: Value): Value => emit.BitwiseAnd([value, number(bits - 1)]);
  const numbers = (axisName: string, shape: readonly number[]): Value => {
    const source = random(0, "dropout", x.name, axisName);
    const oddNumbers = Array.from({ length: elementCount(shape) }, () => 2 * source.integer(bits / 2) + 1);
    const product = below(emit.Mul([emit.constant(int64(shape, oddNumbers)), draw]));
    // Mixes high bits into the low bits, because the low bits of a product depend only on low bits.
    const mixed = emit.BitwiseXor([product, emit.Div([product, number(2 ** 15)])]);
    return emit.BitwiseOr([below(emit.Mul([mixed, number(0x2c1b3c6d)])), number(1)]);
  };
  const rows = numbers("rows", [...dims.slice(0, -1), ...(dims.length === 0 ? [] : [1])]);
  const product = below(emit.Mul([rows, numbers("columns", dims.length === 0 ? [] : [columns])]));
  return emit.GreaterOrEqual([product, number(Math.round(ratio * bits))]);
}

/** @param mask The kind of mask that output 1 needs, if any. */
function writeInference(mask: string | undefined, emit: Emit, x: Value | undefined): readonly Value[] {
  const same = emit.Identity([x]);
  if (mask === undefined) return [same];
  const type = mask === "input" ? typeOf(x) : "bool";
  return [same, emit.Expand([scalar(emit, type, mask === "all" ? 1 : 0), emit.Shape([x])])];
}

export const Dropout = defineOp({
  name: "Dropout",
  // A run-time input can turn on training.
  random: (inputs) => (inputs[2] === undefined ? undefined : "int"),
  read: (site) => {
    const asInput = site.version >= 12;
    const training = asInput
      ? knownNumber(site.inputs[2], 0)
      : site.version < 7 && readInteger(site, "is_test", 0) === 0
        ? 1
        : 0;
    return {
      ratio: asInput ? knownNumber(site.inputs[1], 0.5) : readFloat(site, "ratio", 0.5),
      training: training === undefined ? undefined : training !== 0,
      seed: site.attribute("seed") === undefined ? undefined : readInteger(site, "seed", 0),
      // The mask at inference: all false before opset 12 (of the input's type before 10). Undefined if output 1 is absent.
      mask: site.outputs < 2 ? undefined : site.version < 10 ? "input" : asInput ? "all" : "none",
    };
  },
  infer: (_, site) => {
    const { type, dims } = requireInput(site, 0);
    return [
      { type, dims },
      { type: site.version < 10 ? type : "bool", dims },
    ];
  },
  unchanged: (s) => (s.training === false || s.ratio === 0 ? 0 : undefined),
  training: (s, site) => {
    const { ratio } = s;
    if (ratio === undefined || s.training === undefined || site.inputs[2] === undefined) return undefined;
    return {
      states: [2],
      declared: s.training && s.seed === undefined,
      write: (emit, [x], draw) => {
        if (x === undefined) return new Miss("an operand is missing");
        const kept = drawKept(emit, x, ratio, draw());
        if (kept instanceof Miss) return kept;
        const scaled = emit.Mul([x, ratio < 1 ? 1 / (1 - ratio) : 0]);
        const outputs = [emit.Mul([scaled, emit.CastLike([kept, x])]), kept].slice(0, site.outputs);
        return { outputs, next: new Map() };
      },
      inference: s.training ? (emit, [x]) => writeInference(s.mask, emit, x) : undefined,
    };
  },
  // The mask does not scale with the input.
  homogeneous: (_, site) => (site.outputs > 1 ? undefined : { products: [[0]] }),
  axes: (_, __, dims) => [
    ...sameAxes(dims),
    ...dims.map((_, index): AxisLink => ({ from: ["in0", index], to: ["out1", index] })),
  ],
  // The primitives draw other random numbers than the node.
  lower: (s, emit, [x]) => {
    if (s.training === undefined || s.ratio === undefined) return new Miss("its mode is decided at run time");
    if (!s.training || s.ratio === 0) return writeInference(s.mask, emit, x);
    const draws = emit.RandomUniformLike([x], s.seed === undefined ? {} : { seed: s.seed });
    const kept = emit.GreaterOrEqual([draws, s.ratio]);
    const scale = s.ratio < 1 ? 1 / (1 - s.ratio) : 0;
    return [emit.Mul([emit.Mul([x, emit.CastLike([kept, x])]), scale]), kept];
  },
  quantize: (s) => (s.training === false ? { kind: "transparent" } : new Miss("drops values at random")),
});
