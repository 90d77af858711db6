/**
 * A matrix product whose weight is stored as 4-bit indices of floats (nf4), as in bitsandbytes:
 *
 *     h = Gemm(x, fc1.weight, fc1.bias)       h = Add(MatMulBnb4(x, fc1.weight_quantized, fc1.weight_scale) {K, N, block_size, quant_type}, fc1.bias)
 *
 * The weight is flattened (outputs × inputs) and divided into blocks whose scale is their largest magnitude. The first of two
 * indices is the high half of its byte.
 */
import { nameBeforeMasking } from "#analysis";
import { bnb4Tables, type Dense, deferTensor, float32, Miss, type Value } from "#ir";
import type { Target } from "../target.ts";
import { weightReader } from "../weight.ts";
import { emitBeside, type Form, type Format, oncePerRun } from "./format.ts";
import { requireMatrix, writeProduct } from "./matrix-product.ts";
import { rowsOfWeight } from "./weight-blocks.ts";

const defaultBlock = 64;

export const bnb4For: Format = (layer, { weights, block = defaultBlock }, inference) => {
  if (weights !== "nf4") return undefined;
  if (layer.role.kind === "lookup") return new Miss("they require a matrix product", layer.name);
  const target = requireMatrix(layer, inference);
  return target instanceof Miss ? target : bnb4Form(block, target);
};

const stored = oncePerRun<readonly [codes: Value, scale: Value]>();

const bnb4Form = (block: number, target: Target): Form => ({
  bits: 4,
  text: () => `weight as nf4, blocks of ${block}`,
  async write(emit, { layer }, run) {
    const { inputs, outputs } = layer;
    const operands = await stored(run, layer.effective, `${block} ${layer.role.out}`, async () => {
      const read = await weightReader(run.model, layer, run.context.engine);
      const numbers = async (): Promise<Float32Array> => rowsOfWeight(layer, await read());
      const largest = largestOfBlocks(await numbers(), block);
      const dims = [Math.ceil((outputs * inputs) / 2)];
      const pack = packed(numbers, largest, block, dims);
      const plain = nameBeforeMasking(layer.weight);
      const store = emitBeside(layer, run);
      return [
        store.constant(await deferTensor("uint8", dims, pack), `${plain}_quantized`),
        store.constant(float32([largest.length], largest), `${plain}_scale`),
      ];
    });
    const quant_type = Object.keys(bnb4Tables).indexOf("nf4");
    const attributes = { K: inputs, N: outputs, block_size: block, quant_type };
    await writeProduct(emit, target, run, (emit, data) => ({
      product: emit["com.microsoft.MatMulBnb4"]([data, ...operands], attributes),
    }));
  },
});

const packed =
  (numbers: () => Promise<Float32Array>, largest: Float32Array, block: number, dims: readonly number[]) =>
  async (): Promise<Dense> => {
    const codes = tableCodes(await numbers(), largest, { block, table: bnb4Tables.nf4 });
    const data = Uint8Array.from(
      { length: dims[0] ?? 0 },
      (_, index) => ((codes[2 * index] ?? 0) << 4) | (codes[2 * index + 1] ?? bnb4Tables.nf4.indexOf(0)),
    );
    return { type: "uint8", dims, data };
  };

function largestOfBlocks(values: ArrayLike<number>, block: number): Float32Array {
  const largest = new Float32Array(Math.ceil(values.length / block));
  for (let at = 0; at < values.length; at++) {
    const index = Math.floor(at / block);
    largest[index] = Math.max(largest[index] ?? 0, Math.abs(values[at] ?? 0));
  }
  return largest;
}

/**
 * Returns for each number, divided by its block's largest magnitude, the index of the nearest table value; of two equally near values, the lower.
 * @param table Values in ascending order.
 */
function tableCodes(
  values: ArrayLike<number>,
  largest: ArrayLike<number>,
  { block, table }: { readonly block: number; readonly table: readonly number[] },
): Uint8Array {
  const bounds = table.slice(1).map((value, at) => (value + (table[at] ?? 0)) / 2);
  const codes = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const scale = largest[Math.floor(at / block)] ?? 0;
    const share = scale === 0 ? 0 : Math.fround((values[at] ?? 0) * Math.fround(1 / scale));
    let code = 0;
    while (code < bounds.length && share > (bounds[code] ?? 0)) code++;
    codes[at] = code;
  }
  return codes;
}
