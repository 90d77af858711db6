/** Stores float constants with few distinct values as indices into a table. */
import { allLayers, infer, parameterRoots, smallBuffersAmong } from "#analysis";
import type { Model, Tensor, Value } from "#ir";
import { blocksOf, buffer, concatBytes, emitInto, float32, replaceUses, throwIfAborted, toFloat32 } from "#ir";
import type { Change, Context } from "#pass";
import { lookUpPacked, packedLayout, packIndices, packingOpset } from "./packed-indices.ts";

/** Minimum number of bytes saved: the added nodes take some hundred bytes. */
const minSaved = 2048;
const maxValues = 256;

/**
 * Stores float constants such as attention masks and anchor boxes as indices, in place and without loss.
 *
 *     mask: float32[128, 128]      mask = Gather(mask_values, unpacked(mask_codes))
 */
export async function storeFewValues(model: Model, { signal }: Pick<Context, "signal">): Promise<readonly Change[]> {
  if ((model.opsets.get("") ?? 0) < packingOpset) return [];
  const { graph } = model;
  const largeTensors = [...graph.values()].filter(
    ({ tensor, role }) => tensor?.type === "float32" && tensor.bytes >= minSaved && role === undefined,
  );
  if (largeTensors.length === 0) return [];
  const inference = infer(model);
  const parameters = parameterRoots(model, inference);
  const buffers = await smallBuffersAmong(parameters);
  const excludedValues = new Set<Value>([
    ...[...parameters].filter((value) => !buffers.has(value)),
    ...allLayers(model, inference).map(({ weight }) => weight),
    ...graph.inputs,
    ...graph.outputs,
  ]);
  const changes: Change[] = [];
  for (const value of largeTensors) {
    const { name, tensor } = value;
    if (tensor === undefined || excludedValues.has(value)) continue;
    throwIfAborted(signal, "Stopped while constants were stored.");
    const valuesAndCodes = await distinctValues(tensor);
    if (valuesAndCodes === undefined) continue;
    const count = valuesAndCodes.values.length;
    const bits = [1, 2, 4, 8].find((width) => count <= 2 ** width) ?? 8;
    const layout = packedLayout(valuesAndCodes.codes.length, 1, bits);
    const bytes = packIndices(valuesAndCodes.codes, layout);
    if (tensor.bytes - (layout.dims[1] ?? 0) - 4 * count < minSaved) continue;
    const emit = emitInto(model, { before: [...graph.nodes()][0], by: "quantize" });
    const values = emit.constant(float32([count], valuesAndCodes.values), `${name}_values`, buffer);
    const codes = emit.constant(bytes, `${name}_codes`, buffer);
    replaceUses(value, lookUpPacked(emit, values, layout, codes, tensor.dims));
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
