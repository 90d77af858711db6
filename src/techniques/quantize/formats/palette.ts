/**
 * Stores a weight as indices into a palette of values that minimize the squared error (`kmeans.ts`).
 *
 *     h = Gemm(x, fc1.weight)      q = Mod(BitShift(Unsqueeze(fc1.weight_quantized, -1), [0, 4]), 16)      # two 4-bit indices per byte
 *                                  w = Gather(fc1.weight_palette, Cast(Reshape(q, dims)))
 *                                  h = Gemm(x, w)
 *
 * ONNX Runtime computes w once, when it loads the model. The palette is a trainable parameter (Han et al. 2016). If zeros are as frequent as
 * a cluster, as in pruned weights, 0 is a fixed entry: Concat([0], fc1.weight_palette).
 */
import { type Layer, nameBeforeMasking } from "#analysis";
import type { Dense, Emit, Value } from "#ir";
import { deferTensor, elementCount, fixedDims, float32, int64, Miss, parameter, toFloat32 } from "#ir";
import { weightReader } from "../weights/round-weight.ts";
import { emitAround, type Format, type FormatFactory, oncePerRun, type WriteRun } from "./format.ts";
import { assign, kmeans } from "./kmeans.ts";
import { castToTypeOf, pickRows } from "./lookup.ts";
import { lookUpPacked, type PackedLayout, packedLayout, packIndices, packingOpset } from "./packed-indices.ts";

export const paletteFor: FormatFactory = ({ effective, name }, { weights, bits }) => {
  if (weights !== "palette") return undefined;
  const count = elementCount(fixedDims(effective.type?.dims) ?? []);
  return (count * (32 - bits)) / 32 > 2 ** bits
    ? paletteFormat(bits)
    : new Miss(`its ${count} numbers take fewer bytes than ${2 ** bits} values and codes`, name);
};

const paletteFormat = (bits: number): Format => ({
  bits,
  opset: packingOpset,
  text: () => `weight in ${bits} bits, a palette of ${2 ** bits} values`,
  async write(emit, { layer, table = layer }, run) {
    const storedPalette = await storePalette(emitAround(emit, layer, run), table, bits, run);
    if (layer.role.kind === "lookup")
      pickRows(emit, layer, (indices, output) => {
        const rows = emit.named(`${output}_codes`).Gather([storedPalette.bytes, indices], { axis: layer.role.in });
        const width = emit.constant(int64([1], [storedPalette.width]), "width");
        return {
          rows,
          numbers: lookUpPacked(
            emit,
            storedPalette.palette,
            storedPalette,
            rows,
            emit.Concat([emit.Shape([indices]), width], { axis: 0 }),
          ),
        };
      });
    else {
      const { node, role, effective } = layer;
      const dims = fixedDims(table.effective.type?.dims) ?? [];
      const numbers = lookUpPacked(emit, storedPalette.palette, storedPalette, storedPalette.bytes, dims);
      const isTransposed = effective !== table.effective;
      const layerNumbers = isTransposed ? emit.Transpose([numbers], { perm: [1, 0] }) : numbers;
      node.graph.setInput(node, role.input, castToTypeOf(emit, layerNumbers, effective));
    }
  },
  tied: (_, ownFormat) => (ownFormat.onCodes === undefined ? paletteFormat(bits) : undefined),
});

interface StoredPalette extends Pick<PackedLayout, "planes" | "width"> {
  readonly palette: Value;
  readonly bytes: Value;
}

const palettes = oncePerRun<StoredPalette>();

const storePalette = (emit: Emit, layer: Layer, bits: number, run: WriteRun): Promise<StoredPalette> =>
  palettes(run, layer.effective, `${bits} ${layer.role.kind}`, async () => {
    const name = nameBeforeMasking(layer.weight);
    const read = await weightReader(layer, run);
    const dense = await read();
    const { centroids, zero } = paletteOf(toFloat32(dense), 2 ** bits);
    const count = elementCount(dense.dims);
    const layout = packedLayout(count, layer.role.kind === "lookup" ? (dense.dims[0] ?? 1) : 1, bits);
    const trainedEntries = emit.constant(float32([centroids.length], centroids), `${name}_palette`, parameter);
    const palette = zero
      ? emit.Concat([emit.constant(float32([1], [0]), `${name}_zero`), trainedEntries], { axis: 0 })
      : trainedEntries;
    const bytes = await deferTensor("uint8", layout.dims, createPackedReader(read, { centroids, zero }, layout));
    return { ...layout, palette, bytes: emit.constant(bytes, `${name}_quantized`) };
  });

/** Returns the palette in ascending order, without 0 if 0 is a fixed entry (`zero`). */
function paletteOf(values: Float32Array, size: number): { readonly centroids: Float32Array; readonly zero: boolean } {
  const distinctValues = new Set<number>();
  let zeros = 0;
  for (const value of values) {
    if (value === 0) zeros++;
    else if (distinctValues.size <= size) distinctValues.add(value);
  }
  const zero = zeros * size >= values.length && zeros > 0;
  const count = zero ? size - 1 : size;
  const freeEntries = zero || zeros === 0 ? distinctValues : distinctValues.add(0);
  if (freeEntries.size <= count) return { centroids: Float32Array.from(freeEntries).sort(), zero };
  const centroids = kmeans(zero ? values.filter((value) => value !== 0) : values, count);
  return { centroids: Float32Array.from(centroids), zero };
}

// Defined here so that the closure does not keep a weight in memory: functions of one scope share their variables.
const createPackedReader =
  (read: () => Promise<Dense>, { centroids, zero }: ReturnType<typeof paletteOf>, layout: PackedLayout) =>
  async (): Promise<Dense> => {
    const values = toFloat32(await read());
    const order = zero ? [...centroids, 0].sort((a, b) => a - b) : [...centroids];
    const zeroIndex = zero ? order.indexOf(0) : -1;
    const codes = assign(values, Float64Array.from(order)).map((index) =>
      index === zeroIndex ? 0 : index < zeroIndex ? index + 1 : index,
    );
    return packIndices(codes, layout);
  };
