/**
 * Operators that keep the elements and change the shape: Reshape, Flatten, Squeeze, Unsqueeze.
 * Dimensions are matched in runs of equal products. If a run merges axes, index i of one of them is the set of merged positions with coordinate i:
 * a channel of C × H × W has the H·W columns of its block. A split is the same, read backward.
 */
import { Miss } from "../errors.ts";
import { type Dim, divideDims, elementCount, multiplyDims, symbol } from "../tensor/dims.ts";
import {
  type AxisLink,
  type AxisRule,
  defineOp,
  type Inferred,
  type NodeChange,
  type Op,
  type OpDef,
  type Site,
} from "./define.ts";
import { attributeOrInput, integer, wrapAxis } from "./shared/attributes.ts";
import { dimsAt, fixed, ifSameDims, need, range, replaceLists, reshapeTo, shapeChange } from "./shared/rules.ts";

/** Positions in a row-major box whose coordinate along `axis` is `index`. */
function positions(box: readonly number[], axis: number, index: number): number[] {
  const inner = elementCount(box.slice(axis + 1));
  const outer = elementCount(box.slice(0, axis));
  const size = box[axis] ?? 1;
  const found: number[] = [];
  for (let o = 0; o < outer; o++) for (let i = 0; i < inner; i++) found.push((o * size + index) * inner + i);
  return found;
}

/** Matches runs of axes with equal products: [from, to) on either side. */
function runs(a: readonly Dim[], b: readonly Dim[]): { a: [number, number]; b: [number, number] }[] | Miss {
  const found: { a: [number, number]; b: [number, number] }[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [startA, startB] = [i, j];
    let [left, right]: [Dim, Dim] = [i < a.length ? (a[i++] as Dim) : 1, j < b.length ? (b[j++] as Dim) : 1];
    while (left !== right) {
      if (i < a.length && divideDims(right, left) !== undefined) left = multiplyDims(left, a[i++] as Dim);
      else if (j < b.length && divideDims(left, right) !== undefined) right = multiplyDims(right, b[j++] as Dim);
      else if (typeof left === "number" && typeof right === "number" && (left < right ? i < a.length : j < b.length)) {
        if (left < right) left = multiplyDims(left, a[i++] as Dim);
        else right = multiplyDims(right, b[j++] as Dim);
      } else return new Miss("its dimensions cannot be matched");
    }
    found.push({ a: [startA, i], b: [startB, j] });
  }
  return found;
}

function reshapeLinks(a: readonly Dim[], b: readonly Dim[]): readonly AxisLink[] | Miss {
  const matched = runs(a, b);
  if (matched instanceof Miss) return matched;
  return matched.flatMap(({ a: [fromA, toA], b: [fromB, toB] }): readonly AxisLink[] => {
    const left = meaningful(a, fromA, toA);
    const right = meaningful(b, fromB, toB);
    const [onlyLeft] = left;
    const [onlyRight] = right;
    if (left.length === 1 && right.length === 1 && onlyLeft !== undefined && onlyRight !== undefined) {
      return [{ from: ["in0", onlyLeft], to: ["out0", onlyRight] }];
    }
    if (right.length === 1 && onlyRight !== undefined) return boxLinks(a, left, "in0", ["out0", onlyRight]);
    if (left.length === 1 && onlyLeft !== undefined) return boxLinks(b, right, "out0", ["in0", onlyLeft]);
    return mixedLinks(a, left, b, right);
  });
}

/**
 * Several axes as several others. Of the outermost axes, the longer has complete runs for each index of the shorter, if that divides it.
 * Of the innermost axes it repeats the shorter: [batch, heads · size] as [batch · heads, size] has each position of a head once per head.
 */
function mixedLinks(
  a: readonly Dim[],
  left: readonly number[],
  b: readonly Dim[],
  right: readonly number[],
): readonly AxisLink[] {
  const tie = (
    at: number,
    map: (index: number, short: number, times: number) => readonly number[],
  ): readonly AxisLink[] => {
    const [x, y] = [left.at(at), right.at(at)];
    if (x === undefined || y === undefined) return [];
    const [n, m] = [a[x], b[y]];
    if (typeof n !== "number" || typeof m !== "number") return [];
    const [short, long] = [Math.min(n, m), Math.max(n, m)];
    if (long % short !== 0) return [];
    const [input, output] = [["in0", x] as const, ["out0", y] as const];
    const [from, to] = n === short ? [input, output] : [output, input];
    return [{ from, to, map: (index) => map(index, short, long / short) }];
  };
  const links = [
    ...tie(0, (index, _, times) => range(times, index * times)),
    ...tie(-1, (index, short, times) => range(times).map((time) => time * short + index)),
  ];
  const tied = new Set(links.flatMap((link) => ("from" in link ? [String(link.from), String(link.to)] : [])));
  const reason = "its elements are spread over several axes";
  const ends = [...left.map((axis) => ["in0", axis] as const), ...right.map((axis) => ["out0", axis] as const)];
  return [...links, ...ends.flatMap((end): AxisLink[] => (tied.has(String(end)) ? [] : [{ refuses: end, reason }]))];
}

