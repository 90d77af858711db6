/** Weights as W ≈ DequantizeLinear(codes, scale, zero point), with 8 bits, per slice or per tensor. */
import type { Layer } from "../../../core/analysis/layers.ts";
import { plainName } from "../../../core/analysis/masks.ts";
import type { Emit } from "../../../core/graph/emit.ts";
import type { Value } from "../../../core/graph/graph.ts";
import type { QuantizedTensor } from "../../../core/math/index.ts";
import { fromNumbers } from "../../../core/tensor/convert.ts";
import { int64 } from "../../../core/tensor/dense.ts";
import { type DataType, typeCodes } from "../../../core/tensor/types.ts";
import { type ActivationType, isWide } from "../options.ts";
import type { Target } from "../target.ts";
import {
  areIntegers,
  codesText,
  existingRounding,
  multipliedBits,
  type QuantizedWeight,
  roundedWeight,
  settingsOf,
  slicedAxis,
  type WeightSettings,
} from "../weight.ts";
import { around, beside, type Form, type Format, oncePerRun, type Writing } from "./format.ts";
import { type AddedToSums, grownFor, vectorBias, writeBias } from "./int32-bias.ts";
import { writeLookup } from "./lookup.ts";

/** Format of layers with learned scales: the stored values equal the trained ones. */
export const asLearned: Format = {
  what: "codes",
  formOf({ role }, own, _, learned) {
    const isFew = learned !== undefined && learned.high - learned.low < 16;
    if (!isFew || role.kind === "lookup" || own.everywhere === true || !areIntegers(own)) return undefined;
    const bits = Math.ceil(Math.log2(learned.high - learned.low + 1));
    return codesForm({ type: "int4", perChannel: learned.axis !== undefined, bits });
  },
};

export const inCodes: Format = {
  what: "codes",
  formOf({ role }, own) {
    const settings = settingsOf(own);
    if (role.kind !== "lookup" && own.scheme === "weights" && own.bits < 8 && own.everywhere !== true)
      return codesForm({
        ...{ type: own.bits > 4 ? settings.type : "int4", perChannel: own.perChannel, bits: own.bits },
        zeroPoints: settings.zeroPoints === true && own.bits === 4,
      });
    // An integer product may read the values of a table.
    return codesForm(role.kind === "lookup" ? { ...settings, bits: multipliedBits(settings, own) } : settings);
  },
};

export const inMeasuredCodes = (measured: ActivationGrid): Format => ({
  what: "codes",
  formOf(_, own) {
    const settings = settingsOf(own);
    // 16-bit activations are multiplied in float.
    const bits = isWide(measured.type) ? 8 : multipliedBits(settings, own);
    return codesForm(
      own.bits === 4 ? { ...settings, type: "int4" } : { ...settings, bits, kernels: "fused" },
      measured,
    );
  },
});

interface ActivationGrid {
  readonly target: Target;
  readonly type: ActivationType;
  readonly scale: number;
}

/** Reports 7 bits as 8: they are stored in 8 and exclude the largest values. */
const bitsOf = ({ type, bits = type === "int4" ? 4 : 8 }: WeightSettings): number => (bits === 7 ? 8 : bits);

export const codesForm = (settings: WeightSettings, measured?: ActivationGrid): Form => ({
  bits: bitsOf(settings),
  opset: settings.type === "int4" ? 21 : settings.perChannel ? 13 : 10,
  text(layer, { plain }) {
    const weight = codesText(layer, settings, plain);
    return measured === undefined ? weight : `${measured.type} activations, ${weight}`;
  },
  async begin({ layer, table = layer }, run) {
    if (measured === undefined) return;
    const bias = await vectorBias(run.model, measured.target, run.context);
    if (bias === undefined) return;
    const sums = await added(run, table.effective, formOf(table, settings, run), async () => new Map());
    sums.set(layer, { bias, dataScale: measured.scale });
  },
  async write(emit, { layer, table = layer }, run) {
    const { node, role, effective } = layer;
    const written = await codesOf(table, settings, run);
    if (role.kind === "lookup") return writeLookup(emit, layer, written, settings.type);
    const near = around(emit, layer, run);
    const read = effective === table.effective ? written : turned(near, written);
    read.numbers ??= numbersOf(near, plainName(layer.weight), read, read.axis, effective.type?.type);
    node.graph.setInput(node, role.input, read.numbers);
    const sum = written.added.get(layer);
    if (measured !== undefined && sum !== undefined)
      await writeBias(run.model, emit, measured.target, sum, written.scales);
  },
  tied: (_, wanted) => (wanted.onCodes === undefined ? codesForm(settings) : wanted.onCodes(settings)),
  ...(measured === undefined ? {} : { onCodes: (codes) => codesForm(codes, measured) }),
});

