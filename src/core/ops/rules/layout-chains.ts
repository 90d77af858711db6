/**
 * A rule that writes a chain of transpositions and reshapes with as few nodes as possible: none, one, or a Transpose and one reshape.
 *      t = Transpose(x) {perm=[0, 2, 1]}      # x: [2, 6, 8]
 *      r = Reshape(t, [2, 2, 4, 6])                              →    y = Reshape(x, [2, 6, 2, 4])
 *      y = Transpose(r) {perm=[0, 3, 1, 2]}
 */
import { type Dim, divideDims, type Emit, multiplyDims, type Node, sameDims, type Value } from "#graph";
import { range } from "../shared/rules.ts";
import { changeDims, type DimsChange, dimsChange } from "./dims-change.ts";
import { permutationAt, reshapeOperators } from "./layout.ts";
import { dimsOf, type Structure, type StructureScope } from "./rule.ts";

const maxChain = 8;

/** A chain with at most one Transpose, and at most one change of dimensions before and after it. */
interface Form {
  readonly before: DimsChange;
  readonly perm: readonly number[] | undefined;
  readonly after: DimsChange;
}

const nodeCount = ({ before, perm, after }: Form): number =>
  [before.op !== "none", perm !== undefined, after.op !== "none"].filter(Boolean).length;

/** Returns the permutation of axes by a Transpose; undefined for other nodes, and if the rank is unknown. */
export function permutationOf({ site }: Pick<StructureScope, "site">, node: Node): readonly number[] | undefined {
  return node.op === "Transpose" && node.domain === "" ? permutationAt(site(node)) : undefined;
}

export const isReshape = ({ op, domain }: Node): boolean => domain === "" && reshapeOperators.includes(op);

function atomsOfChain(scope: StructureScope, dims: readonly Dim[], nodes: readonly Node[]): AtomizedAxes | undefined {
  let atoms = atomize(dims);
  for (const node of nodes) {
    if (atoms === undefined) return undefined;
    const perm = permutationOf(scope, node);
    const out = dimsOf(scope, node.outputs[0]);
    if (perm !== undefined) atoms = transposeAtoms(atoms, perm);
    else atoms = out && reshapeAtoms(atoms, out);
  }
  return atoms;
}

/** Returns the form with the fewest nodes that turns dimensions `from` into `to`; undefined if no form does. */
function shortestForm(from: readonly Dim[], to: readonly Dim[], atoms: AtomizedAxes): Form | undefined {
  const position = positionsOf(atoms);
  const outAxes = atoms.axes.map((axis) => axis.map(position));
  const order = outAxes.flat();
  const noChange: DimsChange = { op: "none" };
  if (order.every((entry, index) => entry === index)) {
    const before = dimsChange(from, to);
    return before && { before, perm: undefined, after: noChange };
  }
  const forms = [formWithTransposeFirst(from, to, order, atoms), formWithTransposeLast(from, to, outAxes)];
  const possibleForms = forms.filter((form) => form !== undefined);
  return possibleForms.toSorted((a, b) => nodeCount(a) - nodeCount(b))[0];
}

/** Returns the form with a Transpose of the input's axes, followed by a change of dimensions; undefined if impossible. */
function formWithTransposeFirst(
  from: readonly Dim[],
  to: readonly Dim[],
  order: readonly number[],
  { storageOrder }: AtomizedAxes,
): Form | undefined {
  const inputAxes = atomsPerAxis(from, storageOrder);
  if (inputAxes === undefined) return undefined;
  // For each input axis: the positions of its atoms in the result.
  const resultPositions = inputAxes.map((axis) => axis.map((entry) => order.indexOf(entry)));
  if (!areConsecutive(resultPositions)) return undefined;
  const perm = alignUnits(from, to, sortAxes(resultPositions));
  const after = dimsChange(
    perm.map((axis) => from[axis] ?? 1),
    to,
  );
  return after && { before: { op: "none" }, perm, after };
}

/** Returns the form with a change of dimensions, followed by a Transpose to the result's axes; undefined if impossible. */
function formWithTransposeLast(
  from: readonly Dim[],
  to: readonly Dim[],
  outAxes: readonly (readonly number[])[],
): Form | undefined {
  if (!areConsecutive(outAxes)) return undefined;
  const order = sortAxes(outAxes);
  const before = dimsChange(
    from,
    order.map((axis) => to[axis] ?? 1),
  );
  return before && { before, perm: range(to.length).map((axis) => order.indexOf(axis)), after: { op: "none" } };
}

/** Returns the storage positions of the atoms of each input axis; undefined if an atom crosses the boundary of an axis. */
function atomsPerAxis(
  dims: readonly Dim[],
  stored: AtomizedAxes["storageOrder"],
): readonly (readonly number[])[] | undefined {
  let nextAtom = 0;
  const axes: number[][] = [];
  for (const dim of dims) {
    const axis: number[] = [];
    let product: Dim = 1;
    while (product !== dim) {
      const atom = stored[nextAtom];
      if (atom === undefined) return undefined;
      axis.push(nextAtom++);
      product = multiplyDims(product, atom.size);
    }
    axes.push(axis);
  }
  return axes;
}

/** Sorts axes by the positions of their atoms. Axes of length 1 follow the axis before them. */
function sortAxes(axes: readonly (readonly number[])[]): number[] {
  let last = -1;
  const keys = axes.map(([first]) => {
    last = first ?? last;
    return last;
  });
  return range(axes.length).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
}

