/**
 * Operators that keep the elements and change the shape: Reshape, Flatten, Squeeze, Unsqueeze. To link axes, input and output dimensions are matched
 * in runs of equal products. If a run merges several axes into one, index i of an axis corresponds to all merged indices with coordinate i:
 * flattening C × H × W maps a channel to H·W columns.
 */
import { type Dim, dimText, divideDims, elementCount, Miss, multiplyDims, symbol } from "#graph";
import { type AxisEnd, type AxisLink, defineOp, type NodeChange, type Op, type Site } from "./define.ts";
import { readAttributeOrInput, readFlag, readInteger, wrapAxis } from "./shared/attributes.ts";
import {
  inputIfSameDims,
  range,
  replaceLists,
  requireInput,
  reshapeTo,
  shapeChange,
  sizesOf,
} from "./shared/shapes.ts";

/** Returns the positions in a row-major box whose coordinate along `axis` is `index`. */
function positionsInBox(box: readonly number[], axis: number, index: number): number[] {
  const inner = elementCount(box.slice(axis + 1));
  const size = box[axis] ?? 1;
  return range(elementCount(box.slice(0, axis))).flatMap((outer) => range(inner, (outer * size + index) * inner));
}

/** Consecutive axes of the input (a) and of the output (b) whose sizes have equal products. Axes of size 1 are omitted. */
interface AxisRun {
  readonly a: readonly number[];
  readonly b: readonly number[];
}

const isSmaller = (a: Dim, b: Dim): boolean => typeof a === "number" && typeof b === "number" && a < b;

function matchRuns(a: readonly Dim[], b: readonly Dim[]): readonly AxisRun[] | Miss {
  const runs: AxisRun[] = [];
  const axesLongerThanOne = (dims: readonly Dim[], from: number, to: number): readonly number[] =>
    range(to - from, from).filter((axis) => dims[axis] !== 1);
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [startA, startB] = [i, j];
    let [productA, productB] = [a[i++] ?? 1, b[j++] ?? 1];
    while (productA !== productB) {
      const isFactorA = i < a.length && divideDims(productB, productA) !== undefined;
      const isFactorB = j < b.length && divideDims(productA, productB) !== undefined;
      if (isFactorA || (!isFactorB && i < a.length && isSmaller(productA, productB)))
        productA = multiplyDims(productA, a[i++] ?? 1);
      else if (isFactorB || (j < b.length && isSmaller(productB, productA)))
        productB = multiplyDims(productB, b[j++] ?? 1);
      else return new Miss("its dimensions cannot be matched");
    }
    // A tensor without elements has equal products whatever the remaining axes are.
    if (productA === 0) [i, j] = [a.length, b.length];
    runs.push({
      a: axesLongerThanOne(a, startA, Math.min(i, a.length)),
      b: axesLongerThanOne(b, startB, Math.min(j, b.length)),
    });
  }
  return runs;
}

function reshapeLinks(a: readonly Dim[], b: readonly Dim[]): readonly AxisLink[] | Miss {
  const runs = matchRuns(a, b);
  if (runs instanceof Miss) return runs;
  return runs.flatMap((run): readonly AxisLink[] => {
    const [[firstA, ...moreA], [firstB, ...moreB]] = [run.a, run.b];
    const onlyA = moreA.length === 0 ? firstA : undefined;
    const onlyB = moreB.length === 0 ? firstB : undefined;
    if (onlyA !== undefined && onlyB !== undefined) return [{ from: ["in0", onlyA], to: ["out0", onlyB] }];
    if (onlyB !== undefined) return boxLinks(a, run.a, "in0", ["out0", onlyB]);
    if (onlyA !== undefined) return boxLinks(b, run.b, "out0", ["in0", onlyA]);
    return mixedLinks(a, b, run);
  });
}

/**
 * Links a run of several input axes and several output axes. If one size n divides the other, n·m, the edge axes can be linked:
 * - outermost: index i of the shorter axis corresponds to m consecutive indices of the longer axis, from i·m on;
 * - innermost: index i corresponds to the indices i + k·n. Example: [batch, heads · size] → [batch · heads, size].
 */
