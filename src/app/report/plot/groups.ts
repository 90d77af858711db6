/**
 * Merges boxes that compute masks, shapes and positions from shapes and indices only, because exporters write dozens of them.
 *
 *     Shape, Range, Unsqueeze, Expand, And, …, Where → Add     becomes     mask, shapes · 24 nodes → Add
 *
 * A group must not be both before and after another box, or edges would form a cycle. Each box has a level that increases where an edge enters such
 * boxes, and a group has one level.
 */
import { inOrder } from "../../../core/graph/order.ts";
import { groupBy } from "../../../core/tensor/group-by.ts";
import type { DataType } from "../../../core/tensor/types.ts";
import type { Box, Picture } from "./graph.ts";

const fewest = 4;

const indexTypes: ReadonlySet<DataType | undefined> = new Set<DataType>(["int64", "int32", "bool"]);

export function isIndexType(type: DataType | undefined): boolean {
  return indexTypes.has(type);
}

export function withGroups(pictures: readonly [Picture, ...Picture[]]): readonly [Picture, ...Picture[]] {
  const groups: Picture[] = [];
  const folded = pictures.map((picture, index) => {
    const members = groupsIn(picture);
    return fold(
      picture,
      members,
      (group, box) => pictures.length - 1 + groups.push(partOf(picture, group, [index, box])),
    );
  });
  // Grouping may have changed the index of a box with subgraphs.
  const placed = folded.map(({ picture }) => {
    const { parent } = picture;
    const box = parent === undefined ? undefined : folded[parent[0]]?.places[parent[1]];
    return parent === undefined || box === undefined ? picture : { ...picture, parent: [parent[0], box] as const };
  });
  const [main = pictures[0], ...inner] = [...placed, ...groups];
  return [main, ...inner];
}

function groupsIn({ boxes, edges }: Picture): readonly (readonly number[])[] {
  const sources = boxes.map((): number[] => []);
  for (const [from, to] of edges) sources[to]?.push(from);
  const groupable: boolean[] = [];
  const levels: number[] = [];
  const rootOf = boxes.map((_, index) => index);
  const root = (index: number): number => {
    let found = index;
    while (rootOf[found] !== found) found = rootOf[found] ?? found;
    rootOf[index] = found;
    return found;
  };
  for (const [index, box] of boxes.entries()) {
    const read = sources[index] ?? [];
    const own = isGroupable(
      box,
      read.every((from) => groupable[from] || isIndexPort(boxes[from])),
    );
    groupable.push(own);
    const level = read.reduce(
      (most, from) => Math.max(most, (levels[from] ?? 0) + (own && !groupable[from] ? 1 : 0)),
      0,
    );
    levels.push(level);
    if (own) for (const from of read) if (groupable[from] && levels[from] === level) rootOf[root(from)] = root(index);
  }
  const found = groupBy(
    [...boxes.keys()].filter((index) => groupable[index]),
    root,
  );
  return [...found.values()].filter(({ length }) => length >= fewest);
}

/** @param fromIndices whether all inputs are indices or computed from indices. */
function isGroupable({ family, graphs }: Box, fromIndices: boolean): boolean {
  if (graphs.length > 0) return false;
  return family === "shape" || ((family === "compute" || family === "move") && fromIndices);
}

function isIndexPort(box: Box | undefined): boolean {
  return box?.family === "port" && isIndexType(box.gives);
}

/** Returns also the new index of each box. @param place creates the group's picture. */
function fold(
  picture: Picture,
  groups: readonly (readonly number[])[],
  place: (group: readonly number[], box: number) => number,
): { readonly picture: Picture; readonly places: readonly number[] } {
  const { boxes, edges } = picture;
  if (groups.length === 0) return { picture, places: boxes.map((_, index) => index) };
  const unitOf = boxes.map((_, index): readonly number[] => [index]);
  for (const group of groups) for (const index of group) unitOf[index] = group;
  const needs = new Map<readonly number[], Set<readonly number[]>>(unitOf.map((unit) => [unit, new Set()]));
  for (const [from, to] of edges) {
    const [before, behind] = [unitOf[from], unitOf[to]];
    if (before !== undefined && behind !== undefined && before !== behind) needs.get(behind)?.add(before);
  }
  const units = inOrder(
    [...needs.keys()],
    (unit) => [...(needs.get(unit) ?? [])],
    () => "a group",
  );
  const placeOf = new Map(units.map((unit, at) => [unit, at]));
  const places = unitOf.map((unit) => placeOf.get(unit) ?? 0);
  const drawn = units.flatMap((unit, at): Box[] => {
    const members = unit.flatMap((index) => boxes[index] ?? []);
    return unit.length === 1 ? members : [groupBox(members, place(unit, at))];
  });
  const kept = new Map<string, readonly [number, number]>();
  for (const [from, to] of edges) {
    const [start = 0, end = 0] = [places[from], places[to]];
    if (start !== end) kept.set(`${start} ${end}`, [start, end]);
  }
  return { picture: { ...picture, boxes: drawn, edges: [...kept.values()] }, places };
}

function groupBox(members: readonly Box[], picture: number): Box {
  const made = new Set(members.flatMap(({ outputs }) => outputs));
  const read = new Set(members.flatMap(({ inputs }) => inputs).filter((input) => !made.has(input)));
  return {
    family: "shape",
    title: titleOf(members),
    name: "",
    table: undefined,
    layer: undefined,
    gives: undefined,
    inputs: [...read].filter((input) => !input.endsWith(", stored")),
    outputs: [],
    attributes: [],
    macs: undefined,
    shape: undefined,
    miss: undefined,
    bits: undefined,
    path: commonPath(members.map(({ path }) => path)),
    graphs: [["its nodes", picture]],
  };
}

function titleOf(members: readonly Box[]): string {
  const decides = members.some(({ gives }) => gives === "bool");
  return `${decides ? "mask, shapes" : "shapes, indices"} · ${members.length} nodes`;
}

function partOf({ boxes, edges }: Picture, group: readonly number[], parent: readonly [number, number]): Picture {
  const inside = new Set(group);
  const before = [...new Set(edges.flatMap(([from, to]) => (inside.has(to) && !inside.has(from) ? [from] : [])))];
  const behind = [...new Set(edges.flatMap(([from, to]) => (inside.has(from) && !inside.has(to) ? [to] : [])))];
  const drawn = [...before, ...group, ...behind];
  const placeOf = new Map(drawn.map((index, place) => [index, place]));
  const members = group.flatMap((index) => boxes[index] ?? []);
  return {
    title: titleOf(members),
    parent,
    boxes: drawn.flatMap((index) => {
      const box = boxes[index];
      return box === undefined ? [] : [inside.has(index) ? box : neighbour(box)];
    }),
    edges: edges.flatMap(([from, to]) => {
      const [start, end] = [placeOf.get(from), placeOf.get(to)];
      const shown = start !== undefined && end !== undefined && (inside.has(from) || inside.has(to));
      return shown ? [[start, end] as const] : [];
    }),
  };
}

function neighbour(box: Box): Box {
  const { title, name, family } = box;
  if (family === "port") return box;
  return { ...box, family: "port", title: name === "" ? title : name, layer: undefined, table: undefined, graphs: [] };
}

function commonPath(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((path) => path.split("/").slice(0, -1));
  const same = first.findIndex((part, index) => others.some((other) => other[index] !== part));
  const shared = same < 0 ? first : first.slice(0, same);
  return shared.some((part) => part !== "") ? [...shared, "group"].join("/") : "";
}
