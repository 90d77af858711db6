/**
 * Other operators of com.microsoft. Operators with a counterpart in the default domain (ExpandDims, Trilu, Pad, Range, GatherND) are lowered to it.
 * Variants of Gelu, with x' = x + bias:
 * - Gelu, BiasGelu: x'/2 · (1 + erf(x'/√2));
 * - FastGelu: x'/2 · (1 + tanh(√(2/π) · (x' + 0.044715 x'³)));
 * - QuickGelu: x · σ(αx).
 */
import { addDims, type Dim, type Emit, Miss, toFloat64, typeCodes, type Value } from "#graph";
import type { Op, OpDef, Operand } from "../define.ts";
import { constantIntegersOf, readFloat, readInteger, readString, wrapAxis } from "../shared/attributes.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { lowerFirst } from "../shared/misses.ts";
import { alignedAxes, inferShape, requireInput, sameAsInput, sameAxes, scalar } from "../shared/rules.ts";

type CounterpartDefinition<S> = Pick<OpDef<S>, "name" | "read" | "infer"> & {
  readonly lower: Exclude<OpDef<S>["lower"], Miss | undefined>;
};

const fused = new Miss(`is not an operator of ai.onnx: ${lowerFirst}`);

const defineCounterpart = <S = null>({ read = () => null as S, ...row }: CounterpartDefinition<S>): Op =>
  defineMicrosoftOp<S>({ ...row, read, axes: fused, quantize: fused });

/** Squeezes a vector of length 1 to a scalar. */
const toScalar = (emit: Emit, value: Value | undefined): Value | undefined =>
  value?.type?.dims?.length === 1 ? emit.Squeeze([value, [0]]) : value;

export const ExpandDims = defineCounterpart({
  name: "ExpandDims",
  read: (site) => {
    const [axis] = constantIntegersOf(site.inputs[1]) ?? [];
    const rank = site.inputs[0]?.dims?.length;
    return { axis: axis === undefined || rank === undefined ? undefined : wrapAxis(axis, rank + 1) };
  },
  infer: ({ axis }, site) => inferShape(site, (dims) => (axis === undefined ? undefined : dims.toSpliced(axis, 0, 1))),
  lower: ({ axis }, emit, [x]) =>
    axis === undefined ? new Miss("its axis is computed at run time") : [emit.Unsqueeze([x, [axis]])],
});

export const Trilu = defineCounterpart({
  name: "Trilu",
  read: (site) => ({ upper: readInteger(site, "upper", 1) }),
  infer: (_, site) => sameAsInput(site),
  lower: ({ upper }, emit, [x, k]) => [emit.Trilu([x, k], { upper })],
});

export const Pad = defineCounterpart({
  name: "Pad",
  read: (site) => ({ mode: readString(site, "mode", "constant") }),
  infer: (_, site) => {
    const pads = constantIntegersOf(site.inputs[1]);
    return inferShape(site, (dims) =>
      dims.map((dim, axis) =>
        pads === undefined ? site.open(0, axis) : addDims(dim, (pads[axis] ?? 0) + (pads[dims.length + axis] ?? 0)),
      ),
    );
  },
  lower: ({ mode }, emit, [x, pads, value]) => [emit.Pad([x, pads, toScalar(emit, value)], { mode })],
});

function knownNumberOf(operand: Operand | undefined): number | undefined {
  const [element] = constantIntegersOf(operand) ?? [];
  const { small } = operand ?? {};
  return element ?? (small === undefined || small.type === "string" ? undefined : toFloat64(small)[0]);
}

export const Range = defineCounterpart({
  name: "Range",
  infer: (_, site) => {
    const [start, limit] = [knownNumberOf(site.inputs[0]), knownNumberOf(site.inputs[1])];
    const step = site.inputs[2] === undefined ? 1 : knownNumberOf(site.inputs[2]);
    const isKnown = start !== undefined && limit !== undefined && step !== undefined && step !== 0;
    const count = isKnown ? Math.max(0, Math.ceil((limit - start) / step)) : site.open(0, 0);
    return [{ type: requireInput(site, 0).type, dims: [count] }];
  },
  lower: (_, emit, [start, limit, step]) => {
    if (start?.type === undefined || limit === undefined) return new Miss("an operand is missing");
    const stepValue = step === undefined ? scalar(emit, start.type.type, 1) : toScalar(emit, step);
    return [emit.Range([toScalar(emit, start), toScalar(emit, limit), stepValue])];
  },
});

export const GatherND = defineCounterpart({
  name: "GatherND",
  infer: (_, site) => {
    const gatheredDims = (dims: readonly Dim[] = [], indices: readonly Dim[] = []): readonly Dim[] | undefined => {
      const depth = indices.at(-1);
      return typeof depth === "number" ? [...indices.slice(0, -1), ...dims.slice(depth)] : undefined;
    };
    return inferShape(site, gatheredDims, undefined, [0, 1]);
  },
  lower: (_, emit, [x, indices]) => [emit.GatherND([x, emit.Cast([indices], { to: typeCodes.int64 })])],
});

function defineGelu(name: string, compute: (emit: Emit, x: Value, alpha: number) => Value): Op {
  return defineMicrosoftOp({
    name,
    read: (site) => ({ alpha: readFloat(site, "alpha", 1.702) }),
    infer: (_, site) => sameAsInput(site),
    parameters: [1],
    axes: (_, site, dims) => [...sameAxes(dims), ...alignedAxes(site, 1, dims.length)],
    lower: (s, emit, [x, bias]) => [compute(emit, bias === undefined ? x : emit.Add([x, bias]), s.alpha)],
  });
}

const erfGelu = (emit: Emit, x: Value): Value =>
  emit.Mul([emit.Mul([x, 0.5]), emit.Add([emit.Erf([emit.Mul([x, Math.SQRT1_2])]), 1])]);

function tanhGelu(emit: Emit, x: Value): Value {
  const cubic = emit.Mul([emit.Mul([emit.Mul([x, x]), x]), 0.044715]);
  const tanhArgument = emit.Mul([emit.Add([x, cubic]), Math.sqrt(2 / Math.PI)]);
  return emit.Mul([emit.Mul([x, 0.5]), emit.Add([emit.Tanh([tanhArgument]), 1])]);
}

export const microsoftMiscOperators: readonly Op[] = [
  defineGelu("Gelu", erfGelu),
  defineGelu("BiasGelu", erfGelu),
  defineGelu("FastGelu", tanhGelu),
  defineGelu("QuickGelu", (emit, x, alpha) => emit.Mul([x, emit.Sigmoid([emit.Mul([x, alpha])])])),
];
