/** A promise, and what many of them look at. */

import { infer } from "../../../src/analysis/infer.ts";
import { layers } from "../../../src/analysis/layers.ts";
import type { Model } from "../../../src/graph/model.ts";
import { storeConstants } from "../../../src/passes/index.ts";
import { readStoredValue } from "../../../src/passes/stored.ts";
import { toFloat64 } from "../../../src/tensor/convert.ts";
import { inMemory } from "../../../src/tensor/dense.ts";
import { dimsText } from "../../../src/tensor/dims.ts";
import type { Batch } from "../../../src/tensor/types.ts";
import type { Network } from "../network.ts";
import { engine, expectThat } from "../runs.ts";

export interface Promised {
  readonly name: string;
  keep(network: Network): Promise<void>;
}

/** The numbers of each layer's weight, as its node reads them, by layer name. */
export async function weights(
  model: Model,
): Promise<ReadonlyMap<string, { readonly numbers: Float64Array; readonly at: number }>> {
  const found = new Map<string, { readonly numbers: Float64Array; readonly at: number }>();
  for (const layer of layers(model, infer(model)))
    found.set(layer.name, {
      numbers: toFloat64(await readStoredValue(model, layer.effective, engine)),
      at: layer.role.out,
    });
  return found;
}

export function expectSameShapes(expected: readonly Batch[], got: readonly Batch[]): void {
  expected.forEach((batch, at) => {
    for (const [name, dense] of Object.entries(batch)) {
      const other = got[at]?.[name];
      expectThat(
        other?.type === dense.type && dimsText(other.dims) === dimsText(dense.dims),
        `"${name}" was ${dense.type}[${dense.dims}], is ${other?.type}[${other?.dims}]`,
      );
    }
  });
}

/** The original with the numbers of its layers replaced by those of another; undefined where one of them is no stored tensor. */
export async function withWeights(original: Model, other: Model): Promise<Model | undefined> {
  const model = original.clone();
  await storeConstants(model);
  const numbers = await weights(other);
  for (const layer of layers(model, infer(model))) {
    const found = numbers.get(layer.name)?.numbers;
    const { tensor } = layer.effective;
    if (
      found === undefined ||
      tensor === undefined ||
      tensor.type !== "float32" ||
      tensor.dims.reduce((a, b) => a * b, 1) !== found.length
    )
      return undefined;
    layer.effective.tensor = inMemory({ type: "float32", dims: tensor.dims, data: Float32Array.from(found) });
  }
  return model;
}
