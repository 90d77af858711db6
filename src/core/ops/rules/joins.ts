/** A rule for a Concat of parts of one value: replaces the parts by the value itself, by one Slice, or by one Gather. */
import { addDims, type Dim, type Node, sliceRange, type Value } from "#graph";
import { constantIntegersOf, readInteger, wrapAxis } from "../shared/attributes.ts";
import type { Structure, StructureScope } from "./rule.ts";
import { boundsOf } from "./selections.ts";

/** The elements of `x` along one axis that the node `source` selects: a range [start, end), or a list of indices. An infinite end means all. */
interface Part {
  readonly x: Value;
  readonly source: Node;
  readonly range?: { readonly start: Dim; readonly end: Dim };
  readonly indices?: readonly number[];
}

/** The minimum end of a Slice that always selects the rest of an axis. */
const minUnlimitedEnd = 2 ** 31 - 1;

function partOf({ site, operand }: StructureScope, value: Value, axis: number): Part | undefined {
  const { producer } = value;
  const [x] = producer?.inputs ?? [];
  const dims = x && operand(x)?.dims;
  if (producer === undefined || producer.domain !== "" || x === undefined || dims === undefined) return undefined;
  const producerSite = site(producer);
  const isAlong = (): boolean => wrapAxis(readInteger(producerSite, "axis", 0), dims.length) === axis;
  switch (producer.op) {
    case "Gather": {
      const indices = constantIntegersOf(producerSite.inputs[1]);
      if (indices === undefined || producerSite.inputs[1]?.dims?.length !== 1 || !isAlong()) return undefined;
      return { x, source: producer, indices };
    }
    case "Slice": {
      const { starts = [], ends = [], steps = [], axes = [] } = boundsOf(producerSite) ?? {};
      const [start = 0, end = 0] = [starts[0], ends[0]];
      if (axes.length !== 1 || axes[0] !== axis || steps[0] !== 1) return undefined;
      const size = dims[axis];
      if (typeof size === "number") {
        const { first, count } = sliceRange(size, start, end, 1);
        return { x, source: producer, range: { start: first, end: first + count } };
      }
      // If the length is unknown, the order of a negative and another bound is, too.
      if (start < 0 || end < start) return undefined;
      return { x, source: producer, range: { start, end: end >= minUnlimitedEnd ? Number.POSITIVE_INFINITY : end } };
    }
    case "Split": {
      if (!isAlong()) return undefined;
      let start: Dim = 0;
      for (const output of producer.outputs) {
        const size: Dim | undefined = output && operand(output)?.dims?.[axis];
        if (size === undefined) return undefined;
        const end: Dim = output === producer.outputs.at(-1) ? Number.POSITIVE_INFINITY : addDims(start, size);
        if (output === value) return { x, source: producer, range: { start, end } };
        start = end;
      }
      return undefined;
    }
    default:
      return undefined;
  }
}

function join(a: Part, b: Part): Part | undefined {
  const { x, source } = b;
  if (a.x !== x) return undefined;
  if (a.indices !== undefined && b.indices !== undefined) return { x, source, indices: [...a.indices, ...b.indices] };
  if (a.range === undefined || b.range === undefined || a.range.end !== b.range.start) return undefined;
  return { x, source, range: { start: a.range.start, end: b.range.end } };
}

/** Consecutive inputs of a Concat, from index `first`, that are adjacent parts of one value. `joined` is the part that replaces them. */
interface Run {
  readonly first: number;
  readonly parts: readonly Part[];
  readonly joined: Part;
}

function findRun(inputs: readonly (Part | undefined)[]): Run | undefined {
  for (let first = 0; first + 1 < inputs.length; first++) {
    let joinedPart = inputs[first];
    const parts: Part[] = joinedPart === undefined ? [] : [joinedPart];
    for (const next of inputs.slice(first + 1)) {
      const extendedPart = joinedPart && next && join(joinedPart, next);
      if (extendedPart === undefined || next === undefined) break;
      joinedPart = extendedPart;
      parts.push(next);
    }
    if (joinedPart !== undefined && parts.length > 1) return { first, parts, joined: joinedPart };
  }
  return undefined;
}

/** Counts the nodes that can be removed, because only the Concat reads their outputs. */
function countRemoved({ canChange, last }: StructureScope, parts: readonly Part[]): number {
  const isOnlyRead = (output: Value | undefined): boolean =>
    output === undefined || (canChange(output) && [...output.uses].every(({ node }) => node === last));
  return [...new Set(parts.map(({ source }) => source))].filter(({ outputs }) => outputs.every(isOnlyRead)).length;
}

/** The maximum number of indices of a merged Gather if the original indices have other readers, so that they cannot be removed. */
const maxCopiedIndices = 16;

function writeJoined(
  scope: StructureScope,
  run: Run,
  axis: number,
): { addedCount: number; write(): Value } | undefined {
  const { emit, operand, last, site } = scope;
  const { x, range, indices } = run.joined;
  if (indices !== undefined) {
    const isCopied = run.parts.some(({ source }) => (source.inputs[1]?.uses.size ?? 0) > 1);
    if (isCopied && indices.length > maxCopiedIndices) return undefined;
    return { addedCount: 1, write: () => emit.Gather([x, indices], { axis }) };
  }
  if (range === undefined) return undefined;
  const { start, end } = range;
  const size = operand(x)?.dims?.[axis];
  if (start === 0 && (end === size || end === Number.POSITIVE_INFINITY)) return { addedCount: 0, write: () => x };
  if (typeof start !== "number" || typeof end !== "number" || site(last).version < 10) return undefined;
  const limit = Math.min(end, minUnlimitedEnd);
  return { addedCount: 1, write: () => emit.Slice([x, [start], [limit], [axis]]) };
}

export const joinedSelections: Structure = {
  id: "joined-parts",
  description: "concatenated parts of one value are selected at once",
  last: ["Concat"],
  fuse(scope) {
    const { last, site } = scope;
    const concatSite = site(last);
    const rank = concatSite.inputs.find((operand) => operand?.dims !== undefined)?.dims?.length;
    if (rank === undefined || concatSite.version < 4) return undefined;
    const axis = wrapAxis(readInteger(concatSite, "axis", 1), rank);
    const run = findRun(last.inputs.map((value) => value && partOf(scope, value, axis)));
    const replacement = run && writeJoined(scope, run, axis);
    if (run === undefined || replacement === undefined) return undefined;
    const { first, parts } = run;
    const isAll = parts.length === last.inputs.length;
    if (countRemoved(scope, parts) + (isAll ? 1 : 0) <= replacement.addedCount) return undefined;
    if (isAll) return { value: replacement.write() };
    return {
      inputs: [...last.inputs.slice(0, first), replacement.write(), ...last.inputs.slice(first + parts.length)],
    };
  },
};
