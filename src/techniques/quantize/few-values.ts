/**
 * Stores float constants with few distinct values (attention masks, anchor boxes) as indices, without loss. Weights are exempt.
 *
 *     mask: float32[128, 128]      mask = Gather(mask_values, unpacked(mask_codes))
 */
import { smallBuffersAmong } from "../../core/analysis/fixed-tables.ts";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { parameterRoots } from "../../core/analysis/parameters.ts";
import { throwIfAborted } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { replaceUses } from "../../core/graph/replace.ts";
import { buffer } from "../../core/graph/role.ts";
import type { Change, Context } from "../../core/pass/pass.ts";
import { toFloat32 } from "../../core/tensor/convert.ts";
import { concatBytes, float32 } from "../../core/tensor/dense.ts";
import { blocksOf } from "../../core/tensor/part.ts";
import type { Tensor } from "../../core/tensor/types.ts";
import { digitsOf, digitsOpset, numbersOf, packDigits } from "./formats/digits.ts";

/** Minimum number of bytes saved: the added nodes take some hundred bytes. */
const minSaved = 2048;
const maxValues = 256;

export async function storeFewValues(model: Model, { signal }: Pick<Context, "signal">): Promise<readonly Change[]> {
  if ((model.opsets.get("") ?? 0) < digitsOpset) return [];
  const inference = infer(model);
  const { graph } = model;
  const parameters = parameterRoots(model, inference);
  const buffers = await smallBuffersAmong(parameters);
  const excluded = new Set<Value>([
    ...[...parameters].filter((value) => !buffers.has(value)),
    ...allLayers(model, inference).map(({ weight }) => weight),
    ...graph.inputs,
    ...graph.outputs,
  ]);
  const changes: Change[] = [];
  for (const value of [...graph.values()]) {
    const { name, tensor, role } = value;
    if (tensor?.type !== "float32" || tensor.bytes < minSaved || role !== undefined || excluded.has(value)) continue;
    throwIfAborted(signal, "Stopped while constants were stored.");
    const valuesAndCodes = await distinctValues(tensor);
    if (valuesAndCodes === undefined) continue;
    const count = valuesAndCodes.values.length;
    const bits = [1, 2, 4, 8].find((width) => count <= 2 ** width) ?? 8;
    const digits = digitsOf(valuesAndCodes.codes.length, 1, bits);
    const bytes = packDigits(valuesAndCodes.codes, digits);
    if (tensor.bytes - (digits.dims[1] ?? 0) - 4 * count < minSaved) continue;
    const emit = emitInto(model, { before: [...graph.nodes()][0], by: "quantize" });
    const values = emit.constant(float32([count], valuesAndCodes.values), `${name}_values`, buffer);
    const codes = emit.constant(bytes, `${name}_codes`, buffer);
    replaceUses(value, numbersOf(emit, values, digits, codes, tensor.dims));
    graph.removeValue(value);
    const text = `${count} different values, stored exactly in ${bits} bit${bits === 1 ? "" : "s"}`;
    changes.push({ at: name, kind: "stored as quantized values", what: text, decidedBy: "global" });
  }
  return changes;
}

/** Returns the distinct values, compared by their bits (0 and −0 differ), and the index of each element. Undefined for too many values. */
async function distinctValues(
  tensor: Tensor,
): Promise<{ readonly values: Float32Array; readonly codes: Uint8Array } | undefined> {
  const codeOf = new Map<number, number>();
  const parts: Uint8Array[] = [];
  for await (const block of blocksOf(tensor)) {
    const { buffer, byteOffset, length } = toFloat32(block);
    const words = new Uint32Array(buffer, byteOffset, length);
    const codes = new Uint8Array(length);
    for (const [index, word] of words.entries()) {
      const code = codeOf.get(word) ?? codeOf.size;
      if (code === maxValues) return undefined;
      codeOf.set(word, code);
      codes[index] = code;
    }
    parts.push(codes);
  }
  return { values: new Float32Array(Uint32Array.from(codeOf.keys()).buffer), codes: concatBytes(parts) };
}
