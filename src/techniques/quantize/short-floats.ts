/**
 * Rounds parameters that stay in float32 to the precision of bfloat16: half of their bytes become zeros, which gzip and brotli drop. Next to
 * weights of 2 bits, norms, biases and position tables are a large part of a compressed file.
 */
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Change } from "../../core/pass/pass.ts";
import { fromNumbers, toFloats } from "../../core/tensor/convert.ts";
import { deferred } from "../../core/tensor/deferred.ts";
import { elementCount } from "../../core/tensor/dims.ts";

/** Fewer values are not worth an error. */
const fewest = 4;

/** @param parameters those of the model before it was quantized. */
export async function shortenFloats({ graph }: Model, parameters: Iterable<Value>): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const { name, type } of parameters) {
    const value = graph.value(name);
    const tensor = value?.tensor;
    if (value === undefined || tensor?.type !== "float32" || type?.type !== "float32") continue;
    const { dims } = tensor;
    if (elementCount(dims) < fewest) continue;
    value.tensor = await deferred("float32", dims, async () => {
      const values = toFloats(await tensor.read());
      const rounded = toFloats(fromNumbers("bfloat16", dims, values));
      // The lowest float32 is below the lowest bfloat16.
      return fromNumbers(
        "float32",
        dims,
        rounded.map((one, at) => (Number.isFinite(one) ? one : (values[at] ?? 0))),
      );
    });
    changes.push({ at: name, what: "float32, rounded to the precision of bfloat16", decidedBy: "global" });
  }
  return changes;
}
