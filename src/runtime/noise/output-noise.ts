/** Output noise of a model: the power of its difference from the original's outputs, relative to their power. */
import { type OutputPart, outputPartsOf } from "#analysis";
import { type Batch, type Dense, getOrAdd, isFloat, type Model } from "#ir";
import { Difference, worstFirst } from "../run/difference.ts";

/** Sums up the noise of float outputs. Each part of an output is divided by its own power. */
export class OutputNoise {
  readonly #original: Model;
  readonly #parts = new Map<string, readonly { readonly part: OutputPart; readonly difference: Difference }[]>();

  constructor(original: Model) {
    this.#original = original;
  }

  add(original: Batch, other: Batch): void {
    for (const [name, before] of Object.entries(original)) this.addValue(name, before, other[name]);
  }

  addValue(name: string, before: Dense | undefined, after: Dense | undefined): void {
    if (before === undefined || after === undefined || !isFloat(before.type)) return;
    const parts = getOrAdd(this.#parts, name, () =>
      outputPartsOf(this.#original, name, [before]).map((part) => ({ part, difference: new Difference() })),
    );
    for (const { part, difference } of parts) difference.addTensors(before, after, part);
  }

  /** The difference of the part with the lowest signal to noise. */
  get worst(): Difference {
    const differences = [...this.#parts.values()].flat().map(({ difference }) => difference);
    return worstFirst(differences, ({ signalToNoise }) => -signalToNoise)[0] ?? new Difference();
  }

  /** Σ noise / signal of the outputs that can be compared. */
  get sum(): number {
    const differences = [...this.#parts.values()].flat().filter(({ difference }) => difference.mismatch === undefined);
    return differences.reduce(
      (sum, { difference: { signal, noise, relativeNoise } }) => sum + (signal === 0 ? noise : relativeNoise),
      0,
    );
  }
}
