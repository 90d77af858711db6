/** Promises of arrays that are fed to inputs. */

import { PithError } from "../../../src/core/errors.ts";
import { dimsText, elementCount, sameDims } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { bindInputs, type ModelInput } from "../../../src/data/batches/bind.ts";
import { expectThat } from "../runs.ts";
import { type Promised, samplesOf } from "./promised.ts";

/** Returns dimensions with the same number of elements: transposed, merged, split, flat, and with an additional axis of size 1. */
export function otherDims(dims: readonly number[], seed: number): readonly (readonly number[])[] {
  const numbers = random(seed, "dimensions");
  const at = numbers.integer(dims.length + 1);
  const [first = 1, second = 1, ...rest] = dims;
  return [
    dims,
    Array.from(numbers.permutation(dims.length), (axis) => dims[axis] ?? 1),
    [first * second, ...rest],
    dims.flatMap((dim) => (dim % 2 === 0 ? [2, dim / 2] : [dim])),
    [...dims.slice(0, at), 1, ...dims.slice(at)],
    [elementCount(dims)],
  ];
}

const withoutOnes = (dims: readonly number[]): readonly number[] => dims.filter((dim) => dim !== 1);

/** Checks that an array is rejected with both shapes, or keeps all axes except those of size 1, or is stated to be a flat row. */
export function expectUnchanged(input: ModelInput, [count = 0, ...sample]: readonly number[]): void {
  const array = (rows: number) => {
    const dims = [rows, ...sample];
    return { x: { type: "float64", dims, data: new Float64Array(elementCount(dims)) } } as const;
  };
  const place = `An array of samples ${dimsText(sample)} for ${dimsText(input.type?.dims)}`;
  try {
    const { size = 1, notes, feeds } = bindInputs([input], array(count), "data");
    const fed = feeds(array(size))[input.name]?.dims ?? [];
    const [from, to] = [withoutOnes([size, ...sample]), withoutOnes(fed)];
    if (notes.length === 0) expectThat(sameDims(from, to), `${place} became ${dimsText(fed)} in silence`);
    else {
      const axes = size === 1 ? 1 : 2;
      expectThat(from.length === axes || to.length === axes, `${place} is not a flat row, and became ${dimsText(fed)}`);
      expectThat(!sameDims(from, to), `${place} fits, and is called flat`);
    }
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_DATA") throw error;
    for (const text of [sample.join(", "), dimsText(input.type?.dims)])
      expectThat(error.message.includes(text), `${place}: the message does not name ${text}: ${error.message}`);
  }
}

export const arrays: readonly Promised[] = [
  {
    name: "arrays are never reshaped",
    async keep(network) {
      const samples = samplesOf(network, 4, 1);
      for (const [seed, { name, type }] of network.model.graph.feeds.entries()) {
        const [count, ...sample] = samples?.[name]?.dims ?? [];
        if (count === undefined || type === undefined) continue;
        const input = { name, type: { ...type, type: "float64" as const } };
        for (const dims of otherDims(sample, seed)) expectUnchanged(input, [count, ...dims]);
      }
    },
  },
];
