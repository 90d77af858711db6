/** Weights as W ≈ DequantizeLinear(codes, scale, zero point), with 8 or 4 bits, per slice or per tensor. */
import { type Layer, nameBeforeMasking } from "#analysis";
import type { DataType, Dense, Emit, Model, Value } from "#ir";
import { fromNumbers, int64, toFloat32, typeCodes } from "#ir";
import type { Context } from "#pass";
import { readStoredValue } from "../../../rewrite/edit/stored-values.ts";
import type { ScaledGrid } from "../../calibrate/solver.ts";
import { quantizeBias, smallestScale, weightScaleForBias } from "../../shared/affine-codes.ts";
import type { PerAxis } from "../grid.ts";
import type { Target } from "../quantizable.ts";
import { channelRanges, type QuantizedTensor } from "../quantize-tensor.ts";
import { type ActivationType, areIntegers, isWide, type RoundedSettings, type StaticSettings } from "../settings.ts";
import { codesText, type QuantizedWeight, roundWeight } from "../weights/round-weight.ts";
import { existingRounding, withLayerName } from "../weights/rounding-source.ts";
import { integerWeight, productBits, slicedAxis, type WeightSettings } from "../weights/weight-settings.ts";
import { emitAround, emitBeside, type Format, type FormatFactory, oncePerRun, type WriteRun } from "./format.ts";
import { writeLookup } from "./lookup.ts";

/** The format of layers with learned scales and at most 4 bits: the stored values equal those of the training. */
export const learnedCodesFor: FormatFactory = ({ role }, options, _, learnedRounding) => {
  const isLowBit = learnedRounding !== undefined && learnedRounding.high - learnedRounding.low < 16;
  if (!isLowBit || role.kind === "lookup" || options.everywhere === true || !areIntegers(options)) return undefined;
  const bits = Math.ceil(Math.log2(learnedRounding.high - learnedRounding.low + 1));
  return codesFormat({ type: "int4", perChannel: learnedRounding.axis !== undefined, bits });
};

export const codesFor: FormatFactory = (layer, options) =>
  layer.role.kind === "lookup" || options.everywhere === true
    ? floatCodes(layer, options)
    : codesFormat(integerWeight(options, options.bits));

/** Returns the format of a layer that stores 8-bit integers and computes in float. */
export const floatCodes = ({ role }: Layer, options: RoundedSettings): Format =>
  // An integer product can share the values of an embedding table, so tables have the bits of products.
  codesFormat(integerWeight(options, role.kind === "lookup" ? productBits(options) : 8));

export function measuredCodes(options: StaticSettings, inputGrid: ActivationGrid): Format {
  if (options.bits === 4) return codesFormat(integerWeight(options, 4), inputGrid);
  // 16-bit activations are multiplied in float.
  const bits = isWide(inputGrid.type) ? 8 : productBits(options);
  return codesFormat({ ...integerWeight(options, bits), kernels: "fused" }, inputGrid);
}

interface ActivationGrid {
  readonly target: Target;
  readonly type: ActivationType;
  readonly scale: number;
}

export const codesFormat = (settings: WeightSettings, inputGrid?: ActivationGrid): Format => ({
  // 7 bits are stored in 8 and exclude the largest values.
  bits: settings.bits === 7 ? 8 : settings.bits,
  opset: settings.type === "int4" ? 21 : settings.perChannel ? 13 : 10,
  text(layer, { rounding }) {
    const weight = codesText(layer, settings, rounding);
    return inputGrid === undefined ? weight : `inputs as ${inputGrid.type}, ${weight}`;
  },
  async begin({ layer, table = layer }, run) {
    if (inputGrid === undefined) return;
    const bias = await vectorBias(run.model, inputGrid.target, run.context);
    if (bias === undefined) return;
    const biasMap = await layerBiases(run, table.effective, keyOf(table, settings, run), async () => new Map());
    biasMap.set(layer, { bias, inputScale: inputGrid.scale * (layer.role.productFactor ?? 1) });
  },
  async write(emit, { layer, table = layer }, run) {
    const { node, role, effective } = layer;
    const sharedCodes = await codesOf(table, settings, run);
    if (role.kind === "lookup") return writeLookup(emit, layer, sharedCodes, settings.type);
    const emitNear = emitAround(emit, layer, run);
    const codes = effective === table.effective ? sharedCodes : transposedCodes(emitNear, sharedCodes);
    codes.numbers ??= dequantize(emitNear, nameBeforeMasking(layer.weight), codes, codes.axis, effective.type?.type);
    node.graph.setInput(node, role.input, codes.numbers);
    const layerBias = sharedCodes.biases.get(layer);
    if (inputGrid !== undefined && layerBias !== undefined)
      await writeBias(run.model, emit, inputGrid.target, layerBias, sharedCodes.scales);
  },
  tied: (_, ownFormat) => (ownFormat.onCodes === undefined ? codesFormat(settings) : ownFormat.onCodes(settings)),
  ...(inputGrid === undefined ? {} : { onCodes: (codes) => codesFormat(codes, inputGrid) }),
});

