/**
 * Finds the parts of an output: the spans along an axis that different branches compute and a Concat joins. A detector joins boxes from
 * 0 to 640 with scores from 0 to 1. A part follows its indices through the axis links of later nodes, up to nodes that mix them.
 */
import { type Dense, isFloat, Miss, type Model, type Node, takeIndices, type Value } from "#graph";
import type { AxisEnd, AxisLink } from "../ops/entry.ts";
import { cachePerRevision } from "./cache-per-revision.ts";
import { keepsContents, saturationBounds } from "./content-producers.ts";
import type { Inference } from "./infer.ts";

/** The indices of a part by axis, in ascending order. */
export type PartIndices = ReadonlyMap<number, readonly number[]>;

export interface OutputPart {
  /** Output and indices as in NumPy: "output0[:, 4:9]". */
  readonly name: string;
  readonly indices: PartIndices;
  /** Width of the range of the saturating operator that computes the part: 1 for Sigmoid. */
  readonly range?: number | undefined;
}

/** Maximum number of parts. An output with more is a list of equal things. */
const maxParts = 64;

/** Returns the parts of each output that a Concat has made. Axis 0 counts samples and has no parts. */
export const joinedParts = cachePerRevision(
  (model: Model, inference: Inference): ReadonlyMap<Value, readonly OutputPart[]> => {
    const regions = new Map<Value, readonly Region[]>();
    for (const node of model.graph.nodes())
      for (const [value, parts] of regionsOf(node, regions, inference)) regions.set(value, parts);
    return new Map(
      model.graph.outputs.flatMap((output) => {
        // Spans of samples that a Concat has joined have the same parts.
        const spans = (regions.get(output) ?? []).flatMap(({ indices, range }) => {
          const indexEntries = [...indices].filter(([axis]) => axis > 0);
          const part = definePart(output.name, new Map(indexEntries), range);
          return indexEntries.length === 0 ? [] : [[JSON.stringify(indexEntries), part] as const];
        });
        const parts = [...new Map(spans).values()];
        return parts.length < 2 ? [] : [[output, parts] as const];
      }),
    );
  },
);

export function definePart(output: string, indices: PartIndices, range?: number): OutputPart {
  const count = Math.max(0, ...[...indices.keys()].map((axis) => axis + 1));
  const spans = Array.from({ length: count }, (_, axis) => spanText(indices.get(axis)));
  return { name: count === 0 ? output : `${output}[${spans.join(", ")}]`, indices, range };
}

export function rangeOf(value: Value, inference: Inference): number | undefined {
  const bounds = saturationBounds(value, inference);
  return bounds && bounds[1] - bounds[0];
}

/** Returns indices as in NumPy: "4:9", and ":" for all. */
function spanText(indices: readonly number[] | undefined): string {
  const [first] = indices ?? [];
  const last = indices?.at(-1);
  if (indices === undefined || first === undefined || last === undefined) return ":";
  const step = indices.length > 1 ? (indices[1] ?? first) - first : 1;
  const isRegular = indices.every((index, position) => index === first + step * position);
  if (isRegular) return step === 1 ? `${first}:${last + 1}` : `${first}:${last + 1}:${step}`;
  return indices.length < 6 ? `(${indices.join(", ")})` : `(${indices.slice(0, 4).join(", ")}, … ${last})`;
}

export function selectPart(dense: Dense, { indices }: Pick<OutputPart, "indices">): Dense {
  if (dense.type === "string") return dense;
  return [...indices].reduce<Dense>((selected, [axis, positions]) => takeIndices(selected, axis, positions), dense);
}

type Region = Pick<OutputPart, "indices" | "range">;

function regionsOf(
  node: Node,
  regionsByValue: ReadonlyMap<Value, readonly Region[]>,
  inference: Inference,
): readonly (readonly [Value, readonly Region[]])[] {
  const rule = inference.facet(node, "quantize");
  const isJoin = rule?.kind === "activation" && rule.joins === true;
  if (!isJoin && !node.inputs.some((input) => input !== undefined && regionsByValue.has(input))) return [];
  const links = inference.facet(node, "axes")?.links ?? [];
  return node.outputs.flatMap((output, index) => {
    if (output === undefined || !isNumeric(output, inference)) return [];
    const regions = isJoin
      ? joinRegions(node, links, regionsByValue, inference)
      : followRegions(node, links, `out${index}`, regionsByValue, inference);
    return regions.length < 2 || regions.length > maxParts ? [] : [[output, regions] as const];
  });
}

function isNumeric(value: Value, inference: Inference): boolean {
  const { type = "string" } = inference.operand(value) ?? {};
  return isFloat(type) || type === "int8" || type === "uint8";
}

