/**
 * Ties matrices that a file stores twice, perhaps transposed, such as the embedding and output of a language model. Separate
 * training would make them differ. Equal matrices count as tied unless all elements are equal (zeros, ones). The role
 * `tied(embedding.weight, transposed)` stores the decision (`roles.ts`).
 */
import { type Dense, emitInto, getOrAdd, groupBy, type Model, replaceUses, sameDims, typeCodes, type Value } from "#ir";

export interface Tie {
  readonly name: string;
  readonly original: string;
  readonly transposed: boolean;
}

interface TiedCopy {
  readonly copy: Value;
  readonly original: Value;
  readonly transposed: boolean;
}

/** Returns the matrices that are copies of an earlier matrix. Only matrices whose sizes occur twice are read. */
export async function findTies(values: readonly Value[]): Promise<readonly TiedCopy[]> {
  const ties: TiedCopy[] = [];
  const matrices = values.filter(({ tensor }) => tensor?.dims.length === 2 && Math.min(...tensor.dims) >= 2);
  const sizes = ({ tensor }: Value): string => `${tensor?.type} ${tensor?.dims.toSorted((a, b) => a - b)}`;
  for (const sameSize of groupBy(matrices, sizes).values()) {
    if (sameSize.length < 2) continue;
    const originals = new Map<string, Value[]>();
    for (const value of sameSize) {
      const dense = await value.tensor?.read();
      if (dense === undefined || dense.data.every((entry: unknown) => entry === dense.data[0])) continue;
      // A transposed copy has the same first and last element.
      const candidates = getOrAdd(originals, `${dense.data[0]} ${dense.data.at(-1)}`, () => []);
      const match = await findFirstLike(candidates, dense);
      if (match === undefined) candidates.push(value);
      else ties.push({ copy: value, ...match });
    }
  }
  return ties;
}

async function findFirstLike(originals: readonly Value[], dense: Dense): Promise<Omit<TiedCopy, "copy"> | undefined> {
  for (const original of originals) {
    const first = await original.tensor?.read();
    if (first === undefined) continue;
    if (isSame(first, dense)) return { original, transposed: false };
    if (isTransposed(first, dense)) return { original, transposed: true };
  }
  return undefined;
}

/** Redirects readers of a copy to the first matrix, in place. @param trainedNames names of the trained tensors. @returns the copies. */
export function tieMatrices(model: Model, trainedNames: ReadonlySet<string>): readonly Tie[] {
  const ties = [...model.graph.values()].flatMap(({ name, role, tensor }): Tie[] => {
    const isTied = tensor !== undefined && role?.kind === "tied" && trainedNames.has(role.name);
    return isTied ? [{ name, original: role.name, transposed: role.transposed }] : [];
  });
  for (const tie of ties) substituteCopy(model, tie);
  return ties;
}

function substituteCopy(model: Model, { name, original, transposed }: Tie): void {
  const [copy, first] = [model.graph.value(name), model.graph.value(original)];
  if (copy === undefined || first === undefined) return;
  const [firstNode] = model.graph.nodes();
  const emit = emitInto(model, { by: "train", before: firstNode });
  const equalValue = transposed ? emit.Transpose([first], { perm: [1, 0] }) : first;
  const [copyType, firstType] = [copy.tensor?.type, first.tensor?.type];
  // One of the two can be in half precision.
  replaceUses(
    copy,
    copyType === undefined || copyType === firstType
      ? equalValue
      : emit.Cast([equalValue], { to: typeCodes[copyType] }),
  );
}

function isSame(a: Dense, b: Dense): boolean {
  return sameDims(a.dims, b.dims) && a.data.every((entry: unknown, index: number) => entry === b.data[index]);
}

function isTransposed(a: Dense, b: Dense): boolean {
  const [rows = 0, columns = 0] = a.dims;
  if (!sameDims(a.dims, b.dims.toReversed())) return false;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (a.data[row * columns + column] !== b.data[column * rows + row]) return false;
  return true;
}

/** Returns the elements of a tied copy: transposed ones in the order of the copy. */
export function copyOfTied<Data extends Float32Array | Float64Array>(
  data: Data,
  [rows = 0, columns = 0]: readonly number[],
  isTransposedCopy: boolean,
): Data {
  const copy = data.slice() as Data;
  if (!isTransposedCopy) return copy;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) copy[column * rows + row] = data[row * columns + column] as number;
  return copy;
}