interface SharedCodes extends StoredCodes {
  readonly scales: Float32Array;
  readonly biases: ReadonlyMap<Layer, LayerBias>;
  readonly axis: number | undefined;
  numbers: Value | undefined;
  transposed: SharedCodes | undefined;
}

const storeOnce = oncePerRun<SharedCodes>();
const layerBiases = oncePerRun<Map<Layer, LayerBias>>();

function keyOf(layer: Layer, { type, perChannel, bits, zeroPoints }: WeightSettings, { rounding }: WriteRun): string {
  const learnedRounding = existingRounding(layer, rounding);
  if (learnedRounding !== undefined) return `${type} as rounded ${learnedRounding.axis}`;
  return `${type} ${bits} ${perChannel ? slicedAxis(layer, perChannel) : zeroPoints}`;
}

export async function codesOf(layer: Layer, settings: WeightSettings, run: WriteRun): Promise<SharedCodes> {
  const key = keyOf(layer, settings, run);
  const biasMap = await layerBiases(run, layer.effective, key, async () => new Map());
  return storeOnce(run, layer.effective, key, async () => {
    const form = { grown: createScaleGrowth([...biasMap.values()]) };
    const tensor = await roundWeight(layer, settings, run.rounding, form);
    const codes = storeQuantized(emitBeside(layer, run), nameBeforeMasking(layer.weight), tensor);
    const scales = tensor.scale.data;
    return { ...codes, scales, biases: biasMap, axis: tensor.axis, numbers: undefined, transposed: undefined };
  });
}

/** Returns the transposed quantized weight. The runtime computes the transposition once, when it loads the model. */
export function transposedCodes(emit: Emit, codes: SharedCodes): SharedCodes {
  codes.transposed ??= {
    ...codes,
    numbers: undefined,
    codes: emit.Transpose([codes.codes], { perm: [1, 0] }),
    axis: codes.axis === undefined ? undefined : 1 - codes.axis,
  };
  return codes.transposed;
}