function mixedLinks(a: readonly Dim[], b: readonly Dim[], run: AxisRun): readonly AxisLink[] {
  const linkEdgeAxes = (
    position: 0 | -1,
    map: (index: number, shortSize: number, ratio: number) => readonly number[],
  ): readonly Extract<AxisLink, { from: AxisEnd }>[] => {
    const [x, y] = [run.a.at(position), run.b.at(position)];
    if (x === undefined || y === undefined) return [];
    const [n, m] = [a[x], b[y]];
    if (typeof n !== "number" || typeof m !== "number") return [];
    const [shortSize, longSize] = [Math.min(n, m), Math.max(n, m)];
    if (longSize % shortSize !== 0) return [];
    const [input, output]: readonly [AxisEnd, AxisEnd] = [
      ["in0", x],
      ["out0", y],
    ];
    const [from, to] = n === shortSize ? [input, output] : [output, input];
    return [{ from, to, map: (index) => map(index, shortSize, longSize / shortSize) }];
  };
  const links = [
    ...linkEdgeAxes(0, (index, _, ratio) => range(ratio, index * ratio)),
    ...linkEdgeAxes(-1, (index, shortSize, ratio) => range(ratio).map((multiple) => multiple * shortSize + index)),
  ];
  const linkedEnds = new Set(links.flatMap(({ from, to }) => [String(from), String(to)]));
  const reason = "its elements are spread over several axes";
  const ends = [...run.a.map((axis) => ["in0", axis] as const), ...run.b.map((axis) => ["out0", axis] as const)];
  return [
    ...links,
    ...ends.flatMap((end): AxisLink[] => (linkedEnds.has(String(end)) ? [] : [{ refuses: end, reason }])),
  ];
}

function boxLinks(
  dims: readonly Dim[],
  axes: readonly number[],
  port: "in0" | "out0",
  to: AxisEnd,
): readonly AxisLink[] {
  const box = axes.map((axis) => dims[axis]);
  return axes.map((axis, position) => ({
    from: [port, axis],
    to,
    // An unknown size makes the corresponding indices unknown.
    map: (index) => (box.every((dim) => typeof dim === "number") ? positionsInBox(box, position, index) : []),
  }));
}

interface ReshapeSettings {
  readonly target: readonly Dim[] | undefined;
  readonly allowZero: boolean;
}

function reshapeDims(s: ReshapeSettings, dims: readonly Dim[] | undefined): readonly Dim[] | undefined | Miss {
  if (s.target === undefined) return undefined;
  const resolvedTarget = s.target.map((dim, axis) => (dim === 0 && !s.allowZero ? dims?.[axis] : dim));
  const inferredAxis = resolvedTarget.indexOf(-1);
  if (inferredAxis < 0)
    return resolvedTarget.every((dim) => dim !== undefined) ? (resolvedTarget as readonly Dim[]) : undefined;
  if (dims === undefined || resolvedTarget.some((dim) => dim === undefined)) return undefined;
  const sizes = resolvedTarget.flatMap((dim, axis) => (dim === undefined || axis === inferredAxis ? [] : [dim]));
  const [count, divisor] = [elementCount(dims), elementCount(sizes)];
  const inferredDim = divideDims(count, divisor) ?? symbolicQuotient(count, divisor);
  if (inferredDim === undefined)
    return new Miss(`${JSON.stringify(count)} elements cannot be divided by ${JSON.stringify(divisor)}`);
  return sizes.toSpliced(inferredAxis, 0, inferredDim);
}

/** Returns target dimensions of the given rank, with symbols for unknown ones. */
function openDims({ target, allowZero }: ReshapeSettings, rank: number, site: Site): readonly Dim[] {
  return range(rank).map((axis) => {
    const dim = target?.[axis];
    return dim === undefined || dim === -1 || (dim === 0 && !allowZero) ? site.open(0, axis) : dim;
  });
}

/** Returns a symbol for the quotient a / b; undefined for numbers. */
function symbolicQuotient(a: Dim, b: Dim): Dim | undefined {
  return typeof a === "number" && typeof b === "number" ? undefined : symbol(`(${dimText(a)})/(${dimText(b)})`);
}

