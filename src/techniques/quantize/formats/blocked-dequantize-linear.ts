/**
 * Low-bit blocks in standard ONNX operators:
 *
 *     h = Gemm(x, fc1.weight, fc1.bias)     w = DequantizeLinear(fc1.weight_quantized, _scale, _zero_point) {axis=0, block_size}    # int4[K, N]
 *                                           h = Add(MatMul(x, w), fc1.bias)
 *     h = Conv(x, conv.weight)              w = Reshape(DequantizeLinear(…) {axis=1, block_size}, dims)                             # int4[outputs, others]
 *                                           h = Conv(x, w)
 *
 * ONNX Runtime converts such a product into `MatMulNBits`. 2 bits are excluded (quirk "two-bit-products").
 */
import { type Layer, nameBeforeMasking } from "#analysis";
import { type Emit, fixedDims, fromNumbers, int64, Miss, type Value } from "#ir";
import { makeCodes } from "../../shared/affine-codes.ts";
import type { BlockSettings } from "../grid.ts";
import type { Target } from "../quantizable.ts";
import { codesTensor } from "../quantize-tensor.ts";
import { codesFormat, type StoredCodes } from "./dequantize-linear.ts";
import { emitAround, emitBeside, type Format, type FormatFactory, oncePerRun, type WriteRun } from "./format.ts";
import { castToTypeOf } from "./lookup.ts";
import { requireMatrix, writeProduct } from "./matrix-product.ts";
import {
  type BlockLayout,
  type BlockShape,
  blockSettings,
  blockShape,
  blocksText,
  roundBlocks,
} from "./weight-blocks.ts";

export const standardBlocksFor: FormatFactory = (layer, options, inference) => {
  const settings = blockSettings(options);
  if (settings === undefined || !options.onnxOnly) return undefined;
  if (layer.role.kind === "lookup") return new Miss("no ONNX operator looks up rows of them", layer.name);
  const target = requireMatrix(layer, inference);
  if (!(target instanceof Miss)) return productFormat(settings, target);
  const { role } = layer;
  if (role.out === 0 && role.stack === undefined && blockShape(layer, settings.block).width > settings.block)
    return reshapedFormat(settings);
  const { perChannel } = options;
  return settings.bits === 8 ? undefined : codesFormat({ type: "int4", bits: 4, perChannel });
};

const blocksFormat = (settings: BlockSettings, write: Format["write"]): Format => ({
  bits: settings.bits,
  opset: 21,
  blocks: settings,
  text: (layer, { rounding }) => blocksText(settings, layer, rounding),
  write,
});

const productFormat = (settings: BlockSettings, target: Target): Format =>
  blocksFormat(settings, async (emit, { layer }, run) => {
    const storedCodes = await blocksOf(layer, settings, true, run);
    const weight = dequantizeBlocks(emitAround(emit, layer, run), layer, settings, 0, storedCodes);
    await writeProduct(emit, target, run, (emit, data) => ({ product: emit.MatMul([data, weight]) }));
  });

const reshapedFormat = (settings: BlockSettings): Format =>
  blocksFormat(settings, async (emit, { layer }, run) => {
    const { node, role, effective } = layer;
    const emitNear = emitAround(emit, layer, run);
    const flat = dequantizeBlocks(emitNear, layer, settings, 1, await blocksOf(layer, settings, false, run));
    const dims = fixedDims(effective.type?.dims) ?? [];
    const shapedWeight = emitNear.Reshape([flat, emitNear.constant(int64([dims.length], dims), "dims")]);
    node.graph.setInput(node, role.input, castToTypeOf(emitNear, shapedWeight, effective));
  });

function dequantizeBlocks(
  emit: Emit,
  layer: Layer,
  { block }: BlockSettings,
  axis: number,
  { codes, scale, zeroPoint }: StoredCodes,
): Value {
  const namedEmit = emit.named(`${nameBeforeMasking(layer.weight)}_DequantizeLinear_Output`);
  return namedEmit.DequantizeLinear([codes, scale, zeroPoint], { axis, block_size: block });
}

const stored = oncePerRun<StoredCodes>();

/** @param isTransposed whether the values are stored as [inputs, outputs], as a matrix product reads them. */
const blocksOf = (layer: Layer, settings: BlockSettings, isTransposed: boolean, run: WriteRun): Promise<StoredCodes> =>
  stored(run, layer.effective, `${Object.values(settings).join(" ")} ${isTransposed} ${layer.role.out}`, async () => {
    const name = nameBeforeMasking(layer.weight);
    const emit = emitBeside(layer, run);
    const { bits, symmetric } = settings;
    const blocks = await roundBlocks(run, layer, settings, layoutOf(settings, isTransposed));
    const { rows, count } = blocks;
    const reorder = (numbers: Float32Array | Uint8Array | Int32Array): ArrayLike<number> =>
      isTransposed
        ? numbers.map((_, index) => numbers[(index % rows) * count + Math.floor(index / rows)] ?? 0)
        : numbers;
    const dims = isTransposed ? [count, rows] : [rows, count];
    return {
      codes: emit.constant(blocks.codes, `${name}_quantized`),
      scale: emit.constant(fromNumbers("float32", dims, reorder(blocks.scale)), `${name}_scale`),
      zeroPoint: symmetric
        ? undefined
        : emit.constant(
            fromNumbers(bits === 4 ? "uint4" : "uint8", dims, reorder(blocks.zeroPoint)),
            `${name}_zero_point`,
          ),
    };
  });

const layoutOf =
  ({ bits, block, symmetric }: BlockSettings, isTransposed: boolean) =>
  ({ rows, width, count }: BlockShape): BlockLayout => {
    const type = `${symmetric ? "int" : "uint"}${bits === 4 ? 4 : 8}` as const;
    const offset = symmetric ? 2 ** (bits - 1) : 0;
    const dims = isTransposed ? [width, rows] : [rows, width];
    return {
      type,
      dims,
      toTensor(packed) {
        const [padded, mask] = [count * block, 2 ** bits - 1];
        const codes = makeCodes(type, rows * width);
        for (let row = 0; row < rows; row++)
          for (let column = 0, bit = row * padded * bits; column < width; column++, bit += bits)
            codes[isTransposed ? column * rows + row : row * width + column] =
              (((packed[Math.floor(bit / 8)] ?? 0) >> (bit % 8)) & mask) - offset;
        return codesTensor(type, dims, codes);
      },
    };
  };