interface SharedCodes extends StoredCodes {
  readonly scales: Float32Array;
  readonly added: ReadonlyMap<Layer, AddedToSums>;
  readonly axis: number | undefined;
  numbers: Value | undefined;
  turned: SharedCodes | undefined;
}

const stored = oncePerRun<SharedCodes>();
/** Values that layers add to sums of products with the same quantized weight. */
const added = oncePerRun<Map<Layer, AddedToSums>>();

function formOf(layer: Layer, { type, perChannel, bits, zeroPoints }: WeightSettings, { rounding }: Writing): string {
  const known = existingRounding(layer, rounding);
  if (known !== undefined) return `${type} as rounded ${known.axis}`;
  return `${type} ${bits} ${perChannel ? slicedAxis(layer, perChannel) : zeroPoints}`;
}

export async function codesOf(layer: Layer, settings: WeightSettings, run: Writing): Promise<SharedCodes> {
  const form = formOf(layer, settings, run);
  const sums = await added(run, layer.effective, form, async () => new Map());
  return stored(run, layer.effective, form, async () => {
    const grown = { grown: grownFor([...sums.values()]) };
    const tensor = await roundedWeight(run.model, layer, settings, run.plain, run.context.engine, grown);
    const codes = storeQuantized(beside(layer, run), plainName(layer.weight), tensor);
    const scales = tensor.scale.data;
    return { ...codes, scales, added: sums, axis: tensor.axis, numbers: undefined, turned: undefined };
  });
}

/** Returns the transposed matrix; the runtime transposes it when it loads the model. */
export function turned(emit: Emit, written: SharedCodes): SharedCodes {
  written.turned ??= {
    ...written,
    numbers: undefined,
    codes: emit.Transpose([written.codes], { perm: [1, 0] }),
    axis: written.axis === undefined ? undefined : 1 - written.axis,
  };
  return written.turned;
}

/** Quantized values with their scale and zero point. */
export interface Coded {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** Stores tensors under the names that ONNX Runtime's tools use. */
export function storeQuantized(emit: Emit, name: string, tensor: QuantizedTensor | QuantizedWeight): Coded {
  return { codes: emit.constant(tensor.quantized, `${name}_quantized`), ...storeGrid(emit, name, tensor) };
}

const storeGrid = (emit: Emit, name: string, tensor: QuantizedTensor | QuantizedWeight): Omit<Coded, "codes"> => ({
  scale: emit.constant(tensor.scale, `${name}_scale`),
  zeroPoint: emit.constant(tensor.zeroPoint, `${name}_zero_point`),
});

/** Stored values and their grid; a zero point of 0 can be omitted. */
export type StoredCodes = Omit<Coded, "zeroPoint"> & { readonly zeroPoint?: Value | undefined };

/** Dequantizes a constant. Equal values, such as padding, become a fill instead of a stored tensor. */
export function dequantizedConstant(emit: Emit, name: string, tensor: QuantizedTensor): Value {
  const { type, dims, data } = tensor.quantized;
  const [code = 0] = data;
  const isFill = data.length > mostStored && data.every((each) => each === code);
  const codes = isFill
    ? emit.named(`${name}_quantized`).ConstantOfShape([emit.constant(int64([dims.length], dims), `${name}_shape`)], {
        value: fromNumbers(type, [1], [code]),
      })
    : emit.constant(tensor.quantized, `${name}_quantized`);
  return numbersOf(emit, name, { codes, ...storeGrid(emit, name, tensor) }, tensor.axis);
}

/** Up to this many values, the fill is larger than the values. */
const mostStored = 128;

export function numbersOf(
  emit: Emit,
  name: string,
  { codes, scale, zeroPoint }: StoredCodes,
  axis: number | undefined,
  type: DataType = "float32",
): Value {
  const along = axis === undefined ? {} : { axis };
  const numbers = emit
    .named(`${name}_DequantizeLinear_Output`)
    .DequantizeLinear([codes, scale, ...(zeroPoint === undefined ? [] : [zeroPoint])], along);
  return type === "float32" ? numbers : emit.named(`${name}_${type}`).Cast([numbers], { to: typeCodes[type] });
}