/** Returns the regions of the inputs, shifted along the axis on which the node joins them. */
function joinRegions(
  node: Node,
  links: readonly AxisLink[],
  regionsByValue: ReadonlyMap<Value, readonly Region[]>,
  inference: Inference,
): readonly Region[] {
  const regions = node.inputs.map((input, index): readonly Region[] => {
    if (input === undefined) return [];
    return (regionsByValue.get(input) ?? [{ indices: new Map(), range: rangeOf(input, inference) }]).flatMap(
      ({ indices, range }) => {
        const movedIndices = new Map(indices);
        for (const link of links) {
          if (!("from" in link) || link.map === undefined || link.from[0] !== `in${index}`) continue;
          const [, axis] = link.from;
          const size = inference.operand(input)?.dims?.[axis];
          if (typeof size !== "number") return [];
          const before = indices.get(axis) ?? Array.from({ length: size }, (_, position) => position);
          movedIndices.set(link.to[1], before.flatMap(link.map));
          return [{ indices: movedIndices, range }];
        }
        return [];
      },
    );
  });
  return regions.every((list) => list.length > 0) ? regions.flat() : [];
}

/** Returns the regions of the inputs in the indices of an output. */
function followRegions(
  node: Node,
  links: readonly AxisLink[],
  port: AxisEnd[0],
  regionsByValue: ReadonlyMap<Value, readonly Region[]>,
  inference: Inference,
): readonly Region[] {
  const computed = node.inputs.flatMap((value, index) => {
    if (value === undefined || inference.operand(value)?.stored !== false || !isNumeric(value, inference)) return [];
    const joints = links.flatMap((link) => axisMoveOf(link, `in${index}`, port, node, inference) ?? []);
    return [{ joints, regions: regionsByValue.get(value)?.map((region) => moveRegion(region, joints)) }];
  });
  const [first = [], ...otherRegions] = computed.flatMap(({ regions }) => (regions === undefined ? [] : [regions]));
  if (first.some((region) => region === undefined) || otherRegions.some((other) => !haveSameIndices(first, other)))
    return [];
  const regions = first.flatMap((region) => (region === undefined || isEmpty(region) ? [] : [region]));
  const axes = new Set(regions.flatMap(({ indices }) => [...indices.keys()]));
  const isMixed = computed.some((input) => input.regions === undefined && input.joints.some(({ to }) => axes.has(to)));
  if (isMixed) return [];
  const bounds = inference.facet(node, "saturates");
  return regions.map(({ indices, range }) => {
    const newRange = bounds ? bounds[1] - bounds[0] : keepsRange(node, inference) ? range : undefined;
    return { indices, range: newRange };
  });
}

function keepsRange(node: Node, inference: Inference): boolean {
  const bound = inference.at(node);
  return !(bound instanceof Miss) && keepsContents(node, bound, inference);
}

const isEmpty = ({ indices }: Region): boolean => [...indices.values()].some((positions) => positions.length === 0);

function haveSameIndices(a: readonly (Region | undefined)[], b: readonly (Region | undefined)[]): boolean {
  const [first, second] = [a, b].map((regions) =>
    JSON.stringify(regions.map((region) => [...(region?.indices ?? [])])),
  );
  return first === second;
}

/** How indices along axis `from` of an input become indices along axis `to` of the output; undefined if an index is divided. */
interface AxisMove {
  readonly from: number;
  readonly to: number;
  move(indices: readonly number[]): readonly number[] | undefined;
}

function axisMoveOf(
  link: AxisLink,
  input: AxisEnd[0],
  output: AxisEnd[0],
  node: Node,
  inference: Inference,
): AxisMove | undefined {
  if (!("from" in link)) return undefined;
  const { map = (index: number): readonly number[] => [index] } = link;
  const [[start, from], [end, to]] = [link.from, link.to];
  if (start === input && end === output) return { from, to, move: (indices) => indices.flatMap(map) };
  if (start !== output || end !== input) return undefined;
  const value = node.outputs[Number(output.slice(3))];
  const size = value && inference.operand(value)?.dims?.[from];
  return {
    from: to,
    to: from,
    move(indices) {
      if (typeof size !== "number") return undefined;
      const selectedIndices = new Set(indices);
      const images = Array.from({ length: size }, (_, index) => ({ index, sources: map(index) }));
      const touchedImages = images.filter(({ sources }) => sources.some((source) => selectedIndices.has(source)));
      const isWhole = touchedImages.every(({ sources }) => sources.every((source) => selectedIndices.has(source)));
      return isWhole ? touchedImages.map(({ index }) => index) : undefined;
    },
  };
}

function moveRegion({ indices, range }: Region, joints: readonly AxisMove[]): Region | undefined {
  const movedIndices = new Map<number, readonly number[]>();
  for (const [axis, before] of indices) {
    const [end] = joints.flatMap(({ from, to, move }) => {
      const after = from === axis ? move(before) : undefined;
      return after === undefined ? [] : [{ to, after }];
    });
    if (end === undefined) return undefined;
    const other = movedIndices.get(end.to);
    const after = other === undefined ? end.after : other.filter((index) => end.after.includes(index));
    movedIndices.set(
      end.to,
      after.toSorted((a, b) => a - b),
    );
  }
  return { indices: movedIndices, range };
}
