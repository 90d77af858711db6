/**
 * Merges boxes of nodes that only compute masks, shapes and positions into one box, because exporters write dozens of such nodes.
 *
 *     Shape, Range, Unsqueeze, Expand, And, …, Where → Add     becomes     mask, shapes · 24 nodes → Add
 *
 * A group must not be both before and after another box, because the edges would form a cycle. Therefore each box has a level. It increases along an
 * edge from a box that cannot be merged to one that can. All boxes of a group have the same level.
 */
import { type DataType, groupBy, inOrder } from "#ir";
import type { Box, Picture } from "./graph.ts";

/** Default properties of a box that does not represent a node. */
export const plainBox = {
  ...{ name: "", path: "", inputs: [], outputs: [], attributes: [], graphs: [] },
  ...{ table: undefined, layer: undefined, outputType: undefined, shape: undefined },
  ...{ macs: undefined, miss: undefined, bits: undefined },
} as const;

const minMembers = 4;

const indexTypes: ReadonlySet<DataType | undefined> = new Set<DataType>(["int64", "int32", "bool"]);

export function isIndexType(type: DataType | undefined): boolean {
  return indexTypes.has(type);
}

export function withGroups(pictures: readonly [Picture, ...Picture[]]): readonly [Picture, ...Picture[]] {
  const groups: Picture[] = [];
  const foldedPictures = pictures.map((picture, index) => {
    const addPicture = (group: readonly number[], box: number): number =>
      pictures.length - 1 + groups.push(extractGroup(picture, group, [index, box]));
    return foldGroups(picture, findGroups(picture), addPicture);
  });
  // Grouping can change the index of a box with subgraphs.
  const updatedPictures = foldedPictures.map(({ picture }) => {
    const { parent } = picture;
    const box = parent === undefined ? undefined : foldedPictures[parent[0]]?.newIndices[parent[1]];
    return parent === undefined || box === undefined ? picture : { ...picture, parent: [parent[0], box] as const };
  });
  const [main = pictures[0], ...inner] = [...updatedPictures, ...groups];
  return [main, ...inner];
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

/** Returns whether a box can be merged. @param readsIndices whether all its inputs are indices, or computed from indices. */
function isGroupable({ family, graphs }: Box, readsIndices: boolean): boolean {
  if (graphs.length > 0) return false;
  return family === "shape" || ((family === "compute" || family === "move") && readsIndices);
}

function isIndexPort(box: Box | undefined): boolean {
  return box?.family === "port" && isIndexType(box.outputType);
}

/** Returns the picture with one box instead of each group. @param addPicture adds the group's own picture, and returns its index. */
function foldGroups(
  picture: Picture,
  groups: readonly (readonly number[])[],
  addPicture: (group: readonly number[], box: number) => number,
): { readonly picture: Picture; readonly newIndices: readonly number[] } {
  const { boxes, edges } = picture;
  if (groups.length === 0) return { picture, newIndices: boxes.map((_, index) => index) };
  const unitOf = boxes.map((_, index): readonly number[] => [index]);
  for (const group of groups) for (const index of group) unitOf[index] = group;
  const needs = new Map<readonly number[], Set<readonly number[]>>(unitOf.map((unit) => [unit, new Set()]));
  for (const [from, to] of edges) {
    const [source, reader] = [unitOf[from], unitOf[to]];
    if (source !== undefined && reader !== undefined && source !== reader) needs.get(reader)?.add(source);
  }
  const units = inOrder(
    [...needs.keys()],
    (unit) => [...(needs.get(unit) ?? [])],
    () => "a group",
  );
  const unitIndices = new Map(units.map((unit, index) => [unit, index]));
  const newIndices = unitOf.map((unit) => unitIndices.get(unit) ?? 0);
  const newBoxes = units.flatMap((unit, index): Box[] => {
    const members = unit.flatMap((member) => boxes[member] ?? []);
    return unit.length === 1 ? members : [groupBox(members, addPicture(unit, index))];
  });
  const newEdges = new Map<string, readonly [number, number]>();
  for (const [from, to] of edges) {
    const [start = 0, end = 0] = [newIndices[from], newIndices[to]];
    if (start !== end) newEdges.set(`${start} ${end}`, [start, end]);
  }
  return { picture: { ...picture, boxes: newBoxes, edges: [...newEdges.values()] }, newIndices };
}

function groupBox(members: readonly Box[], picture: number): Box {
  const outputs = new Set(members.flatMap((member) => member.outputs));
  const inputs = new Set(members.flatMap((member) => member.inputs).filter((input) => !outputs.has(input)));
  return {
    ...plainBox,
    family: "shape",
    title: titleOf(members),
    inputs: [...inputs].filter((input) => !input.endsWith(", stored")),
    path: commonPath(members.map(({ path }) => path)),
    graphs: [["its nodes", picture]],
  };
}

function titleOf(members: readonly Box[]): string {
  const hasMask = members.some(({ outputType: gives }) => gives === "bool");
  return `${hasMask ? "mask, shapes" : "shapes, indices"} · ${members.length} nodes`;
}

/** Returns the picture of a group. Boxes that the group reads, and boxes that read it, become ports. */
function extractGroup({ boxes, edges }: Picture, group: readonly number[], parent: readonly [number, number]): Picture {
  const members = new Set(group);
  const groupEdges = edges.filter(([from, to]) => members.has(from) || members.has(to));
  const sources = new Set(groupEdges.map(([from]) => from).filter((index) => !members.has(index)));
  const readers = new Set(groupEdges.map(([, to]) => to).filter((index) => !members.has(index)));
  const drawnBoxes = [...sources, ...group, ...readers];
  const newIndices = new Map(drawnBoxes.map((index, position) => [index, position]));
  return {
    title: titleOf(group.flatMap((index) => boxes[index] ?? [])),
    parent,
    boxes: drawnBoxes.flatMap((index) => {
      const box = boxes[index];
      return box === undefined ? [] : [members.has(index) ? box : asPort(box)];
    }),
    edges: groupEdges.map(([from, to]) => [newIndices.get(from) ?? 0, newIndices.get(to) ?? 0] as const),
  };
}

function asPort(box: Box): Box {
  const { title, name, family } = box;
  if (family === "port") return box;
  return { ...box, family: "port", title: name === "" ? title : name, layer: undefined, table: undefined, graphs: [] };
}

function commonPath(paths: readonly string[]): string {
  const [first = [], ...rest] = paths.map((path) => path.split("/").slice(0, -1));
  const differenceIndex = first.findIndex((part, index) => rest.some((parts) => parts[index] !== part));
  const sharedParts = differenceIndex < 0 ? first : first.slice(0, differenceIndex);
  return sharedParts.some((part) => part !== "") ? [...sharedParts, "group"].join("/") : "";
}
