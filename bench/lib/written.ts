/** Generates training text from a language model, for models whose own training text is not available. */
import type { Model } from "pith";
import { createEngine } from "pith/engine";
import { random } from "pith/extend";

/** Returns sequences sampled from a language model, as 16-bit token ids. Each begins with token 1. */
export async function written(model: Model, count: number, length: number, threads: number): Promise<Uint8Array> {
  const batch = 64;
  const draws = random(1, "written");
  const session = await createEngine().load(model, { threads });
  const [input, output] = [model.graph.feeds[0]?.name ?? "", model.graph.outputs[0]?.name ?? ""];
  const ids = new Uint16Array(count * length);
  for (let first = 0; first < count; first += batch) {
    const rows = Array.from({ length: Math.min(batch, count - first) }, () => [1]);
    for (let size = 1; size < length; size++) {
      const data = BigInt64Array.from(rows.flat(), BigInt);
      const { [output]: logits } = await session.run({ [input]: { type: "int64", dims: [rows.length, size], data } });
      if (logits?.type !== "float32") throw new Error(`The model has no scores ${output}.`);
      const classes = logits.dims.at(-1) ?? 0;
      rows.forEach((row, at) => {
        const start = (at * size + size - 1) * classes;
        row.push(drawn(logits.data.subarray(start, start + classes), draws.uniform()));
      });
    }
    ids.set(rows.flat(), first * length);
  }
  await session.release();
  return new Uint8Array(ids.buffer);
}

/** Samples a class by inverse transform: the class at which the cumulative softmax exceeds `at`, a number from 0 to 1. */
function drawn(scores: Float32Array, at: number): number {
  const highest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp(score - highest));
  let remainder = at * weights.reduce((sum, weight) => sum + weight, 0);
  const index = weights.findIndex((weight) => {
    remainder -= weight;
    return remainder < 0;
  });
  return index < 0 ? scores.length - 1 : index;
}
