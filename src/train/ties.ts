/**
 * One matrix that the file stores twice, perhaps transposed, is one parameter: embedding and output of a language model, which exporters fold
 * into two tensors. Trained apart, the two drift into a network that its authors did not mean.
 *
 * Matrices with the same numbers are taken for one; that two were filled alike by chance is not to be expected of random numbers, so one of
 * equal entries throughout (zeros, ones) is not. What a file declares tied (`tied(embedding.weight, transposed)`) is so in any case.
 */
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";

export interface Tie {
  /** The copy. */
  readonly name: string;
  readonly of: string;
  readonly transposed: boolean;
}

interface Stored {
  readonly value: Value;
  readonly dense: Dense;
}

/**
 * Lets what reads a copy read the first instead, in place; returns the copies. `wanted` names the stored tensors that are trained.
 */
export async function tie(model: Model, wanted: ReadonlySet<string>): Promise<readonly Tie[]> {
  const ties: Tie[] = [];
  const firsts: Stored[] = [];
  for (const value of [...model.graph.values()]) {
    const { tensor, role } = value;
    if (tensor === undefined) continue;
    if (role?.kind === "tied") {
      if (wanted.has(role.name)) ties.push({ name: value.name, of: role.name, transposed: role.transposed });
      continue;
    }
    if (!wanted.has(value.name) || tensor.dims.length !== 2 || Math.min(...tensor.dims) < 2) continue;
    const alike = firsts.filter(({ dense }) => dense.type === tensor.type && couldBe(dense.dims, tensor.dims));
    const stored = { value, dense: await tensor.read() };
    const found = alike.flatMap(({ value: { name }, dense }): Tie[] => {
      if (isSame(dense, stored.dense)) return [{ name: value.name, of: name, transposed: false }];
      return isTransposed(dense, stored.dense) ? [{ name: value.name, of: name, transposed: true }] : [];
    });
    const [first] = found;
    if (first !== undefined) ties.push(first);
    else if (!isUniform(stored.dense)) firsts.push(stored);
  }
  for (const { name, of, transposed } of ties) substituteCopy(model, name, of, transposed);
  return ties;
}

function substituteCopy(model: Model, name: string, of: string, transposed: boolean): void {
  const [copy, first] = [model.graph.value(name), model.graph.value(of)];
  if (copy === undefined || first === undefined) return;
  const [before] = model.graph.nodes();
  const emit = emitInto(model, { by: "train", ...(before === undefined ? {} : { before }) });
  replaceUses(copy, transposed ? emit.Transpose([first], { perm: [1, 0] }) : first);
}

function couldBe(a: readonly number[], b: readonly number[]): boolean {
  return sameDims(a, b) || sameDims(a, b.toReversed());
}

function isSame(a: Dense, b: Dense): boolean {
  return sameDims(a.dims, b.dims) && a.data.every((entry: unknown, at: number) => entry === b.data[at]);
}

function isTransposed(a: Dense, b: Dense): boolean {
  const [rows = 0, columns = 0] = a.dims;
  if (!sameDims(a.dims, b.dims.toReversed())) return false;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (a.data[row * columns + column] !== b.data[column * rows + row]) return false;
  return true;
}

function isUniform({ data }: Dense): boolean {
  return data.every((entry: unknown) => entry === data[0]);
}

/** The numbers of a copy. */
export function copyOfTied<Data extends Float32Array | Float64Array>(
  data: Data,
  [rows = 0, columns = 0]: readonly number[],
  transposed: boolean,
): Data {
  const copy = data.slice() as Data;
  if (!transposed) return copy;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) copy[column * rows + row] = data[row * columns + column] as number;
  return copy;
}