function meaningful(dims: readonly Dim[], from: number, to: number): readonly number[] {
  const axes: number[] = [];
  for (let axis = from; axis < to; axis++) if (dims[axis] !== 1) axes.push(axis);
  return axes;
}

function boxLinks(
  dims: readonly Dim[],
  axes: readonly number[],
  port: "in0" | "out0",
  to: AxisLinkEnd,
): readonly AxisLink[] {
  const box = axes.map((axis) => dims[axis]);
  return axes.map((axis, place) => ({
    from: [port, axis],
    to,
    // Empty along an axis of unknown size.
    map: (index) => (box.every((dim) => typeof dim === "number") ? positions(box, place, index) : []),
  }));
}

type AxisLinkEnd = readonly ["in0" | "out0", number];

interface ReshapeSettings {
  readonly target: readonly Dim[] | undefined;
  readonly allowZero: boolean;
}

function reshaped(s: ReshapeSettings, dims: readonly Dim[] | undefined): readonly Dim[] | undefined | Miss {
  if (s.target === undefined) return undefined;
  const resolved = s.target.map((dim, axis) => (dim === 0 && !s.allowZero ? dims?.[axis] : dim));
  const open = resolved.indexOf(-1);
  if (open < 0) return resolved.every((dim) => dim !== undefined) ? (resolved as readonly Dim[]) : undefined;
  if (dims === undefined || resolved.some((dim) => dim === undefined)) return undefined;
  const others = elementCount((resolved as Dim[]).filter((_, axis) => axis !== open));
  const whole = elementCount(dims);
  const rest = divideDims(whole, others) ?? shared(whole, others);
  if (rest === undefined)
    return new Miss(`${JSON.stringify(whole)} elements cannot be divided by ${JSON.stringify(others)}`);
  return resolved.map((dim, axis) => (axis === open ? rest : (dim as Dim)));
}

/** Returns the target dimensions if the input's are unknown or the target is computed at run time: at least the rank. */
function partly({ target, allowZero }: ReshapeSettings, rank: number, site: Site): readonly Dim[] {
  return Array.from({ length: rank }, (_, axis) => {
    const dim = target?.[axis];
    return dim === undefined || dim === -1 || (dim === 0 && !allowZero) ? site.open(0, axis) : dim;
  });
}

/** A quotient that holds for every legal value of its symbols. */
function shared(whole: Dim, others: Dim): Dim | undefined {
  if (typeof whole === "number" && typeof others === "number") return undefined;
  return symbol(
    `(${typeof whole === "number" ? whole : whole.text})/(${typeof others === "number" ? others : others.text})`,
  );
}