export interface CodeValues {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** Stores tensors under the names that ONNX Runtime's tools use. */
export function storeQuantized(emit: Emit, name: string, tensor: QuantizedTensor | QuantizedWeight): CodeValues {
  return { codes: emit.constant(tensor.quantized, `${name}_quantized`), ...storeGrid(emit, name, tensor) };
}

const storeGrid = (emit: Emit, name: string, tensor: QuantizedTensor | QuantizedWeight): Omit<CodeValues, "codes"> => ({
  scale: emit.constant(tensor.scale, `${name}_scale`),
  zeroPoint: emit.constant(tensor.zeroPoint, `${name}_zero_point`),
});

export type StoredCodes = Omit<CodeValues, "zeroPoint"> & { readonly zeroPoint?: Value | undefined };

/** Dequantizes a constant. Equal values, such as padding, become a fill instead of a stored tensor. */
export function dequantizedConstant(emit: Emit, name: string, tensor: QuantizedTensor): Value {
  const { type, dims, data } = tensor.quantized;
  const [code = 0] = data;
  const isFill = data.length > maxCodesWithoutFill && data.every((element) => element === code);
  const codes = isFill
    ? emit
        .named(`${name}_quantized`)
        .ConstantOfShape([emit.constant(int64([dims.length], dims), `${name}_shape`)], {
          value: fromNumbers(type, [1], [code]),
        })
    : emit.constant(tensor.quantized, `${name}_quantized`);
  return dequantize(emit, name, { codes, ...storeGrid(emit, name, tensor) }, tensor.axis);
}

/** Up to this many values, the fill is larger than the values. */
const maxCodesWithoutFill = 128;

function dequantize(
  emit: Emit,
  name: string,
  { codes, scale, zeroPoint }: StoredCodes,
  axis: number | undefined,
  type: DataType = "float32",
): Value {
  const axisAttribute = axis === undefined ? {} : { axis };
  const numbers = emit
    .named(`${name}_DequantizeLinear_Output`)
    .DequantizeLinear([codes, scale, ...(zeroPoint === undefined ? [] : [zeroPoint])], axisAttribute);
  return type === "float32" ? numbers : emit.named(`${name}_${type}`).Cast([numbers], { to: typeCodes[type] });
}

interface LayerBias {
  readonly bias: Float32Array;
  /** The scale of the data times the factor of the product, which can be negative. */
  readonly inputScale: number;
}

/** Returns the bias per output channel, times the operator's factor. */
async function vectorBias(model: Model, { layer, rule }: Target, context: Context): Promise<Float32Array | undefined> {
  const { bias } = layer;
  const { biasFactor: factor } = rule;
  if (bias === undefined || factor === undefined) return undefined;
  const dense = await readStoredValue(model, bias, context.engine);
  const values = factor === 1 ? toFloat32(dense) : toFloat32(dense).map((value) => value * factor);
  if (values.length === 1) return new Float32Array(layer.outputs).fill(values[0] ?? 0);
  return values.length === layer.outputs && dense.dims.at(-1) === layer.outputs ? values : undefined;
}

/** Enlarges weight scales so that int32 can represent all biases. If the weights of a channel are 0, its biases determine the scale. */
const createScaleGrowth =
  (layerBiasList: readonly LayerBias[]) =>
  async (grid: ScaledGrid & PerAxis, read: () => Promise<Dense>): Promise<ScaledGrid & PerAxis> => {
    if (layerBiasList.length === 0) return grid;
    const { min, max } = channelRanges(await read(), grid.axis);
    const scale = grid.scale.map((channelScale, channel) => {
      let newScale = min[channel] === 0 && max[channel] === 0 ? 0 : channelScale;
      for (const { bias, inputScale } of layerBiasList) {
        const largest = grid.scale.length === 1 ? largestOf(bias) : Math.abs(bias[channel] ?? 0);
        if (largest > 0) newScale = weightScaleForBias(Math.abs(inputScale), newScale, largest);
      }
      return newScale === 0 ? channelScale : Math.fround(Math.max(newScale, smallestScale));
    });
    return { ...grid, scale };
  };

const largestOf = (values: Float32Array): number =>
  values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);

async function writeBias(
  model: Model,
  emit: Emit,
  { layer, rule }: Target,
  { bias, inputScale }: LayerBias,
  weightScales: ArrayLike<number>,
): Promise<void> {
  const { bias: value, role, node } = layer;
  if (value === undefined || role.bias === undefined) return;
  const { codes, scale } = await withLayerName(layer, () => quantizeBias(bias, inputScale, weightScales));
  const dims = scale.length === 1 ? [] : [scale.length];
  const axis = scale.length === 1 ? {} : { axis: 0 };
  const floatBias = emit
    .named(`${value.name}_DequantizeLinear_Output`)
    .DequantizeLinear(
      [
        emit.constant({ type: "int32", dims: [codes.length], data: codes }, `${value.name}_quantized`),
        emit.constant({ type: "float32", dims, data: scale }, `${value.name}_quantized_scale`),
        emit.constant(
          { type: "int32", dims, data: new Int32Array(scale.length) },
          `${value.name}_quantized_zero_point`,
        ),
      ],
      axis,
    );
  model.graph.setInput(node, role.bias, floatBias);
  if (rule.biasAttribute !== undefined) model.graph.setAttribute(node, rule.biasAttribute, undefined);
}
