/**
 * Merges boxes of nodes that only compute masks, shapes and positions into one box, because exporters write dozens of such nodes.
 * The boxes of a group have one level, which increases from a box that cannot be merged to one that can, so that edges form no cycle.
 */
import { type DataType, groupBy, sortTopologically } from "#ir";
import type { GraphBox, Picture } from "./picture.ts";

/** Default properties of a box that does not represent a node. */
export const plainBox = {
  name: "",
  path: "",
  inputs: [],
  outputs: [],
  isCompound: false,
  table: undefined,
  layer: undefined,
  outputType: undefined,
  shape: undefined,
  bits: undefined,
} as const;

const minMembers = 4;

const indexTypes: ReadonlySet<DataType | undefined> = new Set<DataType>(["int64", "int32", "bool"]);

export function isIndexType(type: DataType | undefined): boolean {
  return indexTypes.has(type);
}

/** Returns groups of at least four connected boxes that can be merged and have the same level. */
function findGroups({ boxes, edges }: Picture): readonly (readonly number[])[] {
  const sources = boxes.map((): number[] => []);
  for (const [from, to] of edges) sources[to]?.push(from);
  const groupable: boolean[] = [];
  const levels: number[] = [];
  // Each group is a tree, whose root represents the group (union-find).
  const parents = boxes.map((_, index) => index);
  const rootOf = (index: number): number => {
    let root = index;
    while (parents[root] !== root) root = parents[root] ?? root;
    parents[index] = root;
    return root;
  };
  for (const [index, box] of boxes.entries()) {
    const sourceBoxes = sources[index] ?? [];
    const readsIndices = sourceBoxes.every((from) => groupable[from] || isIndexPort(boxes[from]));
    const isGroupableBox = isGroupable(box, readsIndices);
    groupable.push(isGroupableBox);
    const levelAfter = (from: number): number => (levels[from] ?? 0) + (isGroupableBox && !groupable[from] ? 1 : 0);
    const level = Math.max(0, ...sourceBoxes.map(levelAfter));
    levels.push(level);
    const joinedBoxes = isGroupableBox ? sourceBoxes.filter((from) => groupable[from] && levels[from] === level) : [];
    for (const from of joinedBoxes) parents[rootOf(from)] = rootOf(index);
  }
  const members = [...boxes.keys()].filter((index) => groupable[index]);
  return [...groupBy(members, rootOf).values()].filter(({ length }) => length >= minMembers);
}

/** Returns whether a box can be merged. @param readsIndices whether its inputs are indices, or computed from indices. */
function isGroupable({ family, isCompound }: GraphBox, readsIndices: boolean): boolean {
  if (isCompound) return false;
  return family === "shape" || ((family === "compute" || family === "move") && readsIndices);
}

function isIndexPort(box: GraphBox | undefined): boolean {
  return box?.family === "port" && isIndexType(box.outputType);
}

export function mergeGroups(picture: Picture): Picture {
  const { boxes, edges } = picture;
  const groups = findGroups(picture);
  if (groups.length === 0) return picture;
  const unitOf = boxes.map((_, index): readonly number[] => [index]);
  for (const group of groups) for (const index of group) unitOf[index] = group;
  const needs = new Map<readonly number[], Set<readonly number[]>>(unitOf.map((unit) => [unit, new Set()]));
  for (const [from, to] of edges) {
    const [source, reader] = [unitOf[from], unitOf[to]];
    if (source !== undefined && reader !== undefined && source !== reader) needs.get(reader)?.add(source);
  }
  const units = sortTopologically(
    [...needs.keys()],
    (unit) => [...(needs.get(unit) ?? [])],
    () => "a group",
  );
  const unitIndices = new Map(units.map((unit, index) => [unit, index]));
  const newIndices = unitOf.map((unit) => unitIndices.get(unit) ?? 0);
  const newBoxes = units.flatMap((unit): GraphBox[] => {
    const members = unit.flatMap((member) => boxes[member] ?? []);
    return unit.length === 1 ? members : [groupBox(members)];
  });
  const newEdges = new Map<string, readonly [number, number]>();
  for (const [from, to] of edges) {
    const [start = 0, end = 0] = [newIndices[from], newIndices[to]];
    if (start !== end) newEdges.set(`${start} ${end}`, [start, end]);
  }
  return { boxes: newBoxes, edges: [...newEdges.values()] };
}

function groupBox(members: readonly GraphBox[]): GraphBox {
  const outputs = new Set(members.flatMap((member) => member.outputs));
  const inputs = new Set(members.flatMap((member) => member.inputs).filter((input) => !outputs.has(input)));
  return {
    ...plainBox,
    family: "shape",
    title: titleOf(members),
    inputs: [...inputs].filter((input) => !input.endsWith(", stored")),
    path: commonPath(members.map(({ path }) => path)),
    isCompound: true,
  };
}

function titleOf(members: readonly GraphBox[]): string {
  const hasMask = members.some(({ outputType: gives }) => gives === "bool");
  return `${hasMask ? "mask, shapes" : "shapes, indices"} · ${members.length} nodes`;
}

function commonPath(paths: readonly string[]): string {
  const [first = [], ...rest] = paths.map((path) => path.split("/").slice(0, -1));
  const differenceIndex = first.findIndex((part, index) => rest.some((parts) => parts[index] !== part));
  const sharedParts = differenceIndex < 0 ? first : first.slice(0, differenceIndex);
  return sharedParts.some((part) => part !== "") ? [...sharedParts, "group"].join("/") : "";
}