export const Reshape = defineOp<ReshapeSettings>({
  name: "Reshape",
  read: (site) =>
    site.version < 5
      ? new Miss("takes its shape as an attribute before opset 5")
      : { target: site.inputs[1]?.elements, allowZero: integer(site, "allowzero", 0) !== 0 },
  infer: (s, site) => {
    const { type, dims, elements } = need(site, 0);
    const [rank] = site.inputs[1]?.dims ?? [];
    const target = reshaped(s, dims) ?? (typeof rank === "number" ? partly(s, rank, site) : undefined);
    if (target instanceof Miss) return target;
    return [elements === undefined ? { type, dims: target } : { type, dims: target, elements }];
  },
  unchanged: (s, site) => ifSameDims(site, reshaped(s, site.inputs[0]?.dims)),
  homogeneous: [[0]],
  axes: (s, _site, dims) => {
    const target = reshaped(s, dims);
    if (target === undefined) return new Miss("its target shape is computed at run time");
    if (target instanceof Miss) return target;
    const links = reshapeLinks(dims, target);
    if (links instanceof Miss) return links;
    const original = s.target ?? [];
    return {
      links,
      resize: (cut) => {
        const [x, now] = [cut.dims("in0"), cut.dims("out0")];
        // An unknown dimension is copied from the input or inferred, so a computed shape becomes a constant. Never both:
        // a copied dimension can be 0 (an empty batch), and then -1 cannot be inferred.
        const shape = original.map((dim, axis) => {
          if (dim === -1 || (dim === 0 && !s.allowZero)) return dim;
          const size = now[axis];
          if (typeof size === "number") return size;
          return size !== undefined && size === x[axis] && !s.allowZero ? 0 : -1;
        });
        const opened = shape.some((dim, axis) => dim === -1 && original[axis] !== -1);
        if ((opened && shape.includes(0)) || shape.filter((dim) => dim === -1).length > 1)
          return { shifts: { 1: shapeChange(original, now) } };
        return replaceLists(false, { shape });
      },
    };
  },
  gradient: (_, { emit, inputs: [x], up }) => [reshapeTo(emit, up, fixed(x))],
  quantize: () => ({ kind: "transparent" }),
});

function relabel(
  name: string,
  reject: (site: Site) => Miss | undefined,
  rule: (dims: readonly Dim[], site: Site) => readonly Dim[] | Miss,
  resize?: (dims: readonly Dim[], site: Site) => NodeChange,
): Op {
  const infer: OpDef<null>["infer"] = (_, site) => {
    const { type, dims, elements } = need(site, 0);
    if (dims === undefined) return [{ type, dims: undefined }];
    const out = rule(dims, site);
    if (out instanceof Miss) return out;
    const result: Inferred = elements === undefined ? { type, dims: out } : { type, dims: out, elements };
    return [result];
  };
  return defineOp({
    name,
    sameType: 0,
    read: (site) => reject(site) ?? null,
    infer,
    unchanged: (_, site) => {
      const dims = site.inputs[0]?.dims;
      return dims === undefined ? undefined : ifSameDims(site, rule(dims, site));
    },
    homogeneous: [[0]],
    axes: (_, site): AxisRule | Miss => {
      const dims = dimsAt(site, 0);
      if (dims instanceof Miss) return dims;
      const out = rule(dims, site);
      if (out instanceof Miss) return out;
      const links = reshapeLinks(dims, out);
      if (links instanceof Miss) return links;
      return resize === undefined ? { links } : { links, resize: () => resize(dims, site) };
    },
    gradient: (_, { emit, inputs: [x], up }) => [reshapeTo(emit, up, fixed(x))],
    quantize: () => ({ kind: "transparent" }),
  });
}

const runtimeAxes = (site: Site): Miss | undefined =>
  attributeOrInput(site, "axes", 1) === "runtime" ? new Miss("its axes are computed at run time") : undefined;

function knownAxes(site: Site): readonly number[] | undefined {
  const axes = attributeOrInput(site, "axes", 1);
  return axes === undefined || axes === "runtime" ? undefined : axes.known;
}

export const reshapeOperators: readonly Op[] = [
  relabel(
    "Flatten",
    () => undefined,
    (dims, site) => {
      const axis = integer(site, "axis", 1);
      const at = axis < 0 ? axis + dims.length : axis;
      return [elementCount(dims.slice(0, at)), elementCount(dims.slice(at))];
    },
  ),
  relabel(
    "Squeeze",
    runtimeAxes,
    (dims, site) => {
      const axes = knownAxes(site)?.map((axis) => wrapAxis(axis, dims.length));
      if (axes === undefined && dims.some((dim) => typeof dim !== "number"))
        return new Miss("removes every axis of size 1, and a size is not known");
      return dims.filter((dim, axis) => (axes === undefined ? dim !== 1 : !axes.includes(axis)));
    },
    // Names the axes that were 1, so that an axis cut down to 1 stays.
    (dims, site) => {
      if (knownAxes(site) !== undefined) return {};
      const axes = dims.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
      return replaceLists(site.version < 13, { axes });
    },
  ),
  relabel("Unsqueeze", runtimeAxes, (dims, site) => {
    const added = knownAxes(site) ?? [];
    const rank = dims.length + added.length;
    const at = new Set(added.map((axis) => wrapAxis(axis, rank)));
    let next = 0;
    return Array.from({ length: rank }, (_, axis): Dim => (at.has(axis) ? 1 : (dims[next++] ?? 1)));
  }),
];