export const Reshape = defineOp<ReshapeSettings>({
  name: "Reshape",
  read: (site) =>
    site.version < 5
      ? new Miss("takes its shape as an attribute before opset 5")
      : { target: site.inputs[1]?.elements, allowZero: readFlag(site, "allowzero") },
  infer: (s, site) => {
    const { type, dims, elements } = requireInput(site, 0);
    const [rank] = site.inputs[1]?.dims ?? [];
    const target = reshapeDims(s, dims) ?? (typeof rank === "number" ? openDims(s, rank, site) : undefined);
    if (target instanceof Miss) return target;
    return [{ type, dims: target, ...(elements && { elements }) }];
  },
  unchanged: (s, site) => inputIfSameDims(site, reshapeDims(s, site.inputs[0]?.dims)),
  homogeneous: [[0]],
  axes: (s, _site, dims) => {
    const target = reshapeDims(s, dims);
    if (target === undefined) return new Miss("its target shape is computed at run time");
    if (target instanceof Miss) return target;
    const links = reshapeLinks(dims, target);
    if (links instanceof Miss) return links;
    const originalShape = s.target ?? [];
    return {
      links,
      resize: (removal) => {
        const [newInput, newDims] = [removal.dims("in0"), removal.dims("out0")];
        // Symbolic dimensions become 0 (copied) or -1 (inferred). Both together fail: a copied 0 (an empty batch) leaves -1 undetermined.
        const shape = originalShape.map((dim, axis) => {
          if (dim === -1 || (dim === 0 && !s.allowZero)) return dim;
          const size = newDims[axis];
          if (typeof size === "number") return size;
          return size !== undefined && size === newInput[axis] && !s.allowZero ? 0 : -1;
        });
        const hasNewInferredDim = shape.some((dim, axis) => dim === -1 && originalShape[axis] !== -1);
        if ((hasNewInferredDim && shape.includes(0)) || shape.filter((dim) => dim === -1).length > 1)
          return { shifts: { 1: shapeChange(originalShape, newDims) } };
        return replaceLists(false, { shape });
      },
    };
  },
  gradient: (_, { emit, inputs: [x], up }) => [reshapeTo(emit, up, sizesOf(x))],
  quantize: () => ({ kind: "transparent" }),
});

function defineReshapeOperator(
  name: string,
  reject: (site: Site) => Miss | undefined,
  computeDims: (dims: readonly Dim[], site: Site) => readonly Dim[] | Miss,
  resize?: (dims: readonly Dim[], site: Site) => NodeChange,
): Op {
  return defineOp({
    name,
    sameType: 0,
    read: (site) => reject(site) ?? null,
    infer: (_, site) => {
      const { type, dims, elements } = requireInput(site, 0);
      const out = dims && computeDims(dims, site);
      return out instanceof Miss ? out : [{ type, dims: out, ...(out && elements && { elements }) }];
    },
    unchanged: (_, site) => inputIfSameDims(site, site.inputs[0]?.dims && computeDims(site.inputs[0].dims, site)),
    homogeneous: [[0]],
    axes: (_, site, dims) => {
      const out = computeDims(dims, site);
      const links = out instanceof Miss ? out : reshapeLinks(dims, out);
      if (links instanceof Miss || resize === undefined) return links;
      return { links, resize: () => resize(dims, site) };
    },
    gradient: (_, { emit, inputs: [x], up }) => [reshapeTo(emit, up, sizesOf(x))],
    quantize: () => ({ kind: "transparent" }),
  });
}

const rejectRuntimeAxes = (site: Site): Miss | undefined =>
  readAttributeOrInput(site, "axes", 1) === "runtime" ? new Miss("its axes are computed at run time") : undefined;

/** Returns the listed axes. Without a list, which can be empty, Squeeze removes axes of size 1. */
function knownAxes(site: Site): readonly number[] | undefined {
  const axes = readAttributeOrInput(site, "axes", 1);
  return axes === undefined || axes === "runtime" || axes.known.length === 0 ? undefined : axes.known;
}

export const reshapeOperators: readonly Op[] = [
  defineReshapeOperator(
    "Flatten",
    () => undefined,
    (dims, site) => {
      const axis = readInteger(site, "axis", 1);
      return [elementCount(dims.slice(0, axis)), elementCount(dims.slice(axis))];
    },
  ),
  defineReshapeOperator(
    "Squeeze",
    rejectRuntimeAxes,
    (dims, site) => {
      const axes = knownAxes(site)?.map((axis) => wrapAxis(axis, dims.length));
      if (axes === undefined && dims.some((dim) => typeof dim !== "number"))
        return new Miss("removes every axis of size 1, and a size is not known");
      return dims.filter((dim, axis) => (axes === undefined ? dim !== 1 : !axes.includes(axis)));
    },
    // Without a list, Squeeze would also remove an axis whose size becomes 1.
    (dims, site) => {
      if (knownAxes(site) !== undefined) return {};
      const axes = dims.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
      return replaceLists(site.version < 13, { axes });
    },
  ),
  defineReshapeOperator("Unsqueeze", rejectRuntimeAxes, (dims, site) => {
    const addedAxes = knownAxes(site) ?? [];
    const rank = dims.length + addedAxes.length;
    const axes = new Set(addedAxes.map((axis) => wrapAxis(axis, rank)));
    let nextAxis = 0;
    return range(rank).map((axis): Dim => (axes.has(axis) ? 1 : (dims[nextAxis++] ?? 1)));
  }),
];