/** Moves axes of length 1 to the positions at which the result has axes of length 1, if both have the same number of them. */
function alignUnits(from: readonly Dim[], to: readonly Dim[], perm: readonly number[]): readonly number[] {
  const [unitAxes, longAxes] = [perm.filter((axis) => from[axis] === 1), perm.filter((axis) => from[axis] !== 1)];
  if (from.length !== to.length || to.filter((dim) => dim === 1).length !== unitAxes.length) return perm;
  const alignedAxes = to.map((dim) => (dim === 1 ? unitAxes.shift() : longAxes.shift()) ?? 0);
  return alignedAxes;
}

function write(emit: Emit, x: Value, form: Form, name: string, version: number): Value {
  const { before, perm, after } = form;
  const namedEmit = emit.named(name);
  const isLast = { before: perm === undefined && after.op === "none", transpose: after.op === "none" };
  const first = changeDims(isLast.before ? namedEmit : emit, x, before, version);
  const second = perm === undefined ? first : (isLast.transpose ? namedEmit : emit).Transpose([first], { perm });
  return changeDims(namedEmit, second, after, version);
}

export const layoutChain: Structure = {
  id: "layout-chain",
  description: "consecutive transpositions and reshapes become fewer",
  last: ["Transpose", ...reshapeOperators],
  fuse(scope) {
    const { last, site, emit, canChange, match } = scope;
    const to = dimsOf(scope, last.outputs[0]);
    const { version } = site(last);
    if (to === undefined || version < 7) return undefined;
    const chain: Node[] = [last];
    // The number of nodes, counted backward from `last`, that only the chain reads, so that they can be removed.
    let removableCount = 1;
    for (let length = 1; length < maxChain; length++) {
      const link = chain[0]?.inputs[0];
      const producer = link?.producer;
      if (link === undefined || producer === undefined || !canChange(link)) break;
      if (!isReshape(producer) && producer.op !== "Transpose") break;
      if (producer.domain !== "") break;
      if (removableCount === length && link.uses.size === 1) removableCount++;
      chain.unshift(producer);
      const [x] = producer.inputs;
      const from = dimsOf(scope, x);
      const atoms = from && atomsOfChain(scope, from, chain);
      if (x === undefined || from === undefined || atoms === undefined) continue;
      const form = shortestForm(from, to, atoms);
      if (form === undefined || nodeCount(form) >= removableCount) continue;
      if (nodeCount(form) === 0 && !sameDims(from, to)) continue;
      const nodes = new Set(chain.slice(-removableCount));
      if (match(() => ({ operands: {}, parts: {}, nodes })) === undefined) return undefined;
      return { value: write(emit, x, form, last.outputs[0]?.name ?? last.op, version) };
    }
    return undefined;
  },
};

/**
 * One of the smallest axes that the chain does not split:
 *      x [2, 48] → Reshape [2, 6, 8] → Transpose [0, 2, 1] → [2, 8, 6]: the input has the atoms 2 · 6 · 8, the result has them as 2 · 8 · 6
 * Axes of length 1 have no atoms, because they do not affect the storage order.
 */
interface Atom {
  readonly size: Dim;
}

/** The atoms in the storage order of the input, and the atoms of each axis of the chain's result. */
interface AtomizedAxes {
  readonly storageOrder: readonly Atom[];
  readonly axes: readonly (readonly Atom[])[];
}

/** Returns one atom per axis. Undefined for an empty tensor, because products with 0 do not show where axes begin. */
function atomize(dims: readonly Dim[]): AtomizedAxes | undefined {
  if (dims.includes(0)) return undefined;
  const axes = dims.map((size) => (size === 1 ? [] : [{ size }]));
  return { storageOrder: axes.flat(), axes };
}

function transposeAtoms({ storageOrder, axes }: AtomizedAxes, perm: readonly number[]): AtomizedAxes {
  return { storageOrder, axes: perm.map((axis) => axes[axis] ?? []) };
}

/** Distributes the atoms over other dimensions and splits atoms if necessary. Undefined if an atom cannot be split at the boundary of an axis. */
function reshapeAtoms({ storageOrder, axes }: AtomizedAxes, dims: readonly Dim[]): AtomizedAxes | undefined {
  const remainingAtoms = axes.flat();
  const parts = new Map<Atom, readonly Atom[]>();
  const result: Atom[][] = [];
  for (const dim of dims) {
    const group: Atom[] = [];
    for (let remainingSize: Dim = dim; remainingSize !== 1; ) {
      const atom = remainingAtoms.shift();
      if (atom === undefined) return undefined;
      const quotient = divideDims(remainingSize, atom.size);
      if (quotient !== undefined) {
        group.push(atom);
        remainingSize = quotient;
        continue;
      }
      const innerSize = divideDims(atom.size, remainingSize);
      if (innerSize === undefined) return undefined;
      const [outerPart, innerPart] = [{ size: remainingSize }, { size: innerSize }];
      parts.set(atom, [outerPart, innerPart]);
      group.push(outerPart);
      remainingAtoms.unshift(innerPart);
      remainingSize = 1;
    }
    result.push(group);
  }
  if (remainingAtoms.length > 0) return undefined;
  // Splits parts again that a later axis has split.
  const expand = (atom: Atom): readonly Atom[] => parts.get(atom)?.flatMap(expand) ?? [atom];
  return { storageOrder: storageOrder.flatMap(expand), axes: result };
}

function positionsOf({ storageOrder }: AtomizedAxes): (atom: Atom) => number {
  const positions = new Map(storageOrder.map((atom, position) => [atom, position]));
  return (atom) => positions.get(atom) ?? -1;
}

/** Returns whether each axis consists of atoms with consecutive positions. */
const areConsecutive = (axes: readonly (readonly number[])[]): boolean =>
  axes.every((positions) => positions.every((position, index) => position === (positions[0] ?? 0) + index));
